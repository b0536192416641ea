use proptest::prelude::*;
use serde_json::json;

use super::*;

fn label(text: &str) -> LabelSelector {
    LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn matches(text: &str, labels: &[(&str, &str)]) -> bool {
    label(text).matches(labels)
}

#[test]
fn label_selectors_select_as_they_read() {
    let web = [("app", "web"), ("tier", "front"), ("weight", "7")];
    for text in [
        "",
        "app=web",
        "app==web",
        " app = web , tier in ( front, back ) ",
        "app!=db",
        "missing!=x",
        "missing notin (x)",
        "app",
        "!missing",
        "! missing",
        "weight>6",
        "weight<8",
        "app in (web),tier notin (back,middle)",
        "in!=x",
        "app in (in,notin,web)",
    ] {
        assert!(matches(text, &web), "{text}");
    }
    for text in [
        "app=db",
        "app!=web",
        "!app",
        "missing",
        "weight>7",
        "app>1",
        "app notin (web)",
        "app=",
        "missing=",
    ] {
        assert!(!matches(text, &web), "{text}");
    }
    assert!(matches("a in (,x)", &[("a", "")]));
    assert!(matches("a in ()", &[("a", "")]));
    assert!(matches("a=", &[("a", "")]));
}

#[test]
fn label_selector_errors_are_kubernetes() {
    let errors = [
        (
            "a b",
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ),
        (
            ",",
            "found ',', expected: !, identifier, or 'end of string'",
        ),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        (
            "!",
            "unable to parse requirement: found '', expected: identifier",
        ),
        (
            "a in b",
            "unable to parse requirement: found 'b' expected: '('",
        ),
        (
            "a in (b",
            "unable to parse requirement: found '', expected: ',' or ')'",
        ),
        (
            "a in (b c)",
            "unable to parse requirement: found 'c', expected: ',' or ')'",
        ),
        (
            "a in (!",
            "unable to parse requirement: found '!', expected: ',', ')' or identifier",
        ),
        (
            "a in (b,!)",
            "unable to parse requirement: found '!', expected: ',', or identifier",
        ),
        (
            "a=!",
            "unable to parse requirement: found '!', expected: identifier",
        ),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ];
    for (text, message) in errors {
        assert_eq!(
            LabelSelector::parse(text).map_err(|e| e.0),
            Err(message.to_owned()),
            "{text}"
        );
    }
    let error = LabelSelector::parse("-a=b").unwrap_err().0;
    assert!(
        error.starts_with(
            "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"
        ),
        "{error}"
    );
    let error = LabelSelector::parse("a=-b").unwrap_err().0;
    assert!(
        error.starts_with(
            "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label"
        ),
        "{error}"
    );
    assert!(LabelSelector::parse(&"a,".repeat(MAX_BYTES)).is_err());
}

#[test]
fn selector_objects_say_the_same_as_text() {
    let object = json!({
        "matchLabels": {"b": "1", "a": "2"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "NotIn", "values": ["z"]},
            {"key": "e", "operator": "Exists"},
            {"key": "f", "operator": "DoesNotExist", "values": []},
        ],
    });
    let selector = LabelSelector::from_object(Some(&object)).unwrap();
    assert_eq!(selector.to_string(), "a=2,b=1,c in (x,y),d notin (z),e,!f");
    assert!(
        !LabelSelector::from_object(None)
            .unwrap()
            .matches(&[("a", "b")][..])
    );
    assert!(
        LabelSelector::from_object(Some(&json!({})))
            .unwrap()
            .is_everything()
    );
    let wrong = json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]});
    assert_eq!(
        LabelSelector::from_object(Some(&wrong)).unwrap_err().0,
        "\"Gt\" is not a valid label selector operator"
    );
    let empty = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
    assert_eq!(
        LabelSelector::from_object(Some(&empty)).unwrap_err().0,
        "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
    );
}

#[test]
fn a_field_selector_written_and_read_is_the_same() {
    // One operator of two spellings: the order must not depend on which.
    let selector = FieldSelector::parse("=-,==(").unwrap();
    assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
}

