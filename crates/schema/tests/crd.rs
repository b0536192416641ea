//! Schemas of custom kinds: which are accepted, and what they say of objects.

use mosaic_schema::{ListKind, Shape, Structural};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A schema whose `spec` has these properties.
fn schema(properties: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})
}

fn compiled(properties: Value) -> Structural {
    let schema = schema(properties);
    Structural::compile(&schema).unwrap_or_else(|errors| panic!("{schema}: {errors:?}"))
}

fn complaints(schema: &Value) -> Vec<String> {
    Structural::compile(schema)
        .err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn errors(structural: &Structural, spec: Value) -> Vec<String> {
    structural
        .validate(&json!({"spec": spec}), None)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn messages_are_those_of_kubernetes() {
    let structural = compiled(json!({
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "multipleOf": 5},
        "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]*$"},
        "tier": {"type": "string", "enum": ["a", "b"]},
        "when": {"type": "string", "format": "date-time"},
        "list": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}},
        "map": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "boolean"}},
        "port": {"x-kubernetes-int-or-string": true},
    }));
    let cases = [
        (
            json!({"replicas": 15}),
            "spec.replicas: Invalid value: 15: spec.replicas in body should be less than or equal to 10",
        ),
        (
            json!({"replicas": 0}),
            "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
        ),
        (
            json!({"replicas": 7}),
            "spec.replicas: Invalid value: 7: spec.replicas in body should be a multiple of 5",
        ),
        (
            json!({"replicas": "5"}),
            r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#,
        ),
        (
            json!({"replicas": null}),
            r#"spec.replicas: Invalid value: "null": spec.replicas in body must be of type integer: "null""#,
        ),
        (
            json!({"name": "a"}),
            r#"spec.name: Invalid value: "a": spec.name in body should be at least 2 chars long"#,
        ),
        (
            json!({"name": "abcde"}),
            "spec.name: Too long: may not be more than 4 bytes",
        ),
        (
            json!({"name": "AB"}),
            r#"spec.name: Invalid value: "AB": spec.name in body should match '^[a-z]*$'"#,
        ),
        (
            json!({"tier": "c"}),
            r#"spec.tier: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            json!({"when": "now"}),
            r#"spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now""#,
        ),
        (
            json!({"list": []}),
            "spec.list: Invalid value: 0: spec.list in body should have at least 1 items",
        ),
        (
            json!({"list": ["a", "b", "c"]}),
            "spec.list: Too many: 3: must have at most 2 items",
        ),
        (
            json!({"list": ["a", 1]}),
            r#"spec.list[1]: Invalid value: "integer": spec.list[1] in body must be of type string: "integer""#,
        ),
        (
            json!({"map": {"a": true, "b": false}}),
            "spec.map: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"map": {"a": 1}}),
            r#"spec.map.a: Invalid value: "integer": spec.map.a in body must be of type boolean: "integer""#,
        ),
        (
            json!({"port": true}),
            r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#,
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(errors(&structural, spec.clone()), [expected], "{spec}");
    }
    let valid = json!({"replicas": 5, "name": "äöü", "tier": "a", "list": ["a"], "port": "http", "map": {}});
    assert_eq!(
        errors(&structural, valid),
        [r#"spec.name: Invalid value: "äöü": spec.name in body should match '^[a-z]*$'"#]
    );
    assert!(errors(&structural, json!({"replicas": 5.0, "port": 80})).is_empty());
}

#[test]
fn required_fields() {
    let structural = Structural::compile(&json!({
        "type": "object", "required": ["spec"],
        "properties": {"spec": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}},
    }))
    .unwrap();
    let texts = |value: Value| -> Vec<String> {
        structural
            .validate(&value, None)
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(texts(json!({})), ["spec: Required value"]);
    assert_eq!(texts(json!({"spec": {}})), ["spec.a: Required value"]);
    assert!(texts(json!({"spec": {"a": ""}})).is_empty());
}

#[test]
fn combined_schemas() {
    let structural = compiled(json!({
        "any": {"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 0}]},
        "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "all": {"type": "integer", "allOf": [{"minimum": 10}]},
        "not": {"type": "string", "not": {"enum": ["x"]}},
    }));
    assert_eq!(
        errors(&structural, json!({"any": 5}))[0],
        r#"spec.any: Invalid value: "": "spec.any" must validate at least one schema (anyOf)"#
    );
    assert_eq!(
        errors(&structural, json!({"one": {}}))[0],
        r#"spec.one: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid"#
    );
    assert_eq!(
        errors(&structural, json!({"one": {"a": "", "b": ""}})),
        [
            r#"spec.one: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    assert!(
        errors(&structural, json!({"all": 1}))
            .iter()
            .any(|e| e.contains("(allOf). None validated"))
    );
    assert_eq!(
        errors(&structural, json!({"not": "x"})),
        [r#"spec.not: Invalid value: "": "spec.not" must not validate the schema (not)"#]
    );
    assert!(
        errors(
            &structural,
            json!({"any": 11, "one": {"a": ""}, "all": 12, "not": "y"})
        )
        .is_empty()
    );
}

#[test]
fn items_of_sets_and_maps_are_unique() {
    let item = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "protocol": {"type": "string", "default": "TCP"}}});
    let structural = compiled(json!({
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "protocol"],
                "items": item},
    }));
    assert_eq!(
        errors(&structural, json!({"set": ["a", "b", "a"]})),
        [r#"spec.set[2]: Duplicate value: "a""#]
    );
    let mut object =
        json!({"spec": {"map": [{"name": "a"}, {"name": "a", "protocol": "UDP"}, {"name": "a"}]}});
    structural.apply_defaults(&mut object).unwrap();
    let texts: Vec<String> = structural
        .validate(&object, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        texts,
        [r#"spec.map[2]: Duplicate value: {"name":"a","protocol":"TCP"}"#]
    );
    let Shape::List(list) = &structural
        .ty
        .field("spec")
        .unwrap()
        .ty
        .field("map")
        .unwrap()
        .ty
        .shape
    else {
        panic!()
    };
    assert_eq!(
        list.kind,
        ListKind::Map(vec!["name".into(), "protocol".into()])
    );
}

#[test]
fn what_did_not_change_is_not_held_against_an_update() {
    let structural =
        compiled(json!({"a": {"type": "string", "maxLength": 1}, "b": {"type": "integer"}}));
    let old = json!({"spec": {"a": "too long", "b": 1}});
    assert!(
        structural
            .validate(&json!({"spec": {"a": "too long", "b": 2}}), Some(&old))
            .is_empty()
    );
    assert_eq!(
        structural
            .validate(&json!({"spec": {"a": "also long", "b": 1}}), Some(&old))
            .len(),
        1
    );
}

#[test]
fn pruning_keeps_what_the_schema_has() {
    let structural = compiled(json!({
        "known": {"type": "object", "properties": {"a": {"type": "string"}}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                 "properties": {"strict": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        "any": {"x-kubernetes-preserve-unknown-fields": true},
        "closed": {"type": "object"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
    }));
    let mut object = json!({
        "apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a", "bogus": 1}, "status": {},
        "spec": {"known": {"a": "", "b": 1}, "open": {"x": {"y": 1}, "strict": {"a": "", "b": 1}}, "any": [{"x": 1}],
                 "closed": {"x": 1}, "labels": {"x": "y"},
                 "template": {"kind": "Pod", "metadata": {"name": 5}, "spec": {"z": 1}}},
    });
    let unknown: Vec<String> = structural
        .prune(&mut object)
        .into_iter()
        .map(|unknown| unknown.path)
        .collect();
    assert_eq!(
        unknown,
        [
            "metadata.bogus",
            "spec.closed.x",
            "spec.known.b",
            "spec.open.strict.b",
            "status"
        ]
    );
    assert_eq!(
        object["spec"],
        json!({"known": {"a": ""}, "open": {"x": {"y": 1}, "strict": {"a": ""}}, "any": [{"x": 1}], "closed": {},
               "labels": {"x": "y"}, "template": {"kind": "Pod", "spec": {"z": 1}}})
    );
}

#[test]
fn defaults_fill_what_is_absent_inside_of_what_is_there() {
    let structural = compiled(json!({
        "replicas": {"type": "integer", "default": 1},
        "nullable": {"type": "string", "nullable": true, "default": "x"},
        "absent": {"type": "object", "properties": {"a": {"type": "string", "default": "a"}}},
        "nested": {"type": "object", "default": {}, "properties": {"a": {"type": "string", "default": "a"}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "integer", "default": 80}}}},
        "plain": {"type": "string"},
    }));
    let mut object = json!({"spec": {"replicas": null, "nullable": null, "plain": null, "list": [{}, {"p": 1}]}});
    structural.apply_defaults(&mut object).unwrap();
    let expected = json!({"spec": {"replicas": 1, "nullable": null, "nested": {"a": "a"}, "list": [{"p": 80}, {"p": 1}]}});
    assert_eq!(object, expected);
    let mut without_spec = json!({});
    structural.apply_defaults(&mut without_spec).unwrap();
    assert_eq!(without_spec, json!({}));
}

#[test]
fn schemas_must_be_structural() {
    let spec = "openAPIV3Schema.properties[spec].properties[x]";
    let cases = [
        (
            json!({}),
            format!("{spec}.type: Required value: must not be empty for specified object fields"),
        ),
        (
            json!({"type": "array"}),
            format!("{spec}.items: Required value: must be specified"),
        ),
        (
            json!({"type": "array", "items": {}}),
            format!(
                "{spec}.items.type: Required value: must not be empty for specified array items"
            ),
        ),
        (
            json!({"type": "string", "anyOf": [{"type": "string"}, {"description": "x"}]}),
            format!("{spec}.anyOf[1].description: Forbidden: must be empty to be structural"),
        ),
        (
            json!({"type": "string", "allOf": [{"type": "string", "minLength": 1}]}),
            format!("{spec}.allOf[0].type: Forbidden: must be empty to be structural"),
        ),
        (
            json!({"type": "string", "default": 5}),
            format!(
                "{spec}.default: Invalid value: 5: must be valid: : Invalid value: \"integer\":  in body must be of type string: \"integer\""
            ),
        ),
        (
            json!({"type": "object", "properties": {}, "default": {"y": 1}}),
            format!("{spec}.default: Invalid value: {{\"y\":1}}: must not have unknown fields"),
        ),
        (
            json!({"type": "string", "pattern": "("}),
            format!("{spec}.pattern: Invalid value"),
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
            format!(
                "{spec}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            ),
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {}}}),
            format!(
                "{spec}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"
            ),
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"],
                   "items": {"type": "object", "properties": {"a": {"type": "string"}}}}),
            format!("{spec}.items.properties[a].default: Required value"),
        ),
        (
            json!({"type": "text"}),
            format!(
                r#"{spec}.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string""#
            ),
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            format!(
                "{spec}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"
            ),
        ),
        (
            json!({"type": "string", "$ref": "#/x"}),
            format!("{spec}.$ref: Forbidden: $ref is not supported"),
        ),
        (
            json!({"type": "string", "minLength": "x"}),
            format!("{spec}.minLength: Invalid value: \"x\""),
        ),
        (
            json!(5),
            format!("{spec}: Invalid value: 5: must be a schema object"),
        ),
    ];
    for (property, expected) in cases {
        let found = complaints(&schema(json!({"x": property})));
        assert!(
            found.iter().any(|text| text.starts_with(&expected)),
            "{property}\n {expected}\n {found:#?}"
        );
    }
    assert_eq!(
        complaints(&json!({"type": "string"})),
        [r#"openAPIV3Schema.type: Invalid value: "string": must be object at the root"#]
    );
    let metadata = json!({"type": "object", "properties": {"metadata": {"type": "object",
        "properties": {"labels": {"type": "object"}}}}});
    assert!(
        complaints(&metadata)[0]
            .contains("must not specify anything other than name and generateName")
    );
}

