//! Reading the protobuf form of objects of built-in kinds.
//!
//! Go clients, `kubectl` among them, send objects of the kinds that they have structs for as
//! [`MEDIA_TYPE`]. [`decode`] turns such a body into the JSON value that the same client would have sent
//! as JSON, so that nothing after it needs to know.
//!
//! ```text
//!  k8s\0 ── envelope ──► apiVersion, kind ──► structural type ─┐
//!               └──────► bytes ──► wire ───────────────────────┴── decode ──► JSON value
//!                                   numbers.txt (number ◄─► JSON name) ──┘
//! ```
//!
//! The structural type tells what a field is, the table of numbers which field it is. What neither wire
//! nor type tells is whether a zero is a value: Go writes the zero of a field that is no pointer as if
//! it had been set. The table's marks decide, so that such a zero is absent where JSON leaves it out.
//!
//! Everything is bounded: [`MAX_BYTES`], [`MAX_VALUES`], [`MAX_DEPTH`]. Numbers that are not in the table
//! are skipped, as they are fields of another version of Kubernetes.

mod decode;
mod envelope;
mod error;
mod numbers;
mod scalar;
mod schema_props;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use mosaic_schema::Type;
use serde_json::{Map as JsonMap, Value};

pub use error::{Problem, ProtobufError};

/// The media type of what [`decode`] reads.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The longest body that is read, in bytes.
pub const MAX_BYTES: usize = 8 << 20;

/// The most values that a body may hold: two bytes can be a value of many.
pub const MAX_VALUES: usize = 500_000;

/// How deep the JSON value may be nested.
pub const MAX_DEPTH: usize = 64;

/// Reads a body. `type_of` gives the type of a built-in kind by its API version (such as `apps/v1`) and
/// its name.
///
/// The result has `apiVersion` and `kind` as the body says them. Values are of their types, but not
/// validated.
///
/// # Errors
///
/// The body is not protobuf, is of a kind without a type, has a field that is not of its type, or is
/// beyond one of the bounds.
pub fn decode(
    bytes: &[u8],
    type_of: impl Fn(&str, &str) -> Option<Arc<Type>>,
) -> Result<Value, ProtobufError> {
    if bytes.len() > MAX_BYTES {
        return Err(ProtobufError::TooLong { limit: MAX_BYTES });
    }
    let envelope = envelope::read(bytes)?;
    let ty =
        type_of(envelope.api_version, envelope.kind).ok_or_else(|| ProtobufError::UnknownKind {
            api_version: envelope.api_version.to_owned(),
            kind: envelope.kind.to_owned(),
        })?;
    let mut object = JsonMap::new();
    decode::Decoder::default().object(&ty, envelope.raw, &mut object, MAX_DEPTH)?;
    for (key, text) in [
        ("apiVersion", envelope.api_version),
        ("kind", envelope.kind),
    ] {
        if !text.is_empty() {
            object.insert(key.to_owned(), Value::from(text));
        }
    }
    Ok(Value::Object(object))
}
