//! JSON patches (RFC 6902).

use json_patch::{PatchOperation, jsonptr::Pointer};
use serde_json::Value;

use crate::{
    PatchError,
    equality::same,
    limits::{MAX_COPIED_BYTES, MAX_DEPTH, MAX_JSON_PATCH_OPERATIONS, MAX_JSON_PATCH_WORK},
};

/// Applies a JSON patch.
///
/// # Errors
/// [`PatchError::Malformed`] when the patch is not an array of operations,
/// [`PatchError::Inapplicable`] when a path is missing, a test fails or the result would be nested too
/// deeply, [`PatchError::TooLarge`] when there are too many operations or they cause too much growth or
/// work. After an error the document may have been changed in part and is to be thrown away.
pub fn json_patch(document: &mut Value, patch: &[u8]) -> Result<(), PatchError> {
    let operations: Vec<PatchOperation> = serde_json::from_slice(patch)
        .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
    if operations.len() > MAX_JSON_PATCH_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_JSON_PATCH_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut budget = Budget {
        work: MAX_JSON_PATCH_WORK,
        copied: MAX_COPIED_BYTES,
    };
    for operation in operations {
        budget.charge(document, &operation)?;
        apply(document, operation)?;
    }
    Ok(())
}

fn apply(document: &mut Value, operation: PatchOperation) -> Result<(), PatchError> {
    if let PatchOperation::Test(test) = &operation {
        // A field that is absent passes a test for null, as in Kubernetes.
        let actual = document.pointer(test.path.as_str()).unwrap_or(&Value::Null);
        return if same(actual, &test.value) {
            Ok(())
        } else {
            Err(PatchError::Inapplicable(format!(
                "testing value {} failed: test failed",
                test.path
            )))
        };
    }
    // One operation at a time: the library's own loop copies nothing back on failure either.
    json_patch::patch_unsafe(document, std::slice::from_ref(&operation)).map_err(|error| {
        let name = match &operation {
            PatchOperation::Add(_) => "add",
            PatchOperation::Remove(_) => "remove",
            PatchOperation::Replace(_) => "replace",
            PatchOperation::Move(_) => "move",
            PatchOperation::Copy(_) => "copy",
            PatchOperation::Test(_) => "test",
        };
        PatchError::Inapplicable(format!(
            "{name} operation does not apply: {}: {}",
            error.path, error.kind
        ))
    })
}

/// What the rest of the patch may still cost.
struct Budget {
    /// Values touched or shifted.
    work: usize,
    /// Bytes of JSON.
    copied: usize,
}

impl Budget {
    /// Refuses an operation that would make the document too deep or cost more than is left.
    fn charge(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), PatchError> {
        match operation {
            PatchOperation::Add(op) => {
                self.place(&op.path, &op.value)?;
                self.shift(document, &op.path)
            }
            PatchOperation::Replace(op) => self.place(&op.path, &op.value),
            PatchOperation::Remove(op) => self.shift(document, &op.path),
            PatchOperation::Move(op) => {
                if let Some(value) = document.pointer(op.from.as_str()) {
                    self.place(&op.path, value)?;
                }
                self.shift(document, &op.from)?;
                self.shift(document, &op.path)
            }
            PatchOperation::Copy(op) => {
                if let Some(value) = document.pointer(op.from.as_str()) {
                    self.place(&op.path, value)?;
                    self.copy(value)?;
                }
                self.shift(document, &op.path)
            }
            PatchOperation::Test(_) => Ok(()),
        }
    }

    fn place(&mut self, path: &Pointer, value: &Value) -> Result<(), PatchError> {
        let mut nodes = 0;
        let depth = path
            .tokens()
            .count()
            .saturating_add(depth(value, &mut nodes));
        self.spend(nodes)?;
        if depth > MAX_DEPTH {
            return Err(PatchError::Inapplicable(format!(
                "exceeded max depth: {depth} levels, limit {MAX_DEPTH}"
            )));
        }
        Ok(())
    }

    /// Adding to or removing from a list moves what stands behind.
    fn shift(&mut self, document: &Value, path: &Pointer) -> Result<(), PatchError> {
        let Some((parent, _)) = path.split_back() else {
            return Ok(());
        };
        match document.pointer(parent.as_str()) {
            Some(Value::Array(items)) => self.spend(items.len()),
            _ => self.spend(1),
        }
    }

    fn copy(&mut self, value: &Value) -> Result<(), PatchError> {
        let size = value.to_string().len();
        self.copied = self.copied.checked_sub(size).ok_or_else(|| {
            PatchError::TooLarge(format!(
                "Unable to complete the copy, the accumulated size increase of copy exceeds the limit {MAX_COPIED_BYTES}"
            ))
        })?;
        Ok(())
    }

    fn spend(&mut self, work: usize) -> Result<(), PatchError> {
        self.work = self.work.checked_sub(work).ok_or_else(|| {
            PatchError::TooLarge("the JSON patch takes too much work to apply".to_owned())
        })?;
        Ok(())
    }
}

