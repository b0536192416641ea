//! Objects of a watch as the text that they are.
//!
//! The scheduler reads narrow forms of objects; to parse each whole first would cost more than the decision.

use std::{fmt, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::value::RawValue;

use crate::{
    readable::{Head, HeadMetadata},
    views::is_a,
};

/// An object of kind `K`, unread but for its name and version.
pub(super) struct Text<K> {
    metadata: ObjectMeta,
    json: Box<RawValue>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Text<K> {
    /// Its JSON.
    pub(super) fn bytes(&self) -> &[u8] {
        self.json.get().as_bytes()
    }

    /// Its namespace; empty if it has none.
    pub(super) fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
}

impl<K> Clone for Text<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            json: self.json.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Text<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace(), self.name())
    }
}

/// The metadata, if it comes before everything else that is no plain text, as this server writes it: then the rest,
/// most of the object, need not be looked at.
fn leading_metadata(json: &str) -> Option<HeadMetadata> {
    const METADATA: &str = "\"metadata\":";
    let (before, after) = json.split_once(METADATA)?;
    // A quotation mark inside of a text has a backslash before it, so this is a member; of the object itself if
    // nothing else was opened.
    if before
        .bytes()
        .skip(1)
        .any(|byte| matches!(byte, b'{' | b'[' | b'\\'))
    {
        return None;
    }
    // Reads one value and leaves the rest alone.
    let mut reader = serde_json::Deserializer::from_str(after);
    HeadMetadata::deserialize(&mut reader).ok()
}

impl<'de, K> Deserialize<'de> for Text<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let metadata = match leading_metadata(json.get()) {
            Some(metadata) => metadata,
            None => {
                let head: Head = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
                head.metadata
            }
        };
        Ok(Self {
            metadata: metadata.into(),
            json,
            kind: PhantomData,
        })
    }
}

is_a!(Text<K>, K where K: Resource);

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn the_text_is_kept_and_the_name_is_read() {
        let json =
            r#"{"spec":{"x":1},"metadata":{"resourceVersion":"7","name":"a","namespace":"b"}}"#;
        let text: Text<Pod> = serde_json::from_str(json).unwrap();
        assert_eq!((text.namespace(), text.name()), ("b", "a"));
        assert_eq!(text.meta().resource_version.as_deref(), Some("7"));
        assert_eq!(text.bytes(), json.as_bytes());
        assert!(serde_json::from_str::<Text<Pod>>("{}").is_err());
    }

    #[test]
    fn only_the_objects_own_metadata_is_read() {
        let name = |json: &str| {
            let text: Text<Pod> = serde_json::from_str(json).unwrap();
            text.name().to_owned()
        };
        for json in [
            r#"{"kind":"Pod","metadata":{"name":"a"},"spec":{"metadata":{"name":"b"}}}"#,
            r#"{"spec":{"metadata":{"name":"b"}},"metadata":{"name":"a"}}"#,
            r#"{"spec":[{"metadata":{"name":"b"}}],"metadata":{"name":"a"}}"#,
            r#"{"kind":"\"metadata\":{}","metadata":{"name":"a"}}"#,
            r#"{"kind":"x\\","metadata":{"name":"a"}}"#,
        ] {
            assert_eq!(name(json), "a", "{json}");
        }
    }
}
