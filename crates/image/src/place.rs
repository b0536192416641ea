//! A place that images are in: a local directory, a registry.
//!
//! Saving, loading, pulling, pushing and copying are one code over this trait. Its methods take whole names: a local
//! directory looks at the name, a registry asks the registry and the repository that are in it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio_util::io::ReaderStream;

use crate::config::{self, Config, ConfigError};
use crate::digest::{Check, DigestError};
use crate::document::{DEPTH_MAX, Descriptor, Document, DocumentError, Platform};
use crate::media::DocumentKind;
use crate::name::Name;
use crate::retry::again;
pub use crate::walk::Closure;
use crate::walk::Walk;

/// How much is read from a file at a time, in bytes.
pub(crate) const PIECE: usize = 256 << 10;

/// The bytes of a blob as they come. Whoever reads them holds them to the digest.
pub type Body = BoxStream<'static, io::Result<Bytes>>;

/// Why a place could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// What is asked for is not there.
    #[error("{what} is not in {place}")]
    NotFound {
        /// A name, or a digest.
        what: String,
        /// The place.
        place: String,
    },
    /// A name would stand for an image that is not whole.
    #[error("{name} would be incomplete: {} missing, the first is {}", missing.len(), missing.first().map_or("none", |first| first.as_ref()))]
    Incomplete {
        /// The name.
        name: String,
        /// What is not there.
        missing: Vec<crate::Digest>,
    },
    /// A document that is not one.
    #[error("{name}: {source}")]
    Document {
        /// The name it was asked for by.
        name: String,
        /// What is wrong.
        source: DocumentError,
    },
    /// A configuration that is not one.
    #[error("{name}: {source}")]
    Config {
        /// The name it was asked for by.
        name: String,
        /// What is wrong.
        source: ConfigError,
    },
    /// Content that is not what its digest says.
    #[error(transparent)]
    Content(#[from] DigestError),
    /// Reading or writing failed.
    #[error("cannot {step} {object}: {source}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        object: String,
        /// The cause.
        source: io::Error,
    },
    /// Another process holds the directory.
    #[error("{place} is in use by another process")]
    Busy {
        /// The directory.
        place: String,
    },
    /// The registry cannot be reached, or broke off.
    #[error("cannot {step} {object}: {reason}")]
    Unreachable {
        /// What was being done.
        step: &'static str,
        /// To what.
        object: String,
        /// The cause, with its own causes.
        reason: String,
    },
    /// The registry said no.
    #[error("cannot {step} {object}: the registry answered {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    Refused {
        /// What was being done.
        step: &'static str,
        /// To what.
        object: String,
        /// The status of its answer.
        status: u16,
        /// The codes and messages of its answer, cut to a bounded length.
        message: String,
    },
    /// What was asked does not go with this place or name.
    #[error("{0}")]
    Unfit(String),
}

impl PlaceError {
    pub(crate) fn io(
        step: &'static str,
        object: impl std::fmt::Display,
    ) -> impl FnOnce(io::Error) -> Self {
        let object = object.to_string();
        move |source| match DigestError::of(&source) {
            Some(wrong) => Self::Content(wrong.clone()),
            None => Self::Io {
                step,
                object,
                source,
            },
        }
    }

    /// Whether trying again may help: the registry could not be reached, was busy, or broke off.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// An image in a place.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name there.
    pub name: Name,
    /// Its manifest or index, where the place says so without being asked for each.
    pub descriptor: Option<Descriptor>,
}

/// What a document is put into a place as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// Found by its digest, because something else names it.
    Part,
    /// An image of its own: under the name's tag, or under its digest if it has none.
    Root,
}

/// Keeps what is in a place from being cleaned away while an image is written.
pub type Hold = Box<dyn std::any::Any + Send + Sync>;

/// A place that images are in.
#[async_trait]
pub trait Place: Send + Sync {
    /// What it is called in messages.
    fn describe(&self) -> String;

    /// The manifest or index that a name stands for; none if there is none.
    async fn resolve(&self, name: &Name) -> Result<Option<Document>, PlaceError>;

    /// The document of a descriptor, in the repository of `name`.
    async fn document(&self, name: &Name, descriptor: &Descriptor) -> Result<Document, PlaceError>;

    /// The bytes of a blob, in the repository of `name`. They are not verified.
    async fn read(&self, name: &Name, descriptor: &Descriptor) -> Result<Body, PlaceError>;

    /// Whether a blob is there, in the repository of `name`.
    async fn has(&self, name: &Name, descriptor: &Descriptor) -> Result<bool, PlaceError>;

    /// Writes a blob into the repository of `name`. Nothing is kept of content that is not the descriptor's.
    async fn write(
        &self,
        name: &Name,
        descriptor: &Descriptor,
        body: Body,
    ) -> Result<(), PlaceError>;

    /// Writes a blob from a file that the caller leaves to the place and that holds exactly that blob.
    async fn write_file(
        &self,
        name: &Name,
        descriptor: &Descriptor,
        file: &Path,
    ) -> Result<(), PlaceError> {
        let body = file_body(file.to_owned()).await?;
        self.write(name, descriptor, body).await
    }

