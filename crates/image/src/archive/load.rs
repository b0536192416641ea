//! Images from a tar.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use oci_spec::image::ImageIndex;
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;

use super::spool::{BYTES_MAX, Kept, Spool};
use super::{ArchiveError, BASE_NAME, DockerImage, blob_entry};
use crate::config::{self, Config};
use crate::copy::{Outcome, Progress, Silent};
use crate::digest::{Digest, DigestError};
use crate::document::{self, Descriptor, Document, LAYERS_MAX};
use crate::media::{Compression, MediaType};
use crate::name::Name;
use crate::place::{As, Place, PlaceError};
use crate::store::{name_of, without_names};
use crate::walk::{Closure, Walk};

/// The most images of one archive.
const IMAGES_MAX: usize = 1_000;
/// The most bytes of their documents, which are in memory together until all are judged. One may have 4 MiB; nearly all
/// have a few thousand bytes.
const DOCUMENTS_BYTES: u64 = 32 << 20;

/// How an archive is loaded.
#[derive(Clone)]
pub struct LoadOptions {
    /// The name of its image, if there is one image; else each image has the name that is in the archive.
    pub name: Option<Name>,
    /// The registry that the images become images of, when the names in the archive count: those without one, and
    /// those of Docker's. By default they stay what they are called.
    pub registry: Option<String>,
    /// The most bytes that the archive may hold, when it is unpacked, and each of its layers.
    pub bytes_max: u64,
    /// Is told how it gets on.
    pub progress: Arc<dyn Progress>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            name: None,
            registry: None,
            bytes_max: BYTES_MAX,
            progress: Arc::new(Silent),
        }
    }
}

/// An image that was loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its names.
    pub names: Vec<Name>,
    /// Its document.
    pub document: Document,
    /// Blobs that were not in the archive, because the place had them.
    pub completed: usize,
}

/// An image of the archive before it is known to be whole.
struct Found {
    names: Vec<Name>,
    document: Document,
    base: Option<String>,
}

/// Reads images from a tar (which may be compressed) into a place. The tar is first kept as files in `staging`: take
/// [`crate::Layout::staging`] where the place is a directory, so that blobs are renamed and not copied.
///
/// # Errors
///
/// When the tar is not one of images, something in it is not what its digest says, or an image is neither whole nor
/// completed by what the place has. Then no name was changed.
pub async fn load(
    source: impl AsyncRead + Send + Unpin + 'static,
    into: &dyn Place,
    staging: &Path,
    options: &LoadOptions,
) -> Result<Vec<Loaded>, ArchiveError> {
    let _hold = into.hold().await?;
    let bridge = SyncIoBridge::new(source);
    let staging = staging.to_owned();
    let bytes_max = options.bytes_max;
    let (spool, mut images) = blocking(move || {
        let spool = Spool::read(bridge, &staging, bytes_max)?;
        let images = find(&spool, bytes_max)?;
        Ok((Arc::new(spool), images))
    })
    .await?;
    name(&mut images, options)?;

    // Everything is judged before anything is written.
    let mut room = Room::default();
    let mut whole = Vec::new();
    for image in images {
        whole.push(complete(&spool, into, image, &mut room).await?);
    }
    let mut loaded = Vec::new();
    for image in whole {
        loaded.push(write(&spool, into, image, &*options.progress).await?);
    }
    Ok(loaded)
}

/// Room for documents.
struct Room(u64);

impl Default for Room {
    fn default() -> Self {
        Self(DOCUMENTS_BYTES)
    }
}

impl Room {
    fn take(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or(ArchiveError::TooMuch {
            what: "bytes of manifests",
            limit: DOCUMENTS_BYTES,
        })?;
        Ok(())
    }
}

fn check_count(images: usize) -> Result<(), ArchiveError> {
    match images > IMAGES_MAX {
        true => Err(ArchiveError::TooMuch {
            what: "images",
            limit: IMAGES_MAX as u64,
        }),
        false => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ArchiveError::Read(std::io::Error::other(error)))?
}

