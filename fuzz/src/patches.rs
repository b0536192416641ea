//! Patches, field sets and server-side apply.

use mosaic_patch::{
    FieldSet, json_patch as apply_json_patch,
    limits::MAX_COPIED_BYTES,
    managed::{Ledger, Writer, apply, track_update},
    merge_patch as apply_merge_patch, strategic_merge as apply_strategic_merge,
};
use serde_json::{Value, json};

/// Reads an array of JSON values.
fn values<const N: usize>(data: &[u8]) -> Option<[Value; N]> {
    serde_json::from_slice::<Vec<Value>>(data)
        .ok()?
        .try_into()
        .ok()
}

fn assert_can_be_read_again(value: &Value) {
    let text = value.to_string();
    let read: Result<Value, _> = serde_json::from_str(&text);
    assert!(read.is_ok(), "cannot be read again: {text}");
}

/// `[document, patch]`: nothing panics, and what results is a document of bounded size and depth.
pub fn json_patch(data: &[u8]) {
    let Some([mut document, patch]) = values(data) else {
        // What is no JSON may still be tried as a patch.
        let _ = apply_json_patch(&mut json!({"a": [1, {"b": 2}]}), data);
        return;
    };
    let (before, patch) = (document.to_string().len(), patch.to_string());
    if apply_json_patch(&mut document, patch.as_bytes()).is_ok() {
        let after = document.to_string().len();
        // Control characters grow sixfold when they are escaped.
        assert!(after <= before + 6 * patch.len() + MAX_COPIED_BYTES);
        assert_can_be_read_again(&document);
    }
}

/// `[document, patch]`: merging twice is merging once.
pub fn merge_patch(data: &[u8]) {
    let Some([mut document, patch]) = values(data) else {
        let _ = apply_merge_patch(&mut json!({"a": {"b": 2}}), data);
        return;
    };
    let patch = patch.to_string();
    if apply_merge_patch(&mut document, patch.as_bytes()).is_ok() {
        let once = document.clone();
        assert!(apply_merge_patch(&mut document, patch.as_bytes()).is_ok());
        assert_eq!(document, once);
        assert_can_be_read_again(&document);
    }
}

/// `[document, patch]`, as pods: nothing panics, and the result can be read again.
pub fn strategic_merge(data: &[u8]) {
    let Some([mut document, patch]) = values(data) else {
        return;
    };
    let Some(ty) = mosaic_schema::builtin("io.k8s.api.core.v1.Pod") else {
        return;
    };
    if apply_strategic_merge(&mut document, patch, &ty).is_ok() {
        assert_can_be_read_again(&document);
    }
}

/// `FieldsV1`, or two of them: reading and writing agree, and the laws of sets hold.
pub fn field_set(data: &[u8]) {
    let Ok(first) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let [first, second] = values(data).unwrap_or([first, json!({})]);
    let (Ok(a), Ok(b)) = (
        FieldSet::from_fields_v1(&first),
        FieldSet::from_fields_v1(&second),
    ) else {
        return;
    };
    let written = json!(a);
    assert_eq!(FieldSet::from_fields_v1(&written), Ok(a.clone()));
    let common = a.intersection(&b);
    assert_eq!(a.clone().difference(&b).union(common), a);
    assert_eq!(a.clone().union(b.clone()), b.union(a.clone()));
    assert_eq!(a.paths().len(), a.len());
}

/// `[live, configuration, managed fields]`, as deployments: applying again changes nothing.
pub fn server_side_apply(data: &[u8]) {
    let Some([live, config, ledger]) = values(data) else {
        return;
    };
    let Some(ty) = mosaic_schema::builtin("io.k8s.api.apps.v1.Deployment") else {
        return;
    };
    let writer = |manager| Writer {
        manager,
        api_version: "apps/v1",
        subresource: "",
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let none = FieldSet::default();
    let object = |spec: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec});
    let mut live = object(live);
    if let Some(metadata) = live.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), ledger);
    }
    let mut before = live.clone();
    let stored = Ledger::take_from(&mut before);
    let mut after = before.clone();
    track_update(
        &mut after,
        Some(&before),
        stored,
        &ty,
        &writer("updater"),
        &none,
    );
    let created = Ledger::default();
    let ledger = track_update(&mut live, None, created, &ty, &writer("creator"), &none);
    ledger.put_into(&mut live);
    let config = object(config);
    if let Ok(once) = apply(Some(&live), &config, &ty, &writer("applier"), &none, true) {
        assert_can_be_read_again(&once);
        let later = Writer {
            now: jiff::Timestamp::MAX,
            ..writer("applier")
        };
        assert_eq!(
            apply(Some(&once), &config, &ty, &later, &none, false),
            Ok(once)
        );
    }
}