    /// Makes a blob of another repository one of the repository of `name` too, without moving its bytes; false where that
    /// cannot be done.
    async fn mount(
        &self,
        _name: &Name,
        _from: &Name,
        _descriptor: &Descriptor,
    ) -> Result<bool, PlaceError> {
        Ok(false)
    }

    /// Puts a document. What it refers to has to be there.
    async fn put(&self, name: &Name, document: &Document, role: As) -> Result<(), PlaceError>;

    /// The images here, or in the repository of `within`, by name.
    async fn list(&self, within: Option<&Name>) -> Result<Vec<Listed>, PlaceError>;

    /// What refers to the document with this digest, in the repository of `name` (distribution-spec, "Listing Referrers").
    async fn referrers(
        &self,
        name: &Name,
        digest: &crate::Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, PlaceError>;

    /// Takes a name away; false if there was none. Blobs that nothing else names go later.
    async fn delete(&self, name: &Name) -> Result<bool, PlaceError>;

    /// To be kept while blobs are written and the document that names them is not there yet, or while they are read and the
    /// name may go.
    async fn hold(&self) -> Result<Hold, PlaceError> {
        Ok(Box::new(()))
    }
}

/// Shared by several tasks.
pub type SharedPlace = Arc<dyn Place>;

/// The bytes of a file.
pub(crate) async fn file_body(path: PathBuf) -> Result<Body, PlaceError> {
    let file = tokio::fs::File::open(&path)
        .await
        .map_err(PlaceError::io("open", path.display()))?;
    Ok(ReaderStream::with_capacity(file, PIECE).boxed())
}

/// Bytes that are in memory already.
#[must_use]
pub fn bytes_body(bytes: impl Into<Bytes>) -> Body {
    let bytes = bytes.into();
    futures::stream::once(async move { Ok(bytes) }).boxed()
}

/// A small blob as a whole, verified.
///
/// # Errors
///
/// When it is longer than `limit` bytes, cannot be read, or is other content.
pub async fn read_small(
    place: &dyn Place,
    name: &Name,
    descriptor: &Descriptor,
    limit: usize,
) -> Result<Bytes, PlaceError> {
    let too_large = || {
        PlaceError::Unfit(format!(
            "{} has {} bytes; {limit} are read at most",
            descriptor.digest(),
            descriptor.size()
        ))
    };
    if descriptor.size() > limit as u64 {
        return Err(too_large());
    }
    let mut body = place.read(name, descriptor).await?;
    let mut check = Check::new(descriptor.digest(), Some(descriptor.size()))?;
    let mut bytes = BytesMut::new();
    while let Some(piece) = body
        .try_next()
        .await
        .map_err(PlaceError::io("read", descriptor.digest()))?
    {
        check.update(&piece)?;
        bytes.extend_from_slice(&piece);
    }
    check.finish()?;
    Ok(bytes.freeze())
}

/// The configuration of an image.
///
/// # Errors
///
/// When the document is an index or some other artifact, or the configuration cannot be had.
pub async fn read_config(
    place: &dyn Place,
    name: &Name,
    document: &Document,
) -> Result<Config, PlaceError> {
    let descriptor = document
        .config()
        .filter(|config| crate::media::is_config(config.media_type().as_ref()))
        .ok_or_else(|| PlaceError::Unfit(format!("{name} is not an image that can be run")))?;
    let bytes = read_small(place, name, descriptor, config::SIZE_MAX).await?;
    let wrong = |source| PlaceError::Config {
        name: name.to_string(),
        source,
    };
    let config = Config::parse(bytes).map_err(wrong)?;
    config.fits(document.layers()).map_err(wrong)?;
    Ok(config)
}

/// The document that a name stands for; of an index, with a platform, the image for that.
///
/// # Errors
///
/// When there is none.
pub async fn find(
    place: &dyn Place,
    name: &Name,
    platform: Option<&Platform>,
) -> Result<Document, PlaceError> {
    let not_found = |what| PlaceError::NotFound {
        what,
        place: place.describe(),
    };
    let root = again(|| place.resolve(name)).await?;
    let mut document = root.ok_or_else(|| not_found(name.to_string()))?;
    let Some(platform) = platform else {
        return Ok(document);
    };
    // An index may name another, which closure() bounds the same way.
    for _ in 0..DEPTH_MAX {
        if document.kind() == DocumentKind::Manifest {
            return Ok(document);
        }
        let chosen = config::choose(document.manifests(), platform).ok_or_else(|| {
            let (os, architecture) = (platform.os(), platform.architecture());
            not_found(format!("an image of {name} for {os}/{architecture}"))
        })?;
        document = again(|| place.document(name, chosen)).await?;
    }
    Err(PlaceError::Unfit(format!("{name} nests too many indexes")))
}

/// Follows a document to all that it names.
///
/// # Errors
///
/// When something cannot be read, or indexes are nested too deep or name too much.
pub async fn closure(
    place: &dyn Place,
    name: &Name,
    root: Document,
) -> Result<Closure, PlaceError> {
    let mut walk = Walk::new(name, root);
    while let Some(part) = walk.next_part()? {
        walk.enter(again(|| place.document(name, &part)).await?);
    }
    Ok(walk.finish())
}
