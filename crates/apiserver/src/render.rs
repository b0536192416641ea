//! Objects, lists and watch events in the form that a client asked for.

use bytes::{BufMut, Bytes, BytesMut};
pub use mosaic_api::columns::IncludeObject;
use mosaic_api::columns::table;
use serde_json::{Map, Value, json};

use crate::{
    cache::Object,
    codec, convert,
    http::accept::Form,
    kinds::{Conversion, Kind},
};

/// One object.
pub fn object(kind: &Kind, form: Form, include: IncludeObject, object: &Object) -> Bytes {
    match form {
        Form::Object => convert::wire(kind, object),
        Form::Metadata => metadata(kind, object),
        Form::Table => value(kind, form, include, convert::value(kind, object)),
    }
}

/// One object that is parsed already, in its served form.
pub fn value(kind: &Kind, form: Form, include: IncludeObject, object: Value) -> Bytes {
    let shown = match form {
        Form::Object => object,
        Form::Metadata => metadata_of(&object),
        Form::Table => {
            let mut metadata = Map::new();
            if let Some(revision) = object.pointer("/metadata/resourceVersion") {
                metadata.insert("resourceVersion".to_owned(), revision.clone());
            }
            table_of(kind, include, &[object], metadata)
        }
    };
    // Not `to_string`, which writes through a formatter, several times slower.
    serde_json::to_vec(&shown).unwrap_or_default().into()
}

/// `PartialObjectMetadata` of an object in the cache.
pub fn metadata(kind: &Kind, object: &Object) -> Bytes {
    let cut = match kind.conversion {
        Conversion::None | Conversion::ApiVersion => codec::metadata_only(&object.wire),
        Conversion::Event => None,
    };
    cut.unwrap_or_else(|| Bytes::from(metadata_of(&convert::value(kind, object)).to_string()))
}

/// `PartialObjectMetadata` of an object.
fn metadata_of(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

/// A table of objects; `metadata` becomes the list's.
pub fn table_of(
    kind: &Kind,
    include: IncludeObject,
    objects: &[Value],
    metadata: Map<String, Value>,
) -> Value {
    table(
        &kind.row,
        Value::Object(metadata),
        objects,
        jiff::Timestamp::now(),
        include,
    )
}

/// A list, as pieces of about 64 KiB.
pub fn list(
    kind: &Kind,
    form: Form,
    include: IncludeObject,
    objects: &[std::sync::Arc<Object>],
    metadata: Map<String, Value>,
) -> Vec<Bytes> {
    if form == Form::Table {
        let objects: Vec<Value> = objects
            .iter()
            .map(|object| convert::value(kind, object))
            .collect();
        return vec![Bytes::from(
            table_of(kind, include, &objects, metadata).to_string(),
        )];
    }
    let (list_kind, api_version) = match form {
        Form::Metadata => ("PartialObjectMetadataList", "meta.k8s.io/v1"),
        _ => (&*kind.list_kind, kind.api_version.as_str()),
    };
    const PIECE: usize = 64 << 10;
    let mut pieces = Vec::new();
    let mut out = BytesMut::with_capacity(PIECE.min(objects.len().saturating_mul(1024) + 256));
    out.put_slice(
        format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
            Value::from(list_kind),
            Value::from(api_version),
            Value::from(metadata)
        )
        .as_bytes(),
    );
    for (at, item) in objects.iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        match form {
            Form::Metadata => out.put_slice(&self::metadata(kind, item)),
            _ => out.put_slice(&convert::wire(kind, item)),
        }
        if out.len() >= PIECE {
            pieces.push(out.split().freeze());
            out.reserve(PIECE);
        }
    }
    out.put_slice(b"]}\n");
    pieces.push(out.freeze());
    pieces
}
