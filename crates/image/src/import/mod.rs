//! An image from a tree of files: of its own, or a layer on a base.

mod tree;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use crate::archive::{BASE_DIGEST, BASE_NAME};
use crate::config::{Changes, ConfigError, NewLayer, derive};
use crate::digest::Hasher;
use crate::document::{Descriptor, Document, DocumentError, Platform, describe};
use crate::media::{self, Compression, MediaType};
use crate::name::Name;
use crate::place::{As, Place, PlaceError, bytes_body, find, read_config};
use crate::store::Staged;
use crate::unpack::Layer;

pub use tree::TreeOptions;

/// What gzip is told: what its own tool takes by default.
const GZIP_LEVEL: u32 = 6;

/// Why a tree could not become an image.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The tree cannot be read.
    #[error("cannot {step} {path}: {source}")]
    Tree {
        /// What was being done.
        step: &'static str,
        /// Where in the tree.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A file became another while it was read.
    #[error("{path} changed while it was read")]
    Changed {
        /// Where in the tree.
        path: String,
    },
    /// A device that is not to be taken.
    #[error("{path} is a device: only root makes layers with devices")]
    Device {
        /// Where in the tree.
        path: String,
    },
    /// The layer cannot be written.
    #[error("cannot write the layer: {0}")]
    Write(io::Error),
    /// The base cannot be built on, or the image cannot be kept.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The configuration cannot be made.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The manifest cannot be made.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// How an image is made.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The image in the same place that the layer is laid on.
    pub base: Option<Name>,
    /// What it is run as; the rest is the base's.
    pub changes: Changes,
    /// What it runs on, and which image of a base that is an index.
    pub platform: Platform,
    /// How the tree is read.
    pub tree: TreeOptions,
    /// When it was made, as RFC 3339 text.
    pub created: String,
    /// How it came about, for the history.
    pub created_by: String,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            base: None,
            changes: Changes::default(),
            platform: crate::config::host_platform(),
            tree: TreeOptions::default(),
            created: "1970-01-01T00:00:00Z".to_owned(),
            created_by: "import".to_owned(),
        }
    }
}

/// Writes a tree as a layer, compressed with gzip. The same tree with the same options is the same bytes. Blocks the thread.
///
/// # Errors
///
/// When the tree cannot be read, changes meanwhile or has devices that are not to be taken, or `out` fails.
pub fn write_layer(
    tree: &Path,
    out: impl Write,
    options: &TreeOptions,
) -> Result<Layer, ImportError> {
    let out = Hashing::new(io::BufWriter::with_capacity(crate::place::PIECE, out));
    // Without a name and a time in its header, as flate2 leaves it.
    let encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
    let inner = tree::write(tree, Hashing::new(encoder), options)?;
    let mut out = inner.inner.finish().map_err(ImportError::Write)?;
    out.flush().map_err(ImportError::Write)?;
    Ok(Layer {
        diff_id: inner.hasher.finish(),
        size: out.hasher.length(),
        digest: out.hasher.finish(),
    })
}

struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Hasher::sha256(),
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Makes an image of a tree and puts it into a place under a name. The layer is first written to a file in `staging`.
///
/// # Errors
///
/// When the tree cannot be read, the base is not there or is no image for the platform, or the place fails.
pub async fn import(
    tree: &Path,
    into: &dyn Place,
    name: &Name,
    staging: &Path,
    options: &ImportOptions,
) -> Result<Document, ImportError> {
    let _hold = into.hold().await?;
    let base = match &options.base {
        Some(base) => Some(Base::read(into, base, name, &options.platform).await?),
        None => None,
    };
    let (staged, layer) = {
        let (tree, staging) = (tree.to_owned(), staging.to_owned());
        let options = options.tree.clone();
        tokio::task::spawn_blocking(move || {
            let mut staged = Staged::new(&staging).map_err(ImportError::Write)?;
            let layer = write_layer(&tree, &mut staged, &options)?;
            let staged = staged.close().map_err(ImportError::Write)?;
            Ok::<_, ImportError>((staged, layer))
        })
        .await
        .map_err(|error| ImportError::Write(io::Error::other(error)))??
    };
    let docker = base
        .as_ref()
        .is_some_and(|base| media::is_docker(base.document.media_type().as_ref()));
    let layer_type = Compression::Gzip.layer_type(docker);
    let descriptor = Descriptor::new(MediaType::from(layer_type), layer.size, layer.digest);
    into.write_file(name, &descriptor, staged.path()).await?;

    let new = NewLayer {
        diff_id: layer.diff_id,
        created_by: options.created_by.clone(),
    };
    let config = derive(
        base.as_ref().map(|base| &base.config),
        &options.platform,
        &[new],
        &options.changes,
        &options.created,
    )?;
    let config_type = if docker {
        media::DOCKER_CONFIG
    } else {
        media::OCI_CONFIG
    };
    let config_descriptor = describe(config_type, &config);
    into.write(name, &config_descriptor, bytes_body(config))
        .await?;
    let mut annotations = BTreeMap::new();
    // Docker's manifests have none.
    if let Some(base) = base.as_ref().filter(|_| !docker) {
        annotations.insert(BASE_NAME, base.name.normal().to_string());
        annotations.insert(BASE_DIGEST, base.document.digest().to_string());
    }
    let lower = base.iter().flat_map(|base| base.document.layers());
    let layers = lower.chain([&descriptor]);
    let document = Document::image(docker, &config_descriptor, layers, &annotations)?;
    into.put(name, &document, As::Root).await?;
    Ok(document)
}

struct Base {
    name: Name,
    document: Document,
    config: crate::Config,
}

impl Base {
    async fn read(
        place: &dyn Place,
        base: &Name,
        target: &Name,
        platform: &Platform,
    ) -> Result<Self, PlaceError> {
        let document = find(place, base, Some(platform)).await?;
        let config = read_config(place, base, &document).await?;
        for blob in document.blobs() {
            if !place.has(target, blob).await? && !place.mount(target, base, blob).await? {
                return Err(PlaceError::Incomplete {
                    name: base.to_string(),
                    missing: vec![blob.digest().clone()],
                });
            }
        }
        Ok(Self {
            name: base.clone(),
            document,
            config,
        })
    }
}
