//! Image manifests and indexes: one type for OCI's and Docker's, judged before anybody believes them.
//!
//! A [`Document`] keeps the bytes that it was read from, since those and no others have its digest. What is in it is
//! bounded; how deep indexes nest is judged by who follows them.

use std::collections::BTreeMap;

use bytes::Bytes;
pub use oci_spec::image::{Descriptor, Platform};
use serde::{Deserialize, Deserializer};

use crate::digest::{self, Check, Digest, DigestError};
use crate::media::{self, DocumentKind, MediaType};

/// The longest document that is read, in bytes. The distribution-spec asks registries for 4 MiB at least.
pub const SIZE_MAX: usize = 4 << 20;
/// The most layers of one image.
pub const LAYERS_MAX: usize = 1_000;
/// The most manifests in one index.
pub const MANIFESTS_MAX: usize = 1_000;
/// How deep indexes may name indexes, for those who follow them.
pub const DEPTH_MAX: usize = 4;

/// Why bytes are not a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// There are too many of them.
    #[error("a manifest of {size} bytes is longer than {SIZE_MAX}")]
    TooLarge {
        /// How many, in bytes.
        size: usize,
    },
    /// They are not JSON of the right form.
    #[error("not a manifest: {reason}")]
    Malformed {
        /// What the parser said.
        reason: String,
    },
    /// Docker's first schema.
    #[error(
        "manifests of Docker's schema 1 are not supported: the image has to be pushed anew by a newer client"
    )]
    Schema1,
    /// Another schema version than 2.
    #[error("manifests of schema version {version} are not supported")]
    SchemaVersion {
        /// The version it says.
        version: u64,
    },
    /// A media type that is not a document's.
    #[error("media type {media_type:?} is not that of a manifest or index")]
    MediaType {
        /// The type it says.
        media_type: String,
    },
    /// The document calls itself something else than whoever handed it over.
    #[error("the manifest says it is {field:?}, and came as {header:?}")]
    Disagreement {
        /// What came with it.
        header: String,
        /// What is in it.
        field: String,
    },
    /// It is an image and an index at once (or says it is one and has the other's fields), so that two readers may see
    /// two things.
    #[error("a {kind} must not have the field {field:?}")]
    Ambiguous {
        /// What it is by its media type.
        kind: &'static str,
        /// The field that does not belong there.
        field: &'static str,
    },
    /// A field that must be there is not.
    #[error("the manifest has no field {field:?}")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// More layers or manifests than the bound.
    #[error("{count} {what} in one manifest; {max} are allowed")]
    TooMany {
        /// `layers` or `manifests`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A digest by an algorithm that cannot be verified.
    #[error("the manifest names content that cannot be verified: {0}")]
    Digest(#[from] DigestError),
}

/// What a document refers to something as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The configuration of an image: a blob.
    Config,
    /// A layer of an image: a blob.
    Layer,
    /// A manifest of an index: a document.
    Manifest,
}

