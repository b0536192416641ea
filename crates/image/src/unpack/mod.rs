//! Unpacking layers into directories, for overlayfs.
//!
//! A layer is a compressed tar archive (image-spec, layer.md). [`Layers`] is a directory that has each layer once, by
//! its diff id, however many images share it; mounting a chain of them is for who runs containers. Layers come from
//! anywhere, so an archive is read and written as if somebody made it to do harm:
//!
//! - It is read as a stream ([`crate::tar_reader`]), decompressed, hashed and written at the same time, in a few fixed
//!   buffers. What is larger than its bound is refused before it is written.
//! - Names are judged as bytes first: those that leave the layer are refused. Then every step on the file system is
//!   relative to an open directory below the layer's root and goes through no link, so that even a name that was
//!   misjudged could not leave it.
//! - It is written beside its place, held to both of its digests, synced, and only then renamed. What a refusal or a
//!   dead process left is removed.
//!
//! What lower layers have is hidden as overlayfs wants it: a whiteout is a character device 0:0, an opaque directory has
//! an extended attribute.

mod error;
mod layers;
mod name;
mod pipeline;
mod remove;
mod settings;
mod source;
mod tree;

pub use error::{EntryName, Refusal, UnpackError};
pub use layers::{Layers, Unpacked};
pub use settings::{Limits, Marks, Ownership, Settings, Special};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A layer, as an image's manifest and configuration describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The digest of its compressed bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
}

/// What came of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Files, links, directories and others that were made because an entry says so.
    pub entries: u64,
    /// Bytes of data written.
    pub bytes: u64,
    /// Whiteouts and opaque marks.
    pub whiteouts: u64,
    /// Extended attributes that were left out: not a layer's to set, or not known to the file system.
    pub skipped_xattrs: u64,
    /// Devices and named pipes that were left out, as the settings say.
    pub skipped_specials: u64,
}