#[test]
fn field_selector_errors_are_kubernetes() {
    let errors = [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        (
            "a=b=c",
            "invalid field selector: unescaped character in value: 61",
        ),
        (
            "a=\\b",
            "invalid field selector: invalid escape sequence: \\b",
        ),
        (
            "a=\\",
            "invalid field selector: invalid escape sequence: \\",
        ),
    ];
    for (text, message) in errors {
        assert_eq!(
            FieldSelector::parse(text).map_err(|e| e.0),
            Err(message.to_owned()),
            "{text}"
        );
    }
    let empty = FieldSelector::parse(",,").unwrap();
    assert_eq!(empty.requirements(), []);
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "in", "x/y"]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "1", "2", "10", "v", "notin"]).prop_map(str::to_owned)
}

/// What a requirement means for a label's value.
type Oracle = Box<dyn Fn(Option<&str>) -> bool>;

struct Meaning(Oracle);

impl std::fmt::Debug for Meaning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meaning")
    }
}

fn requirement() -> impl Strategy<Value = (String, String, Meaning)> {
    (key(), prop::collection::vec(value(), 1..4), 0..8, -3i64..12).prop_map(
        |(key, values, operator, number)| {
            let first = values[0].clone();
            let list = values.join(",");
            let (text, oracle): (String, Oracle) = match operator {
                0 => (
                    format!("{key}={first}"),
                    Box::new(move |v| v == Some(&first)),
                ),
                1 => (
                    format!("{key} != {first}"),
                    Box::new(move |v| v != Some(&first)),
                ),
                2 => (
                    format!("{key} in ({list})"),
                    Box::new(move |v| v.is_some_and(|v| values.iter().any(|x| x == v))),
                ),
                3 => (
                    format!("{key} notin ( {list} )"),
                    Box::new(move |v| !v.is_some_and(|v| values.iter().any(|x| x == v))),
                ),
                4 => (key.clone(), Box::new(|v| v.is_some())),
                5 => (format!("!{key}"), Box::new(|v| v.is_none())),
                6 => {
                    let bound = number.unsigned_abs() as i64;
                    (
                        format!("{key}>{bound}"),
                        Box::new(move |v| {
                            v.and_then(|v| v.parse::<i64>().ok())
                                .is_some_and(|v| v > bound)
                        }),
                    )
                }
                _ => {
                    let bound = number.unsigned_abs() as i64;
                    (
                        format!("{key}<{bound}"),
                        Box::new(move |v| {
                            v.and_then(|v| v.parse::<i64>().ok())
                                .is_some_and(|v| v < bound)
                        }),
                    )
                }
            };
            (key, text, Meaning(oracle))
        },
    )
}

proptest! {
    #[test]
    fn label_selectors_match_what_they_mean(
        requirements in prop::collection::vec(requirement(), 0..5),
        labels in prop::collection::btree_map(key(), value(), 0..4),
    ) {
        let text: Vec<&str> = requirements.iter().map(|(_, text, _)| text.as_str()).collect();
        let selector = label(&text.join(","));
        let meant = requirements
            .iter()
            .all(|(key, _, Meaning(oracle))| oracle(labels.get(key).map(String::as_str)));
        prop_assert_eq!(selector.matches(&labels), meant, "{}", selector);
        let again = label(&selector.to_string());
        prop_assert_eq!(again.to_string(), selector.to_string());
        prop_assert_eq!(again, selector);
    }

    #[test]
    fn field_selectors_keep_any_value(value in "\\PC{0,20}", negated: bool) {
        let selector = FieldSelector::of_name(&value);
        let text = if negated {
            selector.to_string().replacen('=', "!=", 1)
        } else {
            selector.to_string()
        };
        let read = FieldSelector::parse(&text).unwrap();
        prop_assert_eq!(read.to_string(), text);
        let [requirement] = read.requirements() else {
            panic!("one requirement, not {read:?}");
        };
        prop_assert_eq!(
            (requirement.field.as_str(), requirement.value.as_str(), requirement.negated),
            ("metadata.name", value.as_str(), negated)
        );
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-a-z0-9=!<>(), \\\\./]{0,40}") {
        if let Ok(selector) = FieldSelector::parse(&text) {
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
        }
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(label(&selector.to_string()), selector);
        }
    }
}
