mod applying;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    FieldSet,
    fields::{
        arbitrary,
        sample::{deployment, widget},
    },
};

fn writer(manager: &str, seconds: i64) -> Writer<'_> {
    Writer {
        manager,
        api_version: "apps/v1",
        subresource: "",
        now: Timestamp::from_second(seconds).unwrap(),
    }
}

fn written(new: Value, old: Option<&Value>, writer: &Writer<'_>) -> Value {
    written_but(new, old, writer, &FieldSet::default())
}

/// What is stored after a write through a door that resets some fields.
fn written_but(
    mut new: Value,
    old: Option<&Value>,
    writer: &Writer<'_>,
    ignore: &FieldSet,
) -> Value {
    let mut old = old.cloned();
    let stored = old.as_mut().map(Ledger::take_from).unwrap_or_default();
    let ledger = track_update(
        &mut new,
        old.as_ref(),
        stored,
        &deployment(),
        writer,
        ignore,
    );
    ledger.put_into(&mut new);
    new
}

fn applied(live: Option<&Value>, config: &Value, writer: &Writer<'_>) -> Result<Value, ApplyError> {
    apply(
        live,
        config,
        &deployment(),
        writer,
        &FieldSet::default(),
        false,
    )
}

fn forced(live: Option<&Value>, config: &Value, writer: &Writer<'_>) -> Value {
    apply(
        live,
        config,
        &deployment(),
        writer,
        &FieldSet::default(),
        true,
    )
    .unwrap()
}

fn conflicts(result: Result<Value, ApplyError>) -> Conflicts {
    match result {
        Err(ApplyError::Conflicts(conflicts)) => conflicts,
        other => panic!("no conflicts: {other:?}"),
    }
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}, "spec": spec})
}

