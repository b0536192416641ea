//! JSON merge patches (RFC 7396).

use serde_json::{Map, Value};

use crate::PatchError;

/// Applies a merge patch.
///
/// A patch must be a JSON object; the RFC would let anything else replace the document, which never
/// makes an API object.
///
/// # Errors
/// [`PatchError::Malformed`] when the patch is not a JSON object or is nested too deeply to be read. The
/// document is then untouched.
pub fn merge_patch(document: &mut Value, patch: &[u8]) -> Result<(), PatchError> {
    let patch: Map<String, Value> = serde_json::from_slice(patch)
        .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
    merge_object(document, patch);
    Ok(())
}

// The recursion follows the patch, whose depth the parser has bounded.
fn merge_object(document: &mut Value, patch: Map<String, Value>) {
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(fields) = document else {
        return;
    };
    for (name, change) in patch {
        match change {
            Value::Null => {
                fields.remove(&name);
            }
            Value::Object(change) => {
                merge_object(fields.entry(name).or_insert(Value::Null), change)
            }
            change => {
                fields.insert(name, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::fields::arbitrary;

    fn merged(document: Value, patch: &Value) -> Value {
        let mut document = document;
        merge_patch(&mut document, patch.to_string().as_bytes()).unwrap();
        document
    }

    #[test]
    fn null_removes_objects_merge_and_everything_else_replaces() {
        let document =
            json!({"keep": 1, "gone": 2, "list": [1, 2], "nested": {"a": 1, "b": 2}, "text": "x"});
        let patch = json!({"gone": null, "list": [3], "nested": {"b": null, "c": 3}, "text": {"now": "an object", "no": null}});
        assert_eq!(
            merged(document, &patch),
            json!({"keep": 1, "list": [3], "nested": {"a": 1, "c": 3}, "text": {"now": "an object"}})
        );
    }

    #[test]
    fn a_patch_that_is_not_an_object_is_malformed() {
        for patch in ["[]", "null", "3", "{", "", "\u{0}"] {
            let mut document = json!({"a": 1});
            let error = merge_patch(&mut document, patch.as_bytes()).unwrap_err();
            assert_eq!(error.code(), 400, "{patch}");
            assert_eq!(document, json!({"a": 1}));
        }
    }

    #[test]
    fn a_patch_nested_too_deeply_is_malformed() {
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(
            merge_patch(&mut json!({}), deep.as_bytes())
                .unwrap_err()
                .code(),
            400
        );
    }

    proptest! {
        #[test]
        fn merging_twice_is_merging_once(document in arbitrary::value(), patch in arbitrary::object()) {
            let once = merged(document, &patch);
            prop_assert_eq!(merged(once.clone(), &patch), once);
        }

        #[test]
        fn an_empty_patch_changes_nothing(document in arbitrary::object()) {
            prop_assert_eq!(merged(document.clone(), &json!({})), document);
        }

        #[test]
        fn what_a_patch_adds_to_nothing_has_no_nulls_in_objects(patch in arbitrary::object()) {
            fn no_nulls(value: &Value) -> bool {
                value.as_object().is_none_or(|o| o.values().all(|v| !v.is_null() && no_nulls(v)))
            }
            let result = merged(json!({}), &patch);
            prop_assert!(no_nulls(&result));
        }
    }
}
