//! Images to and from one tar.
//!
//! What is saved is an OCI layout and a Docker archive at once: Docker (20.10 and later), and skopeo's `oci-archive:` and
//! `docker-archive:`, take it. With a base, blobs that the base has are left out, and a note says which those are.
//!
//! ```text
//!   oci-layout      index.json      read by OCI's tools, and by load before all else
//!   manifest.json                   read by Docker
//!   missing.json                    what was left out, and which bases have it (only with a base)
//!   blobs/sha256/<hex>              documents, configurations, layers
//! ```
//!
//! What is loaded may also be Docker's older form (`<id>/layer.tar`, some of them links) and may be compressed.

mod load;
mod save;
mod spool;

use std::io;

use serde::{Deserialize, Serialize};

pub use load::{LoadOptions, Loaded, load};
pub use save::{SaveOptions, Saved, Source, save};

use crate::config::ConfigError;
use crate::digest::{Digest, DigestError};
use crate::document::{Descriptor, DocumentError};
use crate::place::PlaceError;

pub(crate) const MISSING: &str = "missing.json";
/// Annotations of an image that was saved without what its base has (image-spec, annotations.md).
pub(crate) const BASE_NAME: &str = "org.opencontainers.image.base.name";
pub(crate) const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Why an image could not be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A place failed.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The archive cannot be written.
    #[error("cannot write the archive: {0}")]
    Write(io::Error),
    /// The archive cannot be read to its end.
    #[error("cannot read the archive: {0}")]
    Read(io::Error),
    /// What is read cannot be kept until the end.
    #[error("cannot keep {entry} of the archive: {source}")]
    Spool {
        /// The entry.
        entry: String,
        /// The cause.
        source: io::Error,
    },
    /// More, or larger, than is allowed.
    #[error("the archive has more than {limit} {what}")]
    TooMuch {
        /// `entries` or `bytes`.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// An entry that no archive of images has.
    #[error("the archive has an entry {entry:?} {reason}")]
    Entry {
        /// Its path, cut to a bounded length.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A blob that is not what it is called.
    #[error("entry {entry:?}: {source}")]
    Content {
        /// Its path.
        entry: String,
        /// What is wrong.
        source: DigestError,
    },
    /// Neither an OCI layout nor a Docker archive.
    #[error("the archive has neither index.json nor manifest.json: it is not one of images")]
    NoImages,
    /// A file that says what is in the archive is not of its form.
    #[error("{entry} of the archive: {reason}")]
    Malformed {
        /// Its path.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// A document in it.
    #[error("{entry} of the archive: {source}")]
    Document {
        /// Its path or digest.
        entry: String,
        /// What is wrong.
        source: DocumentError,
    },
    /// A configuration in it.
    #[error("{entry} of the archive: {source}")]
    Config {
        /// Its path.
        entry: String,
        /// What is wrong.
        source: ConfigError,
    },
    /// An image without a name, and none was given.
    #[error("the archive has an image without a name: give it one with --name")]
    Unnamed,
    /// An image of a registry that is not the one it is loaded into.
    #[error(
        "{name} of the archive is an image of another registry than {registry}: give it a name with --name"
    )]
    Elsewhere {
        /// Its name in the archive.
        name: String,
        /// The registry that the archive is loaded into.
        registry: String,
    },
    /// A name was given, and there is more than one image.
    #[error("the archive has {count} images: a name can be given to one only")]
    Several {
        /// How many there are.
        count: usize,
    },
    /// What the archive leaves out is not here either.
    #[error("{name} cannot be completed{}: missing here {}", base.as_ref().map(|base| format!(" (it was saved without what {base} has)")).unwrap_or_default(), list(missing))]
    Missing {
        /// The image.
        name: String,
        /// What it was saved against.
        base: Option<String>,
        /// All that is neither in the archive nor here.
        missing: Vec<Descriptor>,
    },
}

fn list(missing: &[Descriptor]) -> String {
    let all: Vec<String> = missing
        .iter()
        .map(|one| format!("{} ({} bytes)", one.digest(), one.size()))
        .collect();
    all.join(", ")
}

/// An image of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// `missing.json`.
#[derive(Debug, Serialize, Deserialize)]
struct MissingNote {
    bases: Vec<MissingBase>,
    missing: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MissingBase {
    name: String,
    digest: Digest,
}

fn blob_entry(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.digest())
}
