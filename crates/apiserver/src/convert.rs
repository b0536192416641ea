//! Between the stored form of objects and the forms that are served.

use bytes::Bytes;
use mosaic_api::events;
use mosaic_patch::managed::Ledger;
use serde_json::Value;

use crate::{
    cache::Object,
    codec,
    kinds::{Conversion, Kind},
};

/// The object as this kind serves it. Bytes are shared where nothing differs.
pub fn wire(kind: &Kind, object: &Object) -> Bytes {
    let differs = match kind.conversion {
        Conversion::None => false,
        Conversion::Event => true,
        Conversion::ApiVersion => !object
            .wire
            .starts_with(format!("{{\"apiVersion\":\"{}\"", kind.api_version).as_bytes()),
    };
    if differs {
        Bytes::from(served(kind, object.value()).to_string())
    } else {
        object.wire.clone()
    }
}

/// The object as this kind serves it, parsed.
pub fn value(kind: &Kind, object: &Object) -> Value {
    served(kind, object.value())
}

/// The object as this kind serves it, parsed, without its managed fields, and these.
pub fn apart(kind: &Kind, object: &Object) -> (Value, Ledger) {
    // The server wrote these bytes itself.
    let (value, ledger) = codec::decode_apart(&object.wire).unwrap_or_default();
    (served(kind, value), ledger)
}

/// The served form of a stored object.
pub fn served(kind: &Kind, mut stored: Value) -> Value {
    match kind.conversion {
        Conversion::None => stored,
        Conversion::Event => events::from_core(stored),
        Conversion::ApiVersion => {
            set_api_version(&mut stored, &kind.api_version);
            stored
        }
    }
}

/// The stored form of a served object.
pub fn stored(kind: &Kind, mut served: Value) -> Value {
    match kind.conversion {
        Conversion::None => served,
        Conversion::Event => events::to_core(served),
        Conversion::ApiVersion => {
            if let Some(custom) = kind.custom() {
                set_api_version(
                    &mut served,
                    &format!("{}/{}", kind.group, custom.storage_version),
                );
            }
            served
        }
    }
}

fn set_api_version(object: &mut Value, api_version: &str) {
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), Value::from(api_version));
    }
}
