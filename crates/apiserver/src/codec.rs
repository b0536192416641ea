//! How objects are kept and sent.
//!
//! The store keeps an object as JSON without its `resourceVersion`, which is the revision of the write
//! itself. `apiVersion`, `kind` and `metadata` come first, so that the revision can be spliced in at a
//! known place: an object is serialised once, and every reader and watcher gets the same bytes.

use std::{collections::BTreeMap, fmt};

use bytes::{BufMut, Bytes, BytesMut};
use mosaic_patch::managed::Ledger;
use mosaic_store::Revision;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

const METADATA: &[u8] = b"\"metadata\":{";
const REVISION: &[u8] = b"\"resourceVersion\":\"";

/// Serialises an object for the store, with its managed fields if they are kept apart. A `resourceVersion` in it is
/// left out.
///
/// # Errors
/// If the object is not a JSON object with an object as `metadata`.
pub fn encode(object: &Value, ledger: &Ledger) -> Result<Bytes, &'static str> {
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
    write_metadata(&mut out, metadata, ledger.text())?;
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

/// Writes members in their order, with the managed fields at their place.
fn write_metadata(
    out: &mut Vec<u8>,
    metadata: &Map<String, Value>,
    mut ledger: Option<&str>,
) -> Result<(), &'static str> {
    let begin = out.len();
    let separate = |out: &mut Vec<u8>| {
        if out.len() > begin {
            out.push(b',');
        }
    };
    let write_ledger = |out: &mut Vec<u8>, ledger: &str| {
        separate(out);
        out.extend_from_slice(b"\"managedFields\":");
        out.extend_from_slice(ledger.as_bytes());
    };
    for (key, value) in metadata {
        if key == "resourceVersion" || (key == "managedFields" && ledger.is_some()) {
            continue;
        }
        if key.as_str() > "managedFields"
            && let Some(ledger) = ledger.take()
        {
            write_ledger(out, ledger);
        }
        separate(out);
        write_member(out, key, value)?;
    }
    if let Some(ledger) = ledger {
        write_ledger(out, ledger);
    }
    Ok(())
}

fn write_member(out: &mut Vec<u8>, key: &str, value: &Value) -> Result<(), &'static str> {
    serde_json::to_writer(&mut *out, key).map_err(|_| "key cannot be serialised")?;
    out.push(b':');
    serde_json::to_writer(out, value).map_err(|_| "value cannot be serialised")
}

/// An object from clients' bytes, without its managed fields, and these.
///
/// # Errors
/// If the bytes are no JSON object.
pub fn decode_apart(wire: &[u8]) -> serde_json::Result<(Value, Ledger)> {
    let mut ledger = None;
    let mut reader = serde_json::Deserializer::from_slice(wire);
    let members = Apart::<'_, '_> {
        ledger: &mut ledger,
        within: Within::Object,
    }
    .deserialize(&mut reader)?;
    reader.end()?;
    Ok((Value::Object(members), Ledger::stored(ledger)))
}

/// Reads members but for the managed fields.
struct Apart<'a, 'de> {
    ledger: &'a mut Option<&'de RawValue>,
    within: Within,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Object,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Apart<'_, 'de> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Apart<'_, 'de> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut read = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            match (self.within, key.as_str()) {
                (Within::Object, "metadata") => {
                    let metadata = members.next_value_seed(Apart {
                        ledger: &mut *self.ledger,
                        within: Within::Metadata,
                    })?;
                    read.insert(key, Value::Object(metadata));
                }
                (Within::Metadata, "managedFields") => *self.ledger = Some(members.next_value()?),
                _ => {
                    read.insert(key, members.next_value()?);
                }
            }
        }
        Ok(read)
    }
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

/// Clients' bytes without managed fields, which are cut out; the same bytes if there are none.
pub fn without_managed_fields(wire: &Bytes) -> Bytes {
    let Some((start, end)) = managed_fields(wire) else {
        return wire.clone();
    };
    let (head, tail) = (wire.get(..start), wire.get(end..));
    let (head, tail) = (head.unwrap_or_default(), tail.unwrap_or_default());
    // The separator goes with what it separates.
    let (head, tail) = match (head.strip_suffix(b","), tail.strip_prefix(b",")) {
        (Some(head), _) => (head, tail),
        (None, Some(tail)) => (head, tail),
        (None, None) => (head, tail),
    };
    let mut out = BytesMut::with_capacity(head.len() + tail.len());
    out.put_slice(head);
    out.put_slice(tail);
    out.freeze()
}

/// Where the member with the managed fields begins and ends, key included; none if there is none.
fn managed_fields(wire: &[u8]) -> Option<(usize, usize)> {
    const KEY: &[u8] = b"\"managedFields\":";
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default, rename = "managedFields")]
        managed_fields: Option<&'a RawValue>,
    }
    // As in `metadata_only`.
    let at = memchr::memmem::find(wire, METADATA)? + METADATA.len() - 1;
    let mut reader = serde_json::Deserializer::from_slice(wire.get(at..)?);
    let metadata = Metadata::deserialize(&mut reader).ok()?;
    let text = metadata.managed_fields?.get();
    // The text is a part of the bytes.
    let offset = (text.as_ptr() as usize).checked_sub(wire.as_ptr() as usize)?;
    let start = offset.checked_sub(KEY.len())?;
    (wire.get(start..offset)? == KEY).then_some((start, offset + text.len()))
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
        let stored = encode(&object, &Ledger::default()).unwrap();
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
    fn managed_fields_kept_apart_come_back_to_their_place() {
        let managed = json!([{"manager": "m", "fieldsV1": {"f:spec": {".": {}}}}]);
        for metadata in [
            json!({}),
            json!({"name": "n"}),
            json!({"labels": {"a": "b"}, "name": "n", "uid": "u"}),
            json!({"labels": {"managedFields": "\"managedFields\":[]"}}),
            json!({"finalizers": ["\"managedFields\":[]"], "name": "n"}),
        ] {
            for managed in [None, Some(&managed)] {
                let mut object = json!({"apiVersion": "v1", "kind": "K", "metadata": metadata, "z": [{"managedFields": []}]});
                let bare = object.clone();
                if let Some(managed) = managed {
                    object["metadata"]["managedFields"] = managed.clone();
                }
                let stored = encode(&object, &Ledger::default()).unwrap();
                let (read, ledger) = decode_apart(&with_revision(&stored, 7)).unwrap();
                assert_eq!(ledger.text(), managed.map(Value::to_string).as_deref());
                let mut expected = bare;
                expected["metadata"]["resourceVersion"] = json!("7");
                assert_eq!(read, expected);
                assert_eq!(encode(&read, &ledger).unwrap(), stored);
                let cut = without_managed_fields(&with_revision(&stored, 7));
                assert_eq!(serde_json::from_slice::<Value>(&cut).unwrap(), expected);
            }
        }
        assert!(decode_apart(b"[]").is_err());
    }

    #[test]
    fn metadata_is_cut_out() {
        let object = json!({"a": {"metadata": {"x": 1}}, "apiVersion": "v1", "kind": "K",
            "metadata": {"name": "n", "annotations": {"a": "}\"metadata\":{ \\"}}, "z": [1]});
        let wire = with_revision(&encode(&object, &Ledger::default()).unwrap(), 7);
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
        let wire = with_revision(
            &encode(&json!({"metadata": {}}), &Ledger::default()).unwrap(),
            1,
        );
        assert_eq!(&wire[..], br#"{"metadata":{"resourceVersion":"1"}}"#);
    }
}