#[test]
fn schemas_of_controllers_in_use_are_accepted() {
    // What generators write: int-or-string with its pattern, quantities, conditions, free-form fields.
    let structural = compiled(json!({
        "cpu": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true,
                "pattern": "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$"},
        "conditions": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
            "items": {"type": "object", "required": ["type", "status"], "properties": {
                "type": {"type": "string", "maxLength": 316,
                    "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "lastTransitionTime": {"type": "string", "format": "date-time"}}}},
        "values": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}}},
    }));
    let valid = json!({"cpu": "100m", "conditions": [{"type": "Ready", "status": "True"}], "values": {"a": [1]}});
    assert_eq!(errors(&structural, valid), Vec::<String>::new());
    assert!(!errors(&structural, json!({"cpu": "x"})).is_empty());
    assert!(errors(&structural, json!({"cpu": 2})).is_empty());
}

#[test]
fn the_size_of_a_schema_is_bounded() {
    let mut deep = json!({"type": "object"});
    for _ in 0..80 {
        deep = json!({"type": "object", "properties": {"a": deep}});
    }
    assert!(complaints(&deep)[0].contains("must not be nested deeper"));
}

/// Schemas that are mostly structural.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string", "maxLength": 3})),
        Just(json!({"type": "string", "pattern": "^a+$", "default": "a"})),
        Just(json!({"type": "integer", "minimum": 0, "default": 3})),
        Just(json!({"type": "boolean", "nullable": true, "default": null})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"x-kubernetes-preserve-unknown-fields": true})),
        Just(json!({"type": "number", "enum": [1, 2.5]})),
        Just(json!({"type": 5})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map("[a-c]", inner.clone(), 0..3)
                .prop_map(|map| json!({"type": "object", "properties": map.into_iter().collect::<serde_json::Map<_, _>>()})),
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.clone().prop_map(|values| json!({"type": "object", "additionalProperties": values})),
            inner.prop_map(|not| json!({"type": "string", "anyOf": [{"not": not}]})),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..5).prop_map(Value::from),
        Just(json!(2.5)),
        "[a-b]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_schema_and_value_are_handled_and_a_second_time_changes_nothing(schema in any_schema(), value in any_value()) {
        let root = json!({"type": "object", "properties": {"spec": schema}});
        if let Ok(structural) = Structural::compile(&root) {
            let mut once = json!({"spec": value});
            structural.prune(&mut once);
            structural.apply_defaults(&mut once).unwrap();
            let mut twice = once.clone();
            prop_assert!(structural.prune(&mut twice).is_empty());
            structural.apply_defaults(&mut twice).unwrap();
            prop_assert_eq!(&once, &twice);
            structural.validate(&once, None);
            // The same object again is always acceptable.
            prop_assert!(structural.validate(&once, Some(&once)).is_empty());
        }
    }

    #[test]
    fn anything_may_be_given_as_a_schema(value in any_value()) {
        let _ = Structural::compile(&value);
    }
}

