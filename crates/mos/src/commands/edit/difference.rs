//! Differences of objects as JSON merge patches (RFC 7386).

use serde_json::{Map, Value};

/// The merge patch that makes `after` of `before`. An object's fields are compared one by one, all else
/// is replaced as a whole.
pub(super) fn difference(before: &Value, after: &Value) -> Value {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        return after.clone();
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            Some(known) if known == value => {}
            Some(known) if known.is_object() && value.is_object() => {
                patch.insert(key.clone(), difference(known, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// Applies a merge patch.
pub(super) fn merge(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            let known = target.remove(key).unwrap_or_default();
            target.insert(key.clone(), merge(known, value));
        }
    }
    Value::Object(target)
}

/// The fields that two patches of the same object set to different values.
pub(super) fn overlap(ours: &Value, theirs: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    collect(ours, theirs, &mut String::new(), &mut fields);
    fields
}

fn collect(ours: &Value, theirs: &Value, path: &mut String, fields: &mut Vec<String>) {
    if ours == theirs {
        return;
    }
    let (Some(mine), Some(other)) = (ours.as_object(), theirs.as_object()) else {
        fields.push(path.clone());
        return;
    };
    for (key, value) in mine {
        let Some(their_value) = other.get(key) else {
            continue;
        };
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        collect(value, their_value, path, fields);
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_changed_is_in_a_difference() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]});
        let after = json!({"a": 1, "b": {"c": 3}, "e": [1, 2], "f": "x"});
        assert_eq!(
            difference(&before, &after),
            json!({"b": {"c": 3, "d": null}, "e": [1, 2], "f": "x"})
        );
        assert_eq!(difference(&before, &before), json!({}));
    }

    #[test]
    fn an_overlap_is_the_same_field_with_another_value() {
        let ours =
            json!({"spec": {"replicas": 3, "image": "a"}, "metadata": {"labels": {"x": "1"}}});
        assert_eq!(
            overlap(&ours, &json!({"spec": {"replicas": 5}, "status": {}})),
            ["spec.replicas"]
        );
        assert!(overlap(&ours, &json!({"spec": {"image": "a", "other": 1}})).is_empty());
        assert_eq!(
            overlap(&ours, &json!({"metadata": {"labels": null}})),
            ["metadata.labels"]
        );
    }

    fn objects() -> impl Strategy<Value = Value> {
        // Null means removal in a merge patch, so objects of an API do not contain it.
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0i64..3).prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c]", value, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_difference_makes_one_of_the_other(before in objects(), after in objects()) {
            let patch = difference(&before, &after);
            prop_assert_eq!(merge(before, &patch), after);
        }

        #[test]
        fn patches_without_overlap_can_be_applied_in_either_order(base in objects(), a in objects(), b in objects()) {
            let (ours, theirs) = (difference(&base, &a), difference(&base, &b));
            if overlap(&ours, &theirs).is_empty() {
                let one = merge(merge(base.clone(), &ours), &theirs);
                let other = merge(merge(base, &theirs), &ours);
                prop_assert_eq!(one, other);
            }
        }
    }
}
