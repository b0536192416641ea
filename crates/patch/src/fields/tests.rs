use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    arbitrary,
    compare::compare,
    remove,
    sample::{deployment, widget},
    *,
};

impl FieldSet {
    fn into_fields_v1(self) -> Value {
        serde_json::to_value(&self).unwrap()
    }
}

fn set(fields: Value) -> FieldSet {
    FieldSet::from_fields_v1(&fields).unwrap()
}

#[test]
fn an_applied_configuration_is_keyed_as_kubernetes_keys_it() {
    let config = json!({
        "apiVersion": "apps/v1",
        "metadata": {"name": "d", "labels": {"app": "d"}, "finalizers": ["a/b"]},
        "spec": {
            "strategy": {},
            "template": {"spec": {
                "nodeSelector": {"zone": "a"},
                "containers": [{
                    "name": "c",
                    "args": ["x"],
                    "ports": [{"containerPort": 80}, {"protocol": "UDP", "containerPort": 53}],
                }],
            }},
        },
    });
    assert_eq!(
        FieldSet::of(&config, &deployment())
            .unwrap()
            .into_fields_v1(),
        json!({
            "f:apiVersion": {},
            "f:metadata": {"f:name": {}, "f:labels": {"f:app": {}}, "f:finalizers": {"v:\"a/b\"": {}}},
            "f:spec": {
                "f:strategy": {},
                "f:template": {"f:spec": {
                    "f:nodeSelector": {},
                    "f:containers": {"k:{\"name\":\"c\"}": {
                        ".": {},
                        "f:name": {},
                        "f:args": {},
                        "f:ports": {
                            "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}},
                            "k:{\"containerPort\":53,\"protocol\":\"UDP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}},
                        },
                    }},
                }},
            },
        })
    );
}

#[test]
fn what_has_no_type_is_owned_key_by_key_and_its_lists_as_a_whole() {
    let config = json!({"spec": {"free": {"deep": {"list": [{"a": 1}]}}, "tags": ["x"]}});
    assert_eq!(
        FieldSet::of(&config, &widget()).unwrap().into_fields_v1(),
        json!({"f:spec": {"f:free": {"f:deep": {".": {}, "f:list": {}}}, "f:tags": {"v:\"x\"": {}}}})
    );
}

#[test]
fn an_item_without_its_key_is_an_error_that_names_the_list() {
    let config = json!({"spec": {"template": {"spec": {"containers": [{"image": "x"}]}}}});
    let error = FieldSet::of(&config, &deployment())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(".spec.template.spec.containers: "),
        "{error}"
    );
    assert!(error.contains("omits key field \"name\""), "{error}");
}

#[test]
fn keys_escape_as_kubernetes_escapes_them() {
    let config = json!({"spec": {"tags": ["a<b>&\"\\\n", "ü"]}});
    let fields = FieldSet::of(&config, &widget()).unwrap().into_fields_v1();
    let tags = fields["f:spec"]["f:tags"].as_object().unwrap();
    assert_eq!(
        tags.keys().map(String::as_str).collect::<Vec<_>>(),
        ["v:\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\"", "v:\"ü\""]
    );
}

#[test]
fn a_new_builtin_object_owns_what_came_to_be_and_not_what_every_object_has() {
    let new = json!({
        "metadata": {"name": "d", "labels": {"app": "d"}},
        "spec": {
            "replicas": 1,
            "strategy": {"rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}},
        },
        "status": {},
    });
    assert_eq!(
        created(&new, &deployment()).into_fields_v1(),
        json!({
            "f:metadata": {"f:name": {}, "f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                    ".": {},
                    "f:name": {},
                    "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}},
                }}}},
            },
        })
    );
}

#[test]
fn of_two_items_with_the_same_key_a_create_owns_the_first() {
    let ports = json!([{"containerPort": 80, "name": "a"}, {"containerPort": 80, "hostPort": 1}]);
    let containers = json!([{"name": "c", "ports": ports}]);
    let new = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let fields = created(&new, &deployment()).into_fields_v1().to_string();
    assert!(
        fields.contains("f:name") && !fields.contains("f:hostPort"),
        "{fields}"
    );
}

