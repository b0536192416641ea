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

/// How a request wants to see objects.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// In which form.
    pub form: Form,
    /// How much of an object the rows of a table carry.
    pub include: IncludeObject,
    /// Whether its managed fields are left out. Tables never show any but in the objects of their rows.
    pub lean: bool,
}

/// One object.
pub fn object(kind: &Kind, look: Look, object: &Object) -> Bytes {
    match look.form {
        Form::Object => wire(kind, look.lean, object),
        Form::Metadata => metadata(kind, look.lean, object),
        Form::Table => value(
            kind,
            look.form,
            look.include,
            parsed(kind, look.lean, object),
        ),
    }
}

/// The object in its served form.
fn wire(kind: &Kind, lean: bool, object: &Object) -> Bytes {
    match (lean, kind.conversion) {
        (false, _) => convert::wire(kind, object),
        (true, Conversion::None) => codec::without_managed_fields(&object.wire),
        (true, _) => Bytes::from(convert::apart(kind, object).0.to_string()),
    }
}

/// The object in its served form, parsed.
pub fn parsed(kind: &Kind, lean: bool, object: &Object) -> Value {
    if lean {
        convert::apart(kind, object).0
    } else {
        convert::value(kind, object)
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
pub fn metadata(kind: &Kind, lean: bool, object: &Object) -> Bytes {
    let cut = match kind.conversion {
        Conversion::None | Conversion::ApiVersion if lean => {
            codec::metadata_only(&codec::without_managed_fields(&object.wire))
        }
        Conversion::None | Conversion::ApiVersion => codec::metadata_only(&object.wire),
        Conversion::Event => None,
    };
    cut.unwrap_or_else(|| Bytes::from(metadata_of(&parsed(kind, lean, object)).to_string()))
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
    look: Look,
    objects: &[std::sync::Arc<Object>],
    metadata: Map<String, Value>,
) -> Vec<Bytes> {
    if look.form == Form::Table {
        let objects: Vec<Value> = objects
            .iter()
            .map(|object| parsed(kind, look.lean, object))
            .collect();
        return vec![Bytes::from(
            table_of(kind, look.include, &objects, metadata).to_string(),
        )];
    }
    let (list_kind, api_version) = match look.form {
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
        out.put_slice(&object(kind, look, item));
        if out.len() >= PIECE {
            pieces.push(out.split().freeze());
            out.reserve(PIECE);
        }
    }
    out.put_slice(b"]}\n");
    pieces.push(out.freeze());
    pieces
}