/// How deeply a value is nested: 0 for a scalar. Counts its nodes along the way.
fn depth(value: &Value, nodes: &mut usize) -> usize {
    *nodes += 1;
    match value {
        Value::Array(items) => {
            1 + items
                .iter()
                .map(|item| depth(item, nodes))
                .max()
                .unwrap_or(0)
        }
        Value::Object(fields) => {
            1 + fields
                .values()
                .map(|field| depth(field, nodes))
                .max()
                .unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::fields::arbitrary;

    fn patched(document: Value, patch: Value) -> Result<Value, PatchError> {
        let mut document = document;
        json_patch(&mut document, patch.to_string().as_bytes())?;
        Ok(document)
    }

    #[test]
    fn every_operation_applies() {
        let patch = json!([
            {"op": "test", "path": "/a/b", "value": 1.0},
            {"op": "add", "path": "/list/1", "value": "x"},
            {"op": "add", "path": "/list/-", "value": "end"},
            {"op": "remove", "path": "/gone"},
            {"op": "replace", "path": "/a/b", "value": {"c": 2}},
            {"op": "copy", "from": "/a/b", "path": "/copied"},
            {"op": "move", "from": "/list/0", "path": "/moved~1here"}
        ]);
        assert_eq!(
            patched(
                json!({"a": {"b": 1}, "list": ["p", "q"], "gone": true}),
                patch
            )
            .unwrap(),
            json!({"a": {"b": {"c": 2}}, "list": ["x", "q", "end"], "copied": {"c": 2}, "moved/here": "p"})
        );
    }

    #[test]
    fn an_absent_field_passes_a_test_for_null() {
        assert!(
            patched(
                json!({}),
                json!([{"op": "test", "path": "/a/b", "value": null}])
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_no_patch_is_a_bad_request() {
        for patch in [
            "{}",
            "[{}]",
            "[{\"op\":\"jump\",\"path\":\"/a\"}]",
            "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]",
            "[",
        ] {
            let error = json_patch(&mut json!({}), patch.as_bytes()).unwrap_err();
            assert_eq!(
                (error.code(), error.reason()),
                (400, "BadRequest"),
                "{patch}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_the_document_is_invalid() {
        for operation in [
            json!({"op": "test", "path": "/a", "value": 2}),
            json!({"op": "remove", "path": "/missing"}),
            json!({"op": "replace", "path": "/missing", "value": 1}),
            json!({"op": "add", "path": "/missing/child", "value": 1}),
            json!({"op": "add", "path": "/list/7", "value": 1}),
            json!({"op": "move", "from": "/o", "path": "/o/p"}),
        ] {
            let error = patched(
                json!({"a": 1, "list": [], "o": {"p": {}}}),
                json!([operation]),
            )
            .unwrap_err();
            assert_eq!(
                (error.code(), error.reason()),
                (422, "Invalid"),
                "{operation}"
            );
        }
    }

    #[test]
    fn too_many_operations_are_too_large() {
        let operation = json!({"op": "add", "path": "/a", "value": 1});
        let many = Value::Array(vec![operation; MAX_JSON_PATCH_OPERATIONS + 1]);
        assert_eq!(patched(json!({}), many).unwrap_err().code(), 413);
    }

    #[test]
    fn copies_cannot_double_a_document_without_end() {
        let operations: Vec<Value> = (0..60)
            .map(|_| json!({"op": "copy", "from": "/a", "path": "/a/-"}))
            .collect();
        let error =
            patched(json!({"a": ["x".repeat(1000)]}), Value::Array(operations)).unwrap_err();
        assert!(matches!(error.code(), 413 | 422));
        let wide: Vec<Value> = (0..60)
            .flat_map(|i| {
                [
                    json!({"op": "copy", "from": "/a", "path": format!("/b{i}")}),
                    json!({"op": "copy", "from": "/a", "path": format!("/c{i}")}),
                ]
            })
            .collect();
        assert_eq!(
            patched(json!({"a": "x".repeat(100_000)}), Value::Array(wide))
                .unwrap_err()
                .code(),
            413
        );
    }

    #[test]
    fn shifting_a_long_list_again_and_again_is_too_much_work() {
        let list = Value::Array(vec![Value::from(1); 100_000]);
        let operations = vec![json!({"op": "add", "path": "/list/0", "value": 1}); 9_000];
        assert_eq!(
            patched(json!({"list": list}), Value::Array(operations))
                .unwrap_err()
                .code(),
            413
        );
    }

    #[test]
    fn a_patch_cannot_nest_deeper_than_can_be_read_again() {
        let mut nest = json!(1);
        for _ in 0..100 {
            nest = json!({ "a": nest });
        }
        let path = "/a".repeat(100);
        let patch = json!([{"op": "add", "path": "/a", "value": nest}, {"op": "add", "path": path, "value": nest}]);
        assert_eq!(patched(json!({}), patch).unwrap_err().code(), 422);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_results_can_be_read_again(document in arbitrary::object(), patch in arbitrary::json_patch()) {
            if let Ok(result) = patched(document, patch) {
                prop_assert!(serde_json::from_str::<Value>(&result.to_string()).is_ok());
            }
        }
    }
}