/// A manifest or index.
#[derive(Debug, Clone)]
pub struct Document {
    bytes: Bytes,
    digest: Digest,
    media_type: MediaType,
    kind: DocumentKind,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

/// Fields of both kinds; which may be there is judged afterwards.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_is_empty")]
    annotations: BTreeMap<String, String>,
    // Only of schema 1, whose documents may call themselves anything.
    #[serde(default)]
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Go writes a nil map as null.
fn null_is_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Document {
    /// Reads a document. `media_type` is what came with it (a `Content-Type`, a descriptor), if anything did; it and the
    /// document's own field must agree (image-spec, manifest.md and image-index.md, "mediaType").
    ///
    /// # Errors
    ///
    /// When the bytes are not a manifest or index that keeps the bounds; see [`DocumentError`].
    pub fn parse(media_type: Option<&str>, bytes: impl Into<Bytes>) -> Result<Self, DocumentError> {
        let bytes = bytes.into();
        if bytes.len() > SIZE_MAX {
            return Err(DocumentError::TooLarge { size: bytes.len() });
        }
        // Parameters (`; charset=utf-8`) say nothing about what it is.
        let header = media_type
            .map(|text| text.split(';').next().unwrap_or_default().trim())
            .filter(|text| !text.is_empty());
        if header.is_some_and(media::is_schema_1) {
            return Err(DocumentError::Schema1);
        }
        let wire: Wire =
            serde_json::from_slice(&bytes).map_err(|error| DocumentError::Malformed {
                reason: error.to_string(),
            })?;
        if wire.schema_version == 1
            || wire.fs_layers.is_some()
            || wire.media_type.as_deref().is_some_and(media::is_schema_1)
        {
            return Err(DocumentError::Schema1);
        }
        if wire.schema_version != 2 {
            return Err(DocumentError::SchemaVersion {
                version: wire.schema_version,
            });
        }
        let media_type = wire.agreed_type(header)?;
        let kind = media::document_kind(&media_type).ok_or_else(|| DocumentError::MediaType {
            media_type: media_type.clone(),
        })?;
        wire.check(kind)?;
        Ok(Self {
            digest: digest::sha256(&bytes),
            bytes,
            media_type: MediaType::from(media_type.as_str()),
            kind,
            config: wire.config,
            layers: wire.layers.unwrap_or_default(),
            manifests: wire.manifests.unwrap_or_default(),
            subject: wire.subject,
            artifact_type: wire.artifact_type.filter(|text| !text.is_empty()),
            annotations: wire.annotations,
        })
    }

    /// Reads the document that a descriptor names, and holds it to the descriptor's digest, size and type.
    ///
    /// # Errors
    ///
    /// When it is another, or not a document.
    pub fn parse_as(
        descriptor: &Descriptor,
        bytes: impl Into<Bytes>,
    ) -> Result<Self, DocumentError> {
        let bytes = bytes.into();
        let mut check = Check::new(descriptor.digest(), Some(descriptor.size()))?;
        check.update(&bytes)?;
        check.finish()?;
        let mut document = Self::parse(Some(descriptor.media_type().as_ref()), bytes)?;
        document.digest = descriptor.digest().clone();
        Ok(document)
    }

    /// The bytes it was read from.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The digest of its bytes: sha256, unless it was read by a descriptor with another.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Whether it is an image or an index.
    #[must_use]
    pub fn kind(&self) -> DocumentKind {
        self.kind
    }

    /// A descriptor of the document itself.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            self.media_type.clone(),
            self.bytes.len() as u64,
            self.digest.clone(),
        )
    }

    /// The configuration; every image has one, an index has none.
    #[must_use]
    pub fn config(&self) -> Option<&Descriptor> {
        self.config.as_ref()
    }

    /// The layers of an image, the lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// The manifests of an index.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// What this document says something about. It need not be anywhere.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// What kind of artifact it is: its own field or, for an image manifest without one, its configuration's media type
    /// (distribution-spec, "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or_else(|| {
            self.config
                .as_ref()
                .map(|config| config.media_type().as_ref())
        })
    }

    /// Its annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Everything that must be there for the document to be complete, in its order: configuration and layers, or
    /// manifests. Not the subject.
    pub fn references(&self) -> impl Iterator<Item = (Role, &Descriptor)> {
        let config = self.config.iter().map(|config| (Role::Config, config));
        let layers = self.layers.iter().map(|layer| (Role::Layer, layer));
        let manifests = self
            .manifests
            .iter()
            .map(|manifest| (Role::Manifest, manifest));
        config.chain(layers).chain(manifests)
    }

    /// The blobs among the references that a complete copy has: configuration and layers, without layers that are to be
    /// had from their own `urls` only.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.references()
            .filter(|(role, _)| *role != Role::Manifest)
            .map(|(_, descriptor)| descriptor)
            .filter(|descriptor| !is_elsewhere(descriptor))
    }

    /// The bytes of all that it refers to, each digest once, by what the descriptors say.
    #[must_use]
    pub fn content_size(&self) -> u64 {
        let mut seen = std::collections::HashSet::new();
        self.references()
            .filter(|(_, descriptor)| seen.insert(descriptor.digest()))
            .fold(0, |sum, (_, descriptor)| {
                u64::saturating_add(sum, descriptor.size())
            })
    }
}

/// Whether a layer is to be had from its own `urls` only.
#[must_use]
pub fn is_elsewhere(descriptor: &Descriptor) -> bool {
    media::is_foreign(descriptor.media_type().as_ref())
        && descriptor
            .urls()
            .as_ref()
            .is_some_and(|urls| !urls.is_empty())
}

impl Wire {
    fn agreed_type(&self, header: Option<&str>) -> Result<String, DocumentError> {
        let field = self.media_type.as_deref().filter(|text| !text.is_empty());
        match (header, field) {
            (Some(header), Some(field)) if header != field => Err(DocumentError::Disagreement {
                header: header.to_owned(),
                field: field.to_owned(),
            }),
            (Some(agreed), _) | (None, Some(agreed)) => Ok(agreed.to_owned()),
            // OCI's field is optional, Docker's is not.
            (None, None) if self.manifests.is_some() => Ok(media::OCI_INDEX.to_owned()),
            (None, None) => Ok(media::OCI_MANIFEST.to_owned()),
        }
    }