#[test]
fn rules_are_checked_once_the_rest_is_valid() {
    let structural = Structural::compile(&json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.min <= self.max", "message": "min must not exceed max"},
            {"rule": "self.max < 100", "messageExpression": "'max is ' + string(self.max)", "fieldPath": ".max", "reason": "FieldValueForbidden"},
            {"rule": "self.min >= oldSelf.min"},
            {"rule": "oldSelf.hasValue() || self.min < 50", "optionalOldSelf": true, "message": "starts small"},
            {"rule": "!has(self.until) || self.until > timestamp('2026-01-01T00:00:00Z')", "message": "too early"},
        ],
        "properties": {
            "min": {"type": "integer"}, "max": {"type": "integer"}, "until": {"type": "string", "format": "date-time"},
            "names": {"type": "array", "items": {"type": "string",
                "x-kubernetes-validations": [{"rule": "self.matches('^[a-z]+$')"}]}},
        },
    }}}))
    .unwrap();
    assert!(errors(&structural, json!({"min": 1, "max": 2, "names": ["a"]})).is_empty());
    assert_eq!(
        errors(&structural, json!({"min": 3, "max": 2})),
        [r#"spec: Invalid value: "object": min must not exceed max"#]
    );
    assert_eq!(
        errors(&structural, json!({"min": 3, "max": 200})),
        ["spec.max: Forbidden: max is 200"]
    );
    assert_eq!(
        errors(&structural, json!({"min": 60, "max": 70})),
        [r#"spec: Invalid value: "object": starts small"#]
    );
    assert_eq!(
        errors(
            &structural,
            json!({"min": 1, "max": 2, "until": "2025-01-01T00:00:00Z"})
        ),
        [r#"spec: Invalid value: "object": too early"#]
    );
    assert_eq!(
        errors(
            &structural,
            json!({"min": 1, "max": 2, "names": ["a", "B"]})
        ),
        [r#"spec.names[1]: Invalid value: "string": failed rule: self.matches('^[a-z]+$')"#]
    );
    // The type is told first, and the rule is not asked.
    assert_eq!(errors(&structural, json!({"min": "x", "max": 2})).len(), 1);
    let texts = |new: Value, old: Value| -> Vec<String> {
        structural
            .validate(&new, Some(&old))
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let old = json!({"spec": {"min": 5, "max": 9}});
    assert_eq!(
        texts(json!({"spec": {"min": 4, "max": 9}}), old.clone()),
        [r#"spec: Invalid value: "object": failed rule: self.min >= oldSelf.min"#]
    );
    assert!(texts(json!({"spec": {"min": 6, "max": 9}}), old).is_empty());
}

#[test]
fn a_rule_that_cannot_be_compiled_is_refused_with_the_schema() {
    let found = complaints(&json!({"type": "object", "x-kubernetes-validations": [
        {"rule": "self.a ="}, {"rule": "other.a"}, {"message": "no rule"}, {"rule": "true", "reason": "Because"},
        {"rule": "true", "optionalOldSelf": true}]}));
    let path = "openAPIV3Schema.x-kubernetes-validations";
    assert_eq!(found.len(), 5);
    assert!(found[0].starts_with(&format!(
        "{path}[0].rule: Invalid value: \"self.a =\": compilation failed: Syntax error"
    )));
    assert!(found[1].contains("undeclared reference to 'other'"));
    assert_eq!(
        found[2],
        format!("{path}[2].rule: Required value: rule is not specified")
    );
    assert!(found[3].starts_with(&format!("{path}[3].reason: Unsupported value: \"Because\"")));
    assert!(found[4].contains("optionalOldSelf"));
}

#[test]
fn a_rule_that_takes_too_long_fails() {
    let structural = compiled(
        json!({"list": {"type": "array", "items": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": "self.all(a, self.all(b, self.all(c, self.all(d, true))))"}]}}),
    );
    let found = errors(&structural, json!({"list": vec![1; 500]}));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("call cost exceeds limit"), "{found:?}");
}

#[test]
fn defaults_cannot_make_an_object_as_large_as_they_like() {
    let structural = Structural::compile(&json!({"type": "object", "properties": {"spec": {
        "type": "array",
        "items": {"type": "object", "properties": {"b": {"type": "string", "default": "x".repeat(100_000)}}},
    }}}))
    .unwrap();
    let mut few = json!({"spec": [{}, {}]});
    structural.apply_defaults(&mut few).unwrap();
    assert_eq!(few["spec"][1]["b"].as_str().unwrap().len(), 100_000);
    let mut many = json!({"spec": vec![json!({}); 10_000]});
    structural.apply_defaults(&mut many).unwrap_err();
}
