//! How objects are kept and sent.
//!
//! The store keeps an object as JSON without its `resourceVersion`, which is the revision of the write
//! itself. `apiVersion`, `kind` and `metadata` come first, so that the revision can be spliced in at a
//! known place: an object is serialised once, and every reader and watcher gets the same bytes.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use mosaic_store::Revision;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

const METADATA: &[u8] = b"\"metadata\":{";
const REVISION: &[u8] = b"\"resourceVersion\":\"";

/// Serialises an object for the store. A `resourceVersion` in it is left out.
///
/// # Errors
/// If the object is not a JSON object with an object as `metadata`.
pub fn encode(object: &Value) -> Result<Bytes, &'static str> {
    let map = object.as_object().ok_or("not an object")?;
    let metadata = map
        .get("metadata")
        .and_then(Value::as_object)
        .ok_or("metadata is not an object")?;
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    for key in ["apiVersion", "kind"] {
        if let Some(value) = map.get(key) {
            write_member(&mut out, key, value)?;
            out.push(b',');
        }
    }
    out.extend_from_slice(METADATA);
    write_members(&mut out, metadata, |key| key != "resourceVersion")?;
    out.push(b'}');
    for (key, value) in map {
        if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
            out.push(b',');
            write_member(&mut out, key, value)?;
        }
    }
    out.push(b'}');
    Ok(Bytes::from(out))
}

/// The stored form of an object of which only the outermost members are parsed, sorted by name. Its metadata has no
/// `resourceVersion`.
pub fn encode_members(members: &BTreeMap<&str, &RawValue>) -> Bytes {
    let length: usize = members
        .iter()
        .map(|(k, v)| k.len() + v.get().len() + 4)
        .sum();
    let mut out = Vec::with_capacity(length + 2);
    out.push(b'{');
    let first = ["apiVersion", "kind", "metadata"];
    let first = first.iter().filter_map(|key| members.get_key_value(key));
    let others = members
        .iter()
        .filter(|(key, _)| !matches!(**key, "apiVersion" | "kind" | "metadata"));
    for (at, (key, value)) in first.chain(others).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
    Bytes::from(out)
}

fn write_members(
    out: &mut Vec<u8>,
    map: &Map<String, Value>,
    keep: impl Fn(&str) -> bool,
) -> Result<(), &'static str> {
    let mut first = true;
    for (key, value) in map.iter().filter(|(key, _)| keep(key)) {
        if !first {
            out.push(b',');
        }
        first = false;
        write_member(out, key, value)?;
    }
    Ok(())
}

fn write_member(out: &mut Vec<u8>, key: &str, value: &Value) -> Result<(), &'static str> {
    serde_json::to_writer(&mut *out, key).map_err(|_| "key cannot be serialised")?;
    out.push(b':');
    serde_json::to_writer(out, value).map_err(|_| "value cannot be serialised")
}

/// The bytes that clients see: stored bytes with their revision spliced in.
pub fn with_revision(stored: &[u8], revision: Revision) -> Bytes {
    let Some(at) = memchr::memmem::find(stored, METADATA).map(|at| at + METADATA.len()) else {
        // Only `encode` writes objects, and it always writes metadata.
        return Bytes::copy_from_slice(stored);
    };
    let (head, tail) = stored.split_at(at);
    let mut out = BytesMut::with_capacity(stored.len() + REVISION.len() + 24);
    out.put_slice(head);
    out.put_slice(REVISION);
    out.put_slice(revision.to_string().as_bytes());
    out.put_u8(b'"');
    if tail.first() != Some(&b'}') {
        out.put_u8(b',');
    }
    out.put_slice(tail);
    out.freeze()
}

/// `PartialObjectMetadata` of an object, from clients' bytes: the metadata is cut out, not parsed. None if
/// the bytes have none where [`encode`] puts it.
pub fn metadata_only(wire: &[u8]) -> Option<Bytes> {
    const HEAD: &[u8] =
        b"{\"apiVersion\":\"meta.k8s.io/v1\",\"kind\":\"PartialObjectMetadata\",\"metadata\":";
    // `apiVersion` and `kind` are all that can come before, and a string holds no bare quotation mark.
    let at = memchr::memmem::find(wire, METADATA)? + METADATA.len() - 1;
    let (_, tail) = wire.split_at_checked(at)?;
    // Reads one value and leaves the rest alone.
    let mut reader = serde_json::Deserializer::from_slice(tail);
    let metadata = <&RawValue>::deserialize(&mut reader).ok()?.get();
    let mut out = BytesMut::with_capacity(HEAD.len() + metadata.len() + 1);
    out.put_slice(HEAD);
    out.put_slice(metadata.as_bytes());
    out.put_u8(b'}');
    Some(out.freeze())
}

/// Clients' bytes with another revision, as the last state of a deleted object is shown with the
/// revision of its deletion.
pub fn replace_revision(wire: &[u8], revision: Revision) -> Bytes {
    let Some(at) = memchr::memmem::find(wire, REVISION).map(|at| at + REVISION.len()) else {
        return Bytes::copy_from_slice(wire);
    };
    let (head, tail) = wire.split_at(at);
    let end = memchr::memchr(b'"', tail).unwrap_or(0);
    let mut out = BytesMut::with_capacity(wire.len() + 8);
    out.put_slice(head);
    out.put_slice(revision.to_string().as_bytes());
    out.put_slice(tail.split_at(end).1);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn revision_is_spliced_into_metadata_only() {
        let object = json!({"a": {"metadata": {"x": 1}}, "apiVersion": "v1", "kind": "K",
            "metadata": {"name": "n", "resourceVersion": "5"}, "text": "\"metadata\":{"});
        let stored = encode(&object).unwrap();
        let wire = with_revision(&stored, 42);
        let mut expected = object;
        expected["metadata"]["resourceVersion"] = json!("42");
        assert_eq!(serde_json::from_slice::<Value>(&wire).unwrap(), expected);
        expected["metadata"]["resourceVersion"] = json!("12345");
        assert_eq!(
            serde_json::from_slice::<Value>(&replace_revision(&wire, 12345)).unwrap(),
            expected
        );
    }

    #[test]
    fn metadata_is_cut_out() {
        let object = json!({"a": {"metadata": {"x": 1}}, "apiVersion": "v1", "kind": "K",
            "metadata": {"name": "n", "annotations": {"a": "}\"metadata\":{ \\"}}, "z": [1]});
        let wire = with_revision(&encode(&object).unwrap(), 7);
        let cut: Value = serde_json::from_slice(&metadata_only(&wire).unwrap()).unwrap();
        let mut metadata = object["metadata"].clone();
        metadata["resourceVersion"] = json!("7");
        assert_eq!(
            cut,
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata})
        );
        assert_eq!(metadata_only(b"{}"), None);
        assert_eq!(metadata_only(b"{\"metadata\":{\"a\":"), None);
    }

    #[test]
    fn revision_is_spliced_into_empty_metadata() {
        let wire = with_revision(&encode(&json!({"metadata": {}})).unwrap(), 1);
        assert_eq!(&wire[..], br#"{"metadata":{"resourceVersion":"1"}}"#);
    }
}