    fn check(&self, kind: DocumentKind) -> Result<(), DocumentError> {
        let (name, foreign) = match kind {
            DocumentKind::Manifest => (
                "manifest",
                [("manifests", self.manifests.is_some()), ("", false)],
            ),
            DocumentKind::Index => (
                "index",
                [
                    ("config", self.config.is_some()),
                    ("layers", self.layers.is_some()),
                ],
            ),
        };
        if let Some((field, _)) = foreign.iter().find(|(_, there)| *there) {
            return Err(DocumentError::Ambiguous { kind: name, field });
        }
        if kind == DocumentKind::Manifest && self.config.is_none() {
            return Err(DocumentError::Missing { field: "config" });
        }
        if kind == DocumentKind::Index && self.manifests.is_none() {
            return Err(DocumentError::Missing { field: "manifests" });
        }
        for (what, count, max) in [
            (
                "layers",
                self.layers.as_ref().map_or(0, Vec::len),
                LAYERS_MAX,
            ),
            (
                "manifests",
                self.manifests.as_ref().map_or(0, Vec::len),
                MANIFESTS_MAX,
            ),
        ] {
            if count > max {
                return Err(DocumentError::TooMany { what, count, max });
            }
        }
        let descriptors = self
            .config
            .iter()
            .chain(self.layers.iter().flatten())
            .chain(self.manifests.iter().flatten())
            .chain(&self.subject);
        for descriptor in descriptors {
            digest::supported(descriptor.digest().algorithm())?;
            // Signed 64 bits are what others keep sizes in.
            if i64::try_from(descriptor.size()).is_err() {
                return Err(DocumentError::Malformed {
                    reason: format!("size {} of {}", descriptor.size(), descriptor.digest()),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn descriptor(media_type: &str, content: &str) -> Value {
        json!({
            "mediaType": media_type,
            "digest": digest::sha256(content.as_bytes()).as_ref(),
            "size": content.len(),
        })
    }

    fn manifest() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": descriptor(media::OCI_CONFIG, "config"),
            "layers": [descriptor(media::OCI_LAYER, "one"), descriptor(media::OCI_LAYER_GZIP, "second")],
        })
    }

    fn index() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_INDEX,
            "manifests": [descriptor(media::OCI_MANIFEST, "manifest")],
        })
    }

    fn parse(header: Option<&str>, value: &Value) -> Result<Document, DocumentError> {
        Document::parse(header, value.to_string().into_bytes())
    }

    #[test]
    fn a_manifest_says_what_it_is_made_of() {
        let mut value = manifest();
        value["subject"] = descriptor(media::OCI_MANIFEST, "subject");
        value["annotations"] = json!({"key": "value"});
        let document = parse(Some(media::OCI_MANIFEST), &value).unwrap();
        assert_eq!(document.kind(), DocumentKind::Manifest);
        assert_eq!(document.layers().len(), 2);
        let references: Vec<Role> = document.references().map(|(role, _)| role).collect();
        assert_eq!(references, [Role::Config, Role::Layer, Role::Layer]);
        assert_eq!(document.content_size(), 6 + 3 + 6);
        assert_eq!(document.artifact_type(), Some(media::OCI_CONFIG));
        assert_eq!(document.annotations()["key"], "value");
        assert_eq!(
            document.subject().unwrap().digest(),
            &digest::sha256(b"subject")
        );
        assert_eq!(document.digest(), &digest::sha256(document.bytes()));
        assert_eq!(document.descriptor().size(), document.bytes().len() as u64);
    }

    #[test]
    fn an_index_says_its_manifests() {
        let document = parse(Some(media::OCI_INDEX), &index()).unwrap();
        assert_eq!(document.kind(), DocumentKind::Index);
        assert_eq!(document.manifests().len(), 1);
        assert_eq!(document.blobs().count(), 0);
        assert_eq!(document.artifact_type(), None);
    }

    #[test]
    fn dockers_documents_are_read_too() {
        let mut value = manifest();
        value["mediaType"] = media::DOCKER_MANIFEST.into();
        let document = parse(
            Some("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"),
            &value,
        );
        assert_eq!(document.unwrap().kind(), DocumentKind::Manifest);
        let mut value = index();
        value["mediaType"] = media::DOCKER_LIST.into();
        assert_eq!(parse(None, &value).unwrap().kind(), DocumentKind::Index);
    }

    #[test]
    fn the_field_is_optional_and_null_is_nothing() {
        let mut value = manifest();
        value.as_object_mut().unwrap().remove("mediaType");
        value["layers"] = Value::Null;
        value["annotations"] = Value::Null;
        let document = parse(None, &value).unwrap();
        assert_eq!(document.media_type(), &MediaType::ImageManifest);
        assert!(document.layers().is_empty());
        let mut value = index();
        value.as_object_mut().unwrap().remove("mediaType");
        assert_eq!(
            parse(None, &value).unwrap().media_type(),
            &MediaType::ImageIndex
        );
    }

    #[test]
    fn what_two_readers_may_take_for_two_things_is_refused() {
        let mut both = manifest();
        both["manifests"] = json!([]);
        assert!(matches!(
            parse(None, &both),
            Err(DocumentError::Ambiguous {
                field: "manifests",
                ..
            })
        ));
        let mut both = index();
        both["layers"] = json!([]);
        assert!(matches!(
            parse(None, &both),
            Err(DocumentError::Ambiguous {
                field: "layers",
                ..
            })
        ));
        assert!(matches!(
            parse(Some(media::OCI_INDEX), &manifest()),
            Err(DocumentError::Disagreement { .. })
        ));
        let twice = br#"{"schemaVersion":2,"schemaVersion":2}"#;
        assert!(matches!(
            Document::parse(None, &twice[..]),
            Err(DocumentError::Malformed { .. })
        ));
    }

    #[test]
    fn schema_1_is_refused_by_its_name() {
        let value = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []});
        assert_eq!(parse(None, &value).unwrap_err(), DocumentError::Schema1);
        let value = json!({"schemaVersion": 2, "mediaType": media::DOCKER_SCHEMA_1_SIGNED});
        assert_eq!(parse(None, &value).unwrap_err(), DocumentError::Schema1);
        assert_eq!(
            parse(Some(media::DOCKER_SCHEMA_1), &manifest()).unwrap_err(),
            DocumentError::Schema1
        );
        let error = parse(None, &json!({"schemaVersion": 3})).unwrap_err();
        assert_eq!(error, DocumentError::SchemaVersion { version: 3 });
    }

    #[test]
    fn bombs_are_refused() {
        let mut value = manifest();
        let layer = descriptor(media::OCI_LAYER, "one");
        value["layers"] = Value::Array(vec![layer.clone(); LAYERS_MAX]);
        assert!(parse(None, &value).is_ok());
        value["layers"] = Value::Array(vec![layer; 10_000]);
        assert!(matches!(
            parse(None, &value),
            Err(DocumentError::TooMany {
                what: "layers",
                count: 10_000,
                ..
            })
        ));
        let mut value = index();
        let manifest = descriptor(media::OCI_MANIFEST, "one");
        value["manifests"] = Value::Array(vec![manifest; MANIFESTS_MAX + 1]);
        assert!(matches!(
            parse(None, &value),
            Err(DocumentError::TooMany {
                what: "manifests",
                ..
            })
        ));
        let long = vec![b' '; SIZE_MAX + 1];
        assert!(matches!(
            Document::parse(None, long),
            Err(DocumentError::TooLarge { .. })
        ));
        let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert!(matches!(
            Document::parse(None, deep),
            Err(DocumentError::Malformed { .. })
        ));
    }

    #[test]
    fn descriptors_are_judged() {
        for (field, wrong) in [
            ("size", json!(-1)),
            ("size", json!(u64::MAX)),
            ("size", json!("3")),
            ("digest", json!("sha256:../../etc")),
        ] {
            let mut value = manifest();
            value["layers"][0][field] = wrong;
            assert!(
                matches!(parse(None, &value), Err(DocumentError::Malformed { .. })),
                "{value}"
            );
        }
        let mut value = manifest();
        value["config"]["digest"] = "md5:d41d8cd98f00b204e9800998ecf8427e".into();
        assert!(matches!(parse(None, &value), Err(DocumentError::Digest(_))));
        let mut value = manifest();
        value.as_object_mut().unwrap().remove("config");
        assert_eq!(
            parse(None, &value).unwrap_err(),
            DocumentError::Missing { field: "config" }
        );
    }

    #[test]
    fn layers_from_elsewhere_are_not_missed() {
        let mut value = manifest();
        value["layers"][0]["mediaType"] =
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
        assert_eq!(parse(None, &value).unwrap().blobs().count(), 3);
        value["layers"][0]["urls"] = json!(["https://example.com/layer"]);
        let document = parse(None, &value).unwrap();
        assert_eq!(document.blobs().count(), 2);
        assert_eq!(document.references().count(), 3);
    }

    #[test]
    fn a_document_is_held_to_its_descriptor() {
        let document = parse(None, &manifest()).unwrap();
        let right = document.descriptor();
        assert!(Document::parse_as(&right, document.bytes().clone()).is_ok());
        let other = Descriptor::new(MediaType::ImageManifest, right.size(), digest::sha256(b""));
        assert!(matches!(
            Document::parse_as(&other, document.bytes().clone()),
            Err(DocumentError::Digest(DigestError::Mismatch { .. }))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Document::parse(None, bytes);
        }

        #[test]
        fn a_changed_byte_is_never_the_same_document(position in 0usize..400, byte in any::<u8>()) {
            let document = parse(None, &manifest()).unwrap();
            let mut bytes = document.bytes().to_vec();
            let position = position % bytes.len();
            prop_assume!(bytes[position] != byte);
            bytes[position] = byte;
            prop_assert!(Document::parse_as(&document.descriptor(), bytes).is_err());
        }
    }
}