#[test]
fn a_new_custom_object_owns_its_spec_too() {
    let new = json!({"spec": {"size": 1}});
    assert_eq!(
        created(&new, &widget()).into_fields_v1(),
        json!({"f:spec": {".": {}, "f:size": {}}})
    );
}

#[test]
fn a_comparison_tells_changed_from_removed() {
    let old = json!({"spec": {"replicas": 1, "paused": true, "template": {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}}}});
    let new = json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c"}, {"name": "a", "image": "1", "args": []}]}}}});
    let delta = compare(&old, &new, &deployment());
    assert_eq!(
        delta.changed.into_fields_v1(),
        json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"a\"}": {"f:args": {}},
            "k:{\"name\":\"c\"}": {".": {}, "f:name": {}},
        }}}}})
    );
    assert_eq!(
        delta.removed.into_fields_v1(),
        json!({"f:spec": {"f:paused": {}, "f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"b\"}": {".": {}, "f:name": {}},
        }}}}})
    );
}

#[test]
fn the_order_of_list_items_and_the_writing_of_numbers_are_no_difference() {
    let old = json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}});
    let new = json!({"spec": {"replicas": 1.0, "template": {"spec": {"containers": [{"name": "b"}, {"name": "a"}]}}}});
    assert!(compare(&old, &new, &deployment()).is_empty());
}

#[test]
fn removing_takes_what_is_below_and_leaves_no_empty_shells() {
    let mut value = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1, "strategy": {}, "template": {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}}}});
    let gone = set(json!({
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}, "k:{\"name\":\"b\"}": {}}}}}
    }));
    remove(&mut value, &gone, &deployment());
    assert_eq!(
        value,
        json!({"spec": {"replicas": 1, "strategy": {}, "template": {"spec": {"containers": [{"name": "a"}]}}}})
    );
}

#[test]
fn keys_of_clients_are_brought_into_canonical_form() {
    let fields = json!({"k:{ \"protocol\" : \"TCP\", \"containerPort\":80}": {}, "v: \"a\"": {}, "i:07": {}, "x:later": {}});
    assert_eq!(
        set(fields).into_fields_v1(),
        json!({"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {}, "v:\"a\"": {}, "i:7": {}})
    );
}

#[test]
fn malformed_sets_are_refused() {
    for fields in [
        json!([]),
        json!("x"),
        json!({"nocolon": {}}),
        json!({"f:a": 1}),
        json!({"k:": {}}),
        json!({"k:{}": {}}),
        json!({"v:x": {}}),
        json!({"i:x": {}}),
        json!({"": {}}),
    ] {
        assert!(FieldSet::from_fields_v1(&fields).is_err(), "{fields}");
    }
}

#[test]
fn sets_that_are_too_deep_or_too_large_are_refused() {
    let mut deep = json!({});
    for _ in 0..400 {
        deep = json!({ "f:a": deep });
    }
    assert_eq!(FieldSet::from_fields_v1(&deep), Err(FieldSetError::TooDeep));
    let large = Value::Object(
        (0..=crate::limits::MAX_FIELDS)
            .map(|i| (format!("f:{i}"), json!({})))
            .collect(),
    );
    assert_eq!(
        FieldSet::from_fields_v1(&large),
        Err(FieldSetError::TooManyFields)
    );
}

#[test]
fn paths_read_as_in_conflicts() {
    let fields = set(json!({"f:spec": {
        "f:a": {},
        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}},
        "f:tags": {"v:\"x\"": {}},
        "f:list": {"i:3": {}},
    }}));
    assert_eq!(
        fields.paths(),
        [
            ".spec.a",
            ".spec.list[3]",
            ".spec.ports[containerPort=80,protocol=\"TCP\"]",
            ".spec.ports[containerPort=80,protocol=\"TCP\"].name",
            ".spec.tags[=\"x\"]",
        ]
    );
    assert_eq!(
        fields.leaves().len(),
        4,
        "the port itself has a field below it"
    );
}

