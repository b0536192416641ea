//! What is remembered of blobs, manifests and tags. Times are seconds since 1970.

use std::collections::BTreeMap;

use mosaic_image::Digest;
use serde::{Deserialize, Serialize};

use crate::access::Owner;

/// A blob whose bytes are, or are about to be no more, in the blob store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobRecord {
    /// Its bytes.
    pub size: u64,
    /// When a push last said that it counts on this blob.
    pub touched: u64,
    /// Since when the collector takes it away; none while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting: Option<u64>,
}

/// A repository that something was pushed into. It stays when it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryRecord {
    /// When that was.
    pub created: u64,
}

/// Whose the repositories of a namespace's name are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceRecord {
    /// The namespace.
    pub owner: Owner,
    /// It is gone, and they are being taken away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clearing: bool,
}

/// A repository has a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkRecord {
    /// When a push last said so.
    pub since: u64,
    /// The blob was deleted from this repository. That is remembered, so that it is not found again by its being in
    /// another repository.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// A blob or a manifest that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// What is named.
    pub digest: Digest,
    /// Its bytes, as the manifest says.
    pub size: u64,
}

/// A manifest or an index in a repository. Its bytes are a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestRecord {
    /// Its media type.
    pub media_type: String,
    /// Its own bytes.
    pub size: u64,
    /// Config and layers that have to be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Reference>,
    /// The manifests that an index names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Reference>,
    /// The manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its layers; of an index, the most that one of its manifests has.
    pub layers: u32,
    /// The bytes of it and of everything it names.
    pub total: u64,
    /// How many indexes are below one another in it: none for a manifest.
    #[serde(default)]
    pub depth: u8,
    /// When it was pushed first.
    pub pushed: u64,
    /// What it names was seen to be there after this record was written. Until then, and while it is being deleted, the
    /// collector leaves what it names alone, and it is shown to nobody.
    pub committed: bool,
}

/// A tag, with what a list of images shows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagRecord {
    /// The manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The bytes of the image: [`ManifestRecord::total`].
    pub size: u64,
    /// [`ManifestRecord::layers`].
    pub layers: u32,
    /// When it was last set to this digest.
    pub pushed: u64,
    /// When it was last pulled, to the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulled: Option<u64>,
    /// When the upstream was last asked for it; only in a mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<u64>,
}

/// What a list of referrers shows of one: its descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerRecord {
    /// The media type of the manifest that refers.
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