fn entries(object: &Value) -> &[Value] {
    object["metadata"]["managedFields"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn owned(object: &Value, manager: &str) -> Value {
    entries(object)
        .iter()
        .find(|entry| entry["manager"] == manager)
        .map_or(Value::Null, |e| e["fieldsV1"].clone())
}

fn without_ledger(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("managedFields");
    object
}

mod tracking {
    use super::*;

    #[test]
    fn a_create_is_recorded_with_everything_but_the_identity() {
        let new = written(
            object(json!({"replicas": 1})),
            None,
            &writer("kubectl-create", 7),
        );
        assert_eq!(
            new["metadata"]["managedFields"],
            json!([{
                "manager": "kubectl-create",
                "operation": "Update",
                "apiVersion": "apps/v1",
                "time": "1970-01-01T00:00:07Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:replicas": {}}},
            }])
        );
    }

    #[test]
    fn an_update_takes_what_it_changes_and_no_more() {
        let old = written(
            object(json!({"replicas": 1, "paused": true})),
            None,
            &writer("a", 1),
        );
        let mut new = old.clone();
        new["spec"]["replicas"] = json!(2);
        let new = written(new, Some(&old), &writer("b", 2));
        assert_eq!(owned(&new, "a"), json!({"f:spec": {"f:paused": {}}}));
        assert_eq!(owned(&new, "b"), json!({"f:spec": {"f:replicas": {}}}));
        assert_eq!(entries(&new)[0]["time"], "1970-01-01T00:00:01Z");
    }

    #[test]
    fn an_update_that_changes_nothing_leaves_the_ledger_as_it_is() {
        let old = written(object(json!({"replicas": 1})), None, &writer("a", 1));
        assert_eq!(written(old.clone(), Some(&old), &writer("b", 2)), old);
        assert_eq!(
            written(without_ledger(&old), Some(&old), &writer("b", 2)),
            old
        );
    }

    #[test]
    fn what_is_removed_is_nobodys() {
        let old = written(
            object(json!({"replicas": 1, "paused": true})),
            None,
            &writer("a", 1),
        );
        let new = written(object(json!({"replicas": 1})), Some(&old), &writer("b", 2));
        assert_eq!(owned(&new, "a"), json!({"f:spec": {"f:replicas": {}}}));
        assert_eq!(entries(&new).len(), 1);
    }

    #[test]
    fn a_manager_that_owns_nothing_any_more_is_not_listed() {
        let old = written(object(json!({"replicas": 1})), None, &writer("a", 1));
        let new = written(object(json!({"replicas": 2})), Some(&old), &writer("b", 2));
        assert_eq!(owned(&new, "a"), Value::Null);
    }

    #[test]
    fn a_subresource_has_an_entry_of_its_own_and_does_not_read_what_is_sent() {
        let old = written(object(json!({"replicas": 1})), None, &writer("a", 1));
        let mut new = old.clone();
        new["status"] = json!({"readyReplicas": 1});
        new["metadata"]["managedFields"] = json!([]);
        let new = written(
            new,
            Some(&old),
            &Writer {
                subresource: "status",
                ..writer("a", 2)
            },
        );
        assert_eq!(entries(&new).len(), 2);
        assert_eq!(entries(&new)[1]["subresource"], "status");
        assert_eq!(
            entries(&new)[1]["fieldsV1"],
            json!({"f:status": {"f:readyReplicas": {}}})
        );
    }

    #[test]
    fn fields_that_the_door_resets_are_not_taken() {
        let mut new = object(json!({"replicas": 1}));
        new["status"] = json!({"readyReplicas": 1});
        let status = FieldSet::from_field_names(&[&["status"]]);
        let new = written_but(new, None, &writer("a", 1), &status);
        assert_eq!(owned(&new, "a"), json!({"f:spec": {"f:replicas": {}}}));
    }

    #[test]
    fn an_empty_list_or_entry_clears_the_ledger_and_updates_do_not_start_it_again() {
        let old = written(object(json!({"replicas": 1})), None, &writer("a", 1));
        for reset in [json!([]), json!([{}])] {
            let mut new = old.clone();
            new["metadata"]["managedFields"] = reset;
            new["spec"]["replicas"] = json!(2);
            let new = written(new, Some(&old), &writer("b", 2));
            assert_eq!(new["metadata"].get("managedFields"), None);
            assert_eq!(
                written(object(json!({})), Some(&new), &writer("b", 3))["metadata"]
                    .get("managedFields"),
                None
            );
        }
    }

    #[test]
    fn an_invalid_ledger_from_a_client_is_as_if_it_had_not_been_sent() {
        let old = written(object(json!({"replicas": 1})), None, &writer("a", 1));
        for sent in [
            json!("x"),
            json!([{"manager": "x"}]),
            json!([{"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"bad": {}}}]),
        ] {
            let mut new = old.clone();
            new["metadata"]["managedFields"] = sent;
            assert_eq!(written(new, Some(&old), &writer("b", 2)), old);
        }
    }

    #[test]
    fn a_valid_ledger_from_a_client_replaces_the_stored_one() {
        let old = written(object(json!({"replicas": 1})), None, &writer("a", 1));
        let mut new = old.clone();
        new["metadata"]["managedFields"][0]["manager"] = json!("renamed");
        let new = written(new, Some(&old), &writer("b", 2));
        assert_eq!(
            owned(&new, "renamed"),
            json!({"f:spec": {"f:replicas": {}}})
        );
        assert_eq!(entries(&new).len(), 1);
    }

    #[test]
    fn the_oldest_updates_are_gathered_when_there_are_too_many() {
        let mut object = written(object(json!({"replicas": 1})), None, &writer("first", 0));
        for index in 0..14_i64 {
            let mut new = object.clone();
            new["metadata"]["labels"][format!("l{index}")] = json!("x");
            object = written(new, Some(&object), &writer(&format!("m{index}"), index));
        }
        assert_eq!(entries(&object).len(), 10);
        let ancient = owned(&object, "ancient-changes");
        assert_eq!(ancient["f:spec"]["f:replicas"], json!({}));
        assert_eq!(ancient["f:metadata"]["f:labels"]["f:l0"], json!({}));
        assert_eq!(ancient["f:metadata"]["f:labels"]["f:l4"], json!({}));
        assert_eq!(
            owned(&object, "m13"),
            json!({"f:metadata": {"f:labels": {"f:l13": {}}}})
        );
    }

    #[test]
    fn what_has_no_metadata_is_not_tracked() {
        assert_eq!(
            written(json!({"spec": {}}), None, &writer("a", 1)),
            json!({"spec": {}})
        );
    }
}

mod from_client_side_apply {
    use super::*;

    const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

    /// What `kubectl apply` without `--server-side` leaves.
    fn live() -> Value {
        let config = object(json!({"replicas": 1, "paused": true}));
        let mut live = config.clone();
        live["metadata"]["annotations"] = json!({ ANNOTATION: config.to_string() });
        written(live, None, &writer("kubectl-client-side-apply", 1))
    }

    #[test]
    fn kubectl_takes_over_what_it_applied_before() {
        let new = applied(
            Some(&live()),
            &object(json!({"replicas": 2})),
            &writer("kubectl", 2),
        )
        .unwrap();
        assert_eq!(new["spec"]["replicas"], 2);
        assert_eq!(
            owned(&new, "kubectl"),
            json!({"f:spec": {"f:replicas": {}}})
        );
    }

    #[test]
    fn kubectl_does_not_take_over_what_changed_since() {
        let live = live();
        let mut scaled = live.clone();
        scaled["spec"]["replicas"] = json!(5);
        let scaled = written(scaled, Some(&live), &writer("hpa", 2));
        let config = object(json!({"replicas": 2, "paused": false}));
        let conflicts = conflicts(applied(Some(&scaled), &config, &writer("kubectl", 3)));
        assert_eq!(conflicts.0.len(), 1, "{conflicts}");
        assert_eq!(conflicts.0[0].manager, "hpa");
    }

    #[test]
    fn others_do_not_take_over() {
        conflicts(applied(
            Some(&live()),
            &object(json!({"replicas": 2})),
            &writer("flux", 2),
        ));
    }

    #[test]
    fn kubectl_keeps_the_annotation_up_to_date() {
        let config = object(json!({"replicas": 2}));
        let new = applied(Some(&live()), &config, &writer("kubectl", 2)).unwrap();
        assert_eq!(
            new["metadata"]["annotations"][ANNOTATION],
            format!("{config}\n")
        );
        let other = forced(Some(&live()), &config, &writer("flux", 2));
        assert_eq!(
            other["metadata"]["annotations"],
            live()["metadata"]["annotations"]
        );
    }
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(live in arbitrary::deployment(), config in arbitrary::deployment()) {
        let live = written(live, None, &writer("creator", 1));
        let once = forced(Some(&live), &config, &writer("a", 2));
        prop_assert_eq!(applied(Some(&once), &config, &writer("a", 3)).unwrap(), once);
    }

    #[test]
    fn what_was_applied_is_there(live in arbitrary::deployment(), config in arbitrary::deployment()) {
        let live = written(live, None, &writer("creator", 1));
        let new = forced(Some(&live), &config, &writer("a", 2));
        let ty = deployment();
        let missing = FieldSet::of(&config, &ty).unwrap().difference(&FieldSet::of(&new, &ty).unwrap());
        prop_assert!(missing.is_empty(), "{}", missing);
        prop_assert!(conflicting(&new, &config).is_empty());
    }

    #[test]
    fn applying_nothing_takes_back_what_was_applied(live in arbitrary::deployment(), config in arbitrary::deployment()) {
        let ty = deployment();
        let live = written(live, None, &writer("creator", 1));
        let new = forced(Some(&live), &config, &writer("a", 2));
        let empty = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}});
        let after = applied(Some(&new), &empty, &writer("a", 3)).unwrap();
        prop_assert_eq!(owned(&after, "a"), Value::Null);
        // What is left was there without the applier.
        let left = FieldSet::of(&without_ledger(&after), &ty).unwrap();
        let rest = left.difference(&FieldSet::of(&live, &ty).unwrap()).difference(&FieldSet::of(&empty, &ty).unwrap());
        prop_assert!(rest.is_empty(), "{}", rest);
    }

    #[test]
    fn an_update_never_takes_what_it_does_not_change(
        first in arbitrary::deployment(), second in arbitrary::deployment(), third in arbitrary::deployment()
    ) {
        let ty = deployment();
        let one = written(first, None, &writer("a", 1));
        let two = written(second, Some(&one), &writer("b", 2));
        let three = written(third, Some(&two), &writer("c", 3));
        let delta = crate::fields::compare(&without_ledger(&two), &without_ledger(&three), &ty);
        for manager in ["a", "b"] {
            let read = |object: &Value| match owned(object, manager) {
                Value::Null => FieldSet::default(),
                fields => FieldSet::from_fields_v1(&fields).unwrap(),
            };
            let kept = read(&two).difference(&delta.changed).difference(&delta.removed);
            prop_assert_eq!(read(&three), kept);
        }
    }

    #[test]
    fn nothing_panics(new in arbitrary::value(), old in arbitrary::value(), config in arbitrary::value(), ledger in arbitrary::value()) {
        let ty = deployment();
        let none = FieldSet::default();
        let with_ledger = |metadata: &Value| json!({"apiVersion": "apps/v1", "metadata": {"labels": metadata, "managedFields": ledger}, "spec": metadata});
        for old in [Some(&old), Some(&with_ledger(&old)), None] {
            for new in [new.clone(), with_ledger(&new)] {
                let _ = written_but(new, old, &writer("a", 1), &none);
            }
            let config = json!({"apiVersion": "apps/v1", "metadata": {"labels": config}, "spec": config});
            let _ = apply(old, &config, &ty, &writer("a", 1), &none, true);
        }
    }
}

/// The fields of a configuration that an object has with another value.
fn conflicting(object: &Value, config: &Value) -> FieldSet {
    let ty = deployment();
    crate::fields::compare(config, object, &ty)
        .changed
        .intersection(&FieldSet::of(config, &ty).unwrap())
        .leaves()
}