#[test]
fn a_recursive_difference_takes_what_is_below() {
    let fields = set(json!({"f:spec": {"f:a": {}}, "f:status": {"f:b": {}}}));
    let status = FieldSet::from_field_names(&[&["status"]]);
    assert_eq!(fields.clone().difference(&status), fields);
    assert_eq!(
        fields.recursive_difference(&status).into_fields_v1(),
        json!({"f:spec": {"f:a": {}}})
    );
}

proptest! {
    #[test]
    fn a_set_reads_as_it_was_written(set in arbitrary::field_set()) {
        prop_assert_eq!(&FieldSet::from_fields_v1(&set.clone().into_fields_v1()).unwrap(), &set);
        // The text is that of sorted members, as whoever compares texts expects.
        let text = serde_json::to_string(&set).unwrap();
        prop_assert_eq!(&text, &set.clone().into_fields_v1().to_string());
        prop_assert_eq!(FieldSet::from_stored(&text).unwrap(), set);
    }

    #[test]
    fn union_and_difference_are_those_of_sets(a in arbitrary::field_set(), b in arbitrary::field_set()) {
        let both = a.clone().union(b.clone());
        prop_assert_eq!(&both, &b.clone().union(a.clone()));
        prop_assert_eq!(&a.clone().union(a.clone()), &a);
        prop_assert!(a.clone().difference(&both).is_empty());
        prop_assert_eq!(both.len(), a.len() + b.clone().difference(&a).len());
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.clone().difference(&b).union(a.intersection(&b)), a.clone());
        prop_assert!(a.clone().difference(&b).intersection(&b).is_empty());
    }

    #[test]
    fn leaves_are_part_of_the_set(a in arbitrary::field_set()) {
        prop_assert!(a.leaves().difference(&a).is_empty());
        prop_assert_eq!(a.leaves().is_empty(), a.is_empty());
    }

    #[test]
    fn removing_what_a_value_sets_leaves_nothing_of_it(value in arbitrary::deployment()) {
        let ty = deployment();
        let set = FieldSet::of(&value, &ty).unwrap();
        let mut rest = value;
        remove(&mut rest, &set, &ty);
        prop_assert_eq!(rest, json!({}));
    }

    #[test]
    fn a_comparison_accounts_for_every_field(old in arbitrary::deployment(), new in arbitrary::deployment()) {
        let ty = widget_like(&deployment());
        let delta = compare(&old, &new, &ty);
        let (before, after) = (created(&old, &ty), created(&new, &ty));
        prop_assert!(delta.removed.clone().difference(&before).is_empty());
        prop_assert!(delta.changed.clone().difference(&after).is_empty());
        prop_assert_eq!(before.difference(&delta.removed).union(delta.changed), after);
        prop_assert!(compare(&old, &old, &ty).is_empty());
    }

    #[test]
    fn nothing_panics(old in arbitrary::value(), new in arbitrary::value(), fields in arbitrary::value()) {
        let ty = deployment();
        let _ = FieldSet::of(&new, &ty);
        let _ = compare(&old, &new, &ty);
        let mut value = old;
        remove(&mut value, &created(&new, &ty), &ty);
        let _ = FieldSet::from_fields_v1(&fields);
    }
}

/// The same type without names, so that nothing is there that was not written.
fn widget_like(ty: &Type) -> Type {
    let mut ty = ty.clone();
    ty.name = None;
    match &mut ty.shape {
        Shape::Object(object) => {
            for field in object.fields.values_mut() {
                field.ty = std::sync::Arc::new(widget_like(&field.ty));
            }
        }
        Shape::List(list) => list.items = std::sync::Arc::new(widget_like(&list.items)),
        Shape::Map(map) => map.values = std::sync::Arc::new(widget_like(&map.values)),
        _ => {}
    }
    ty
}
