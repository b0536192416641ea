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
/// The longest media type or artifact type, in bytes (RFC 6838, section 4.2: 127 characters each side of the slash).
pub const TYPE_MAX: usize = 255;
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
    /// A media type or artifact type above [`TYPE_MAX`].
    #[error("a media type of {length} bytes is longer than {TYPE_MAX}")]
    LongType {
        /// Its bytes.
        length: usize,
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

    /// The manifest of an image, in OCI's form or in Docker's (which has no annotations). The same parts are the same
    /// bytes.
    ///
    /// # Errors
    ///
    /// When there are too many layers.
    pub fn image<'a>(
        docker: bool,
        config: &Descriptor,
        layers: impl IntoIterator<Item = &'a Descriptor>,
        annotations: &BTreeMap<&str, String>,
    ) -> Result<Self, DocumentError> {
        let media_type = match docker {
            true => media::DOCKER_MANIFEST,
            false => media::OCI_MANIFEST,
        };
        let layers: Vec<&Descriptor> = layers.into_iter().collect();
        let mut manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        });
        if !annotations.is_empty()
            && let Some(fields) = manifest.as_object_mut()
        {
            fields.insert("annotations".to_owned(), serde_json::json!(annotations));
        }
        let bytes =
            crate::store::canonical(&manifest).map_err(|error| DocumentError::Malformed {
                reason: error.to_string(),
            })?;
        Self::parse(Some(media_type), bytes)
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

/// The descriptor of these bytes.
#[must_use]
pub fn describe(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(
        MediaType::from(media_type),
        bytes.len() as u64,
        digest::sha256(bytes),
    )
}

/// Whether a layer is to be had from its own `urls` only.
fn is_elsewhere(descriptor: &Descriptor) -> bool {
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
        check_type(self.artifact_type.as_deref().unwrap_or_default())?;
        for descriptor in descriptors {
            check_type(descriptor.media_type().as_ref())?;
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

/// Types are kept and listed where documents are not.
fn check_type(text: &str) -> Result<(), DocumentError> {
    match text.len() {
        length if length > TYPE_MAX => Err(DocumentError::LongType { length }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
