//! YAML as people and other tools write and read it.
//!
//! Read as YAML 1.2 with two concessions to what is found in manifests: `0644` is octal, and several
//! documents may stand in one file. `yes`, `no`, `on` and `off` are texts. Written so that readers of
//! YAML 1.1 see the same: what they would take for a number or a boolean is quoted.

use std::io::Cursor;

use serde_json::Value;

use crate::failure::Failure;

/// Nesting deeper than this is refused; the deepest schemas in use reach a third of it.
const MAX_DEPTH: usize = 200;

/// Nodes that aliases may stand for, in all of a document.
const MAX_ALIASED: usize = 50_000;

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: 1_000_000,
            max_events: 4_000_000,
            max_inclusion_depth: 0,
            max_recorded_anchor_events: MAX_ALIASED,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        strict_booleans: true,
        legacy_octal_numbers: true,
    }
}

/// The documents in a text, YAML or JSON; empty ones are left out.
pub(crate) fn read(text: &str) -> Result<Vec<Value>, String> {
    if text.trim_start().starts_with('{')
        && let Ok(documents) = serde_json::Deserializer::from_str(text)
            .into_iter()
            .collect()
    {
        return Ok(documents);
    }
    let mut reader = Cursor::new(text.as_bytes());
    let mut documents = Vec::new();
    for (index, document) in
        serde_saphyr::read_with_options::<_, Value>(&mut reader, options()).enumerate()
    {
        match document {
            Ok(Value::Null) => {}
            Ok(document) => documents.push(document),
            Err(error) => {
                return Err(format!(
                    "document {}: {}",
                    index + 1,
                    error.to_string().trim_end()
                ));
            }
        }
    }
    Ok(documents)
}

/// A document's text.
pub(crate) fn write(value: &Value) -> Result<String, Failure> {
    serde_saphyr::to_string(value)
        .map_err(|error| Failure::new(format!("cannot write YAML: {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn words_and_numbers_keep_their_types() {
        let documents = read("a: yes\nb: \"1.0\"\nc: 1.0\nd: true\ne: 0644\nf: ~\ng: on\nh: '0644'\ni: 12345678901\n").unwrap();
        assert_eq!(
            documents,
            [
                json!({"a": "yes", "b": "1.0", "c": 1.0, "d": true, "e": 420, "f": null, "g": "on", "h": "0644", "i": 12345678901i64})
            ]
        );
    }

    #[test]
    fn documents_are_separated_and_empty_ones_left_out() {
        assert_eq!(
            read("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n").unwrap(),
            [json!({"a": 1}), json!({"b": 2})]
        );
        assert_eq!(read("").unwrap(), Vec::<Value>::new());
        assert_eq!(
            read("{\"a\": 1}\n{\"b\":\t2}").unwrap(),
            [json!({"a": 1}), json!({"b": 2})]
        );
        assert_eq!(read("{a: 1}").unwrap(), [json!({"a": 1})]);
    }

    #[test]
    fn anchors_work_and_bombs_do_not() {
        assert_eq!(
            read("a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}\n").unwrap(),
            [json!({"a": {"k": 1}, "b": {"k": 1}, "c": {"k": 1, "l": 2}})]
        );
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let previous = level - 1;
            let items = vec![format!("*a{previous}"); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(read(&bomb).is_err());
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn duplicate_keys_and_bad_syntax_are_refused_with_the_place() {
        assert!(read("a: 1\na: 2\n").is_err());
        let error = read("a: 1\n---\nb: [\n").unwrap_err();
        assert!(error.contains("document 2"), "{error}");
    }

    #[test]
    fn what_is_written_is_what_older_readers_expect() {
        let text = write(&json!({"a": "yes", "b": "1.0", "c": ["x", "0x1f"], "d": {}, "e": [], "f": "two\nlines\n", "g": "", "h": null, "i": "12:30"})).unwrap();
        assert!(
            text.contains("a: \"yes\"") || text.contains("a: 'yes'"),
            "{text}"
        );
        assert!(text.contains("\nc:\n- x\n"), "{text}");
        assert!(
            text.contains("d: {}\n") && text.contains("e: []\n"),
            "{text}"
        );
        assert!(text.contains("f: |\n  two\n  lines\n"), "{text}");
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[a-z0-9:#\\-\n \"'{}|>%@`!&*?]{0,16}".prop_map(Value::from),
            prop::sample::select(vec![
                "yes",
                "no",
                "on",
                "null",
                "~",
                "1e3",
                "0o7",
                ".5",
                "=",
                "<<",
                "2020-01-01"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z0-9./~ -]{0,8}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in values()) {
            let value = json!({"value": value});
            let text = write(&value).unwrap();
            prop_assert_eq!(read(&text).unwrap(), vec![value], "{}", text);
        }
    }
}
