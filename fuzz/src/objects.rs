//! Objects on their way in: read, decoded, filled in and validated as the server does it, without one.

use std::sync::LazyLock;

use mosaic_api::Resource;
use mosaic_schema::{DecodeOptions, Structural, decode, parse};
use mosaic_validation::{apply_defaults, prepare_for_create, validate_create, validate_update};
use serde_json::Value;

static KINDS: LazyLock<Vec<Resource>> = LazyLock::new(mosaic_api::builtin::resources);

/// A built-in kind's number and an object: nothing panics, and an object that was decoded and filled in is
/// left alone by both.
pub fn object(data: &[u8]) {
    let Some((&kind, text)) = data.split_first() else {
        return;
    };
    let kind = &KINDS[usize::from(kind) % KINDS.len()];
    let Ok(read) = parse(text) else { return };
    let mut object = read.value;
    if decode(&kind.ty, &mut object, DecodeOptions::default()).is_err() {
        return;
    }
    let group_kind = kind.group_kind();
    apply_defaults(&group_kind, &mut object);
    prepare_for_create(&group_kind, &mut object);
    let mut again = object.clone();
    let unknown = decode(&kind.ty, &mut again, DecodeOptions::default());
    assert!(
        unknown.as_ref().is_ok_and(Vec::is_empty),
        "{}: {object} does not decode: {unknown:?}",
        kind.kind
    );
    apply_defaults(&group_kind, &mut again);
    assert_eq!(again, object, "{}: defaults of defaults", kind.kind);
    validate_create(&group_kind, &object);
    validate_update(&group_kind, &object, &object);
}

/// A list of a schema and objects of it: nothing panics, and what was pruned and filled in is left alone
/// by both.
pub fn definition(data: &[u8]) {
    let Ok(read) = parse(data) else { return };
    let Value::Array(mut objects) = read.value else {
        return;
    };
    let Some(schema) = objects.pop() else { return };
    let Ok(structural) = Structural::compile(&schema) else {
        return;
    };
    let mut old: Option<Value> = None;
    for mut object in objects {
        structural.prune(&mut object);
        if structural.apply_defaults(&mut object).is_err() {
            continue;
        }
        let mut again = object.clone();
        let unknown = structural.prune(&mut again);
        assert!(unknown.is_empty(), "{object} by {schema}: {unknown:?}");
        assert_eq!(structural.apply_defaults(&mut again), Ok(()));
        assert_eq!(again, object, "defaults of defaults by {schema}");
        structural.validate(&object, old.as_ref());
        old = Some(object);
    }
}