/// Gives images the names that they shall have.
fn name(images: &mut [Found], options: &LoadOptions) -> Result<(), ArchiveError> {
    let count = images.len();
    for image in images {
        match &options.name {
            Some(_) if count > 1 => return Err(ArchiveError::Several { count }),
            Some(name) => image.names = vec![name.clone()],
            None if image.names.is_empty() => return Err(ArchiveError::Unnamed),
            None => {
                if let Some(registry) = &options.registry {
                    for name in &mut image.names {
                        *name = moved(name, registry)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// What an image of an archive is called in a registry.
fn moved(name: &Name, registry: &str) -> Result<Name, ArchiveError> {
    let short = name.familiar();
    match short.registry() {
        Some(own) if own == registry => Some(short),
        None => short.in_registry(registry).ok(),
        Some(_) => None,
    }
    .ok_or_else(|| ArchiveError::Elsewhere {
        name: name.to_string(),
        registry: registry.to_owned(),
    })
}

/// The images of an archive, by the index of OCI's layout if there is one: it has the documents as they were.
fn find(spool: &Spool, bytes_max: u64) -> Result<Vec<Found>, ArchiveError> {
    if let Some(bytes) = spool.small("index.json", document::SIZE_MAX as u64)? {
        return oci(spool, &bytes);
    }
    if let Some(bytes) = spool.small("manifest.json", document::SIZE_MAX as u64)? {
        return docker(spool, &bytes, bytes_max);
    }
    Err(ArchiveError::NoImages)
}

fn malformed(entry: &str) -> impl Fn(serde_json::Error) -> ArchiveError {
    let entry = entry.to_owned();
    move |error| ArchiveError::Malformed {
        entry: entry.clone(),
        reason: error.to_string(),
    }
}

fn oci(spool: &Spool, bytes: &[u8]) -> Result<Vec<Found>, ArchiveError> {
    let index: ImageIndex = serde_json::from_slice(bytes).map_err(malformed("index.json"))?;
    let mut images: Vec<Found> = Vec::new();
    let mut room = Room::default();
    for entry in index.manifests() {
        let name = name_of(entry);
        if let Some(image) = images
            .iter_mut()
            .find(|image| image.document.digest() == entry.digest())
        {
            image.names.extend(name);
            continue;
        }
        let path = blob_entry(entry.digest());
        let kept = spool
            .blob(entry.digest())
            .ok_or_else(|| ArchiveError::Malformed {
                entry: "index.json".to_owned(),
                reason: format!("{path} is not in the archive"),
            })?;
        check_count(images.len() + 1)?;
        room.take(kept.size)?;
        let bytes = kept.small(&path, document::SIZE_MAX as u64)?;
        let document = Document::parse_as(&without_names(entry), bytes).map_err(|source| {
            ArchiveError::Document {
                entry: path,
                source,
            }
        })?;
        let base = entry
            .annotations()
            .as_ref()
            .and_then(|all| all.get(BASE_NAME).cloned());
        images.push(Found {
            names: name.into_iter().collect(),
            document,
            base,
        });
    }
    Ok(images)
}

fn docker(spool: &Spool, bytes: &[u8], bytes_max: u64) -> Result<Vec<Found>, ArchiveError> {
    let entry = "manifest.json";
    let images: Vec<DockerImage> = serde_json::from_slice(bytes).map_err(malformed(entry))?;
    check_count(images.len())?;
    let (mut known, mut room) = (HashMap::new(), Room::default());
    let mut found = Vec::new();
    for image in &images {
        let image = docker_image(spool, image, bytes_max, &mut known)?;
        room.take(image.document.bytes().len() as u64)?;
        found.push(image);
    }
    Ok(found)
}

/// An image manifest for what Docker says. Layers stay as they are in the archive, tars without compression as a rule:
/// so their digests are their diff ids, and the same image saved twice by Docker is the same image here.
/// `known` is what was found in layers before: images share them.
fn docker_image(
    spool: &Spool,
    image: &DockerImage,
    bytes_max: u64,
    known: &mut HashMap<Digest, (Compression, Digest)>,
) -> Result<Found, ArchiveError> {
    let absent = |path: &str| ArchiveError::Malformed {
        entry: "manifest.json".to_owned(),
        reason: format!("{path:?} is not in the archive"),
    };
    let kept = spool
        .get(&image.config)?
        .ok_or_else(|| absent(&image.config))?;
    let config_bytes = kept.small(&image.config, config::SIZE_MAX as u64)?;
    let wrong = |source| ArchiveError::Config {
        entry: image.config.clone(),
        source,
    };
    let config = Config::parse(config_bytes).map_err(wrong)?;
    let mut layers = Vec::new();
    let paths = image.layers.as_deref().unwrap_or_default();
    if paths.len() > LAYERS_MAX {
        return Err(ArchiveError::TooMuch {
            what: "layers",
            limit: LAYERS_MAX as u64,
        });
    }
    for (path, diff_id) in paths.iter().zip(config.diff_ids()) {
        let layer = spool.get(path)?.ok_or_else(|| absent(path))?;
        let (compression, found) = match known.get(&layer.digest) {
            Some(known) => known.clone(),
            None => {
                let read = layer.diff_id(bytes_max);
                let read = read.map_err(|source| ArchiveError::Spool {
                    entry: path.clone(),
                    source,
                })?;
                known.insert(layer.digest.clone(), read.clone());
                read
            }
        };
        if found != *diff_id {
            return Err(ArchiveError::Content {
                entry: path.clone(),
                source: DigestError::Mismatch {
                    expected: diff_id.clone(),
                    found,
                },
            });
        }
        layers.push(Descriptor::new(
            MediaType::from(compression.layer_type(false)),
            layer.size,
            layer.digest.clone(),
        ));
    }
    if paths.len() != config.diff_ids().len() {
        return Err(wrong(config::ConfigError::Layers {
            diff_ids: config.diff_ids().len(),
            layers: paths.len(),
        }));
    }
    let config = Descriptor::new(MediaType::ImageConfig, kept.size, kept.digest.clone());
    let document =
        Document::image(false, &config, &layers, &BTreeMap::new()).map_err(|source| {
            ArchiveError::Document {
                entry: "manifest.json".to_owned(),
                source,
            }
        })?;
    let names = image
        .repo_tags
        .iter()
        .flatten()
        .map(|text| {
            text.parse().map_err(|error| ArchiveError::Malformed {
                entry: "manifest.json".to_owned(),
                reason: format!("{error}"),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Found {
        names,
        document,
        base: None,
    })
}

/// An image of which it is known where each part is.
struct Whole {
    names: Vec<Name>,
    documents: Vec<Document>,
    blobs: Vec<Descriptor>,
    completed: usize,
}

async fn complete(
    spool: &Spool,
    into: &dyn Place,
    image: Found,
    room: &mut Room,
) -> Result<Whole, ArchiveError> {
    let name = image.names.first().ok_or(ArchiveError::Unnamed)?;
    let mut missing = Vec::new();
    room.take(image.document.bytes().len() as u64)?;
    let mut walk = Walk::new(name, image.document);
    while let Some(descriptor) = walk.next_part()? {
        match part(spool, into, name, &descriptor).await? {
            Some(document) => {
                room.take(document.bytes().len() as u64)?;
                walk.enter(document);
            }
            None => missing.push(descriptor),
        }
    }
    let Closure { documents, blobs } = walk.finish();
    let mut completed = 0;
    for blob in &blobs {
        match spool.blob(blob.digest()) {
            Some(kept) => same_size(kept, blob)?,
            None if into.has(name, blob).await? => completed += 1,
            None => missing.push(blob.clone()),
        }
    }
    if !missing.is_empty() {
        return Err(ArchiveError::Missing {
            name: name.familiar().to_string(),
            base: image.base,
            missing,
        });
    }
    Ok(Whole {
        names: image.names,
        documents,
        blobs,
        completed,
    })
}

fn same_size(kept: &Kept, blob: &Descriptor) -> Result<(), ArchiveError> {
    if kept.size == blob.size() {
        return Ok(());
    }
    Err(ArchiveError::Content {
        entry: blob_entry(blob.digest()),
        source: DigestError::Size {
            digest: blob.digest().clone(),
            expected: blob.size(),
            found: kept.size,
        },
    })
}

async fn part(
    spool: &Spool,
    into: &dyn Place,
    name: &Name,
    descriptor: &Descriptor,
) -> Result<Option<Document>, ArchiveError> {
    let Some(kept) = spool.blob(descriptor.digest()) else {
        return match into.document(name, descriptor).await {
            Ok(document) => Ok(Some(document)),
            Err(PlaceError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
    };
    let entry = blob_entry(descriptor.digest());
    let bytes = kept.small(&entry, document::SIZE_MAX as u64)?;
    Document::parse_as(descriptor, bytes)
        .map(Some)
        .map_err(|source| ArchiveError::Document { entry, source })
}

async fn write(
    spool: &Spool,
    into: &dyn Place,
    image: Whole,
    progress: &dyn Progress,
) -> Result<Loaded, ArchiveError> {
    progress.planned(&image.blobs);
    for name in &image.names {
        for blob in &image.blobs {
            if into.has(name, blob).await? {
                progress.finished(blob, Outcome::Present);
                continue;
            }
            // complete() saw it here, or in the place: another repository of a registry may lack it.
            let kept = spool
                .blob(blob.digest())
                .ok_or_else(|| ArchiveError::Missing {
                    name: name.to_string(),
                    base: None,
                    missing: vec![blob.clone()],
                })?;
            into.write_file(name, blob, kept.file.path()).await?;
            progress.advanced(blob, blob.size());
            progress.finished(blob, Outcome::Moved);
        }
        let (root, parts) = image.documents.split_last().ok_or(ArchiveError::NoImages)?;
        for document in parts {
            into.put(name, document, As::Part).await?;
        }
        into.put(name, root, As::Root).await?;
    }
    let document = image.documents.last().ok_or(ArchiveError::NoImages)?;
    Ok(Loaded {
        document: document.clone(),
        names: image.names,
        completed: image.completed,
    })
}
