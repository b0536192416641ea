//! Conditions that the server itself writes.

use serde_json::{Value, json};

/// Sets a condition in an object's status, in place of one of the same type.
pub(super) fn set(object: &mut Value, condition: Value) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let status = object.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else {
        return;
    };
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    conditions.retain(|known| {
        known
            .get("type")
            .is_none_or(|ty| Some(ty) != condition.get("type"))
    });
    conditions.push(condition);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_takes_the_place_of_an_older_one() {
        let mut pod = json!({});
        for status in ["False", "True"] {
            set(&mut pod, json!({"type": "Ready", "status": status}));
            set(&mut pod, json!({"type": "Other", "status": "True"}));
        }
        let expected = json!([
            {"type": "Ready", "status": "True"},
            {"type": "Other", "status": "True"},
        ]);
        assert_eq!(pod["status"]["conditions"], expected);
        for mut odd in [
            json!(null),
            json!({"status": 1}),
            json!({"status": {"conditions": {}}}),
        ] {
            let before = odd.clone();
            set(&mut odd, json!({"type": "Ready"}));
            assert_eq!(odd, before);
        }
    }
}
