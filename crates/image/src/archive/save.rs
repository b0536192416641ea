//! Images to a tar.

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt;
use oci_spec::image::ImageIndex;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    ArchiveError, BASE_DIGEST, BASE_NAME, DockerImage, MISSING, MissingBase, MissingNote,
    blob_entry,
};
use crate::config;
use crate::copy::{Outcome, Progress, Silent};
use crate::digest::{Check, Digest};
use crate::document::{Descriptor, Document, Platform};
use crate::media::{self, DocumentKind, MediaType};
use crate::name::Name;
use crate::place::{Closure, Place, PlaceError, closure, find};
use crate::store;

/// An image that is saved, or that the receiver has.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name in the place.
    pub name: Name,
    /// Its name in the tar.
    pub saved_as: Name,
}

impl From<Name> for Source {
    fn from(name: Name) -> Self {
        Self {
            saved_as: name.clone(),
            name,
        }
    }
}

/// How images are saved.
#[derive(Clone)]
pub struct SaveOptions {
    /// Images that the receiver has: what they have is left out.
    pub bases: Vec<Source>,
    /// Of an index, only the image for this platform; none for the whole index.
    pub platform: Option<Platform>,
    /// Is told how it gets on.
    pub progress: Arc<dyn Progress>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self {
            bases: Vec::new(),
            platform: None,
            progress: Arc::new(Silent),
        }
    }
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The length of the tar, in bytes.
    pub bytes: u64,
    /// How many blobs are in it, without documents.
    pub blobs: usize,
    /// What was left out because a base has it.
    pub omitted: Vec<Descriptor>,
}

struct Image {
    source: Source,
    root: Document,
    all: Closure,
}

/// Writes images of a place to a tar.
///
/// # Errors
///
/// When an image or a base is not there, a blob is not what its digest says, or the tar cannot be written.
pub async fn save(
    place: &dyn Place,
    sources: &[Source],
    out: &mut (dyn AsyncWrite + Send + Unpin),
    options: &SaveOptions,
) -> Result<Saved, ArchiveError> {
    let _reading = place.hold().await?;
    let mut images = Vec::new();
    for source in sources {
        images.push(image(place, source, options.platform.as_ref()).await?);
    }
    let mut bases = Vec::new();
    for source in &options.bases {
        bases.push(image(place, source, None).await?);
    }
    let plan = plan(&images, &bases)?;
    options.progress.planned(&plan.blobs);

    let mut tar = Tar { out, written: 0 };
    for directory in ["blobs/", "blobs/sha256/"] {
        tar.directory(directory).await?;
    }
    for (entry, content) in &plan.files {
        tar.file(entry, content).await?;
    }
    for (name, blob) in plan.sources.iter().zip(&plan.blobs) {
        copy_blob(place, name, blob, &mut tar, &*options.progress).await?;
        options.progress.finished(blob, Outcome::Moved);
    }
    let bytes = tar.finish().await?;
    Ok(Saved {
        bytes,
        blobs: plan.blobs.len(),
        omitted: plan.omitted,
    })
}

async fn image(
    place: &dyn Place,
    source: &Source,
    platform: Option<&Platform>,
) -> Result<Image, ArchiveError> {
    let name = &source.name;
    let root = find(place, name, platform).await?;
    let all = closure(place, name, root.clone()).await?;
    Ok(Image {
        source: source.clone(),
        root,
        all,
    })
}

struct Plan {
    /// Small files, documents among them.
    files: Vec<(String, Vec<u8>)>,
    blobs: Vec<Descriptor>,
    /// The name that each blob is read by.
    sources: Vec<Name>,
    omitted: Vec<Descriptor>,
}

/// What is written, and what is left out.
fn plan(images: &[Image], bases: &[Image]) -> Result<Plan, ArchiveError> {
    let of_bases: HashSet<&Digest> = bases
        .iter()
        .flat_map(|base| &base.all.blobs)
        .map(Descriptor::digest)
        .collect();
    let mut seen = HashSet::new();
    let mut plan = Plan {
        files: Vec::new(),
        blobs: Vec::new(),
        sources: Vec::new(),
        omitted: Vec::new(),
    };
    for image in images {
        for blob in &image.all.blobs {
            if !seen.insert(blob.digest().clone()) {
                continue;
            }
            if of_bases.contains(blob.digest()) {
                plan.omitted.push(blob.clone());
            } else {
                plan.blobs.push(blob.clone());
                plan.sources.push(image.source.name.clone());
            }
        }
    }

    let mut index = ImageIndex::default();
    index.set_schema_version(2);
    index.set_media_type(Some(MediaType::ImageIndex));
    let child = !plan.omitted.is_empty();
    let entries = images
        .iter()
        .map(|image| entry(image, bases.first().filter(|_| child)))
        .collect();
    index.set_manifests(entries);
    let docker: Vec<DockerImage> = images.iter().filter_map(docker_image).collect();

    plan.file(
        "oci-layout",
        &serde_json::json!({"imageLayoutVersion": "1.0.0"}),
    )?;
    plan.file("index.json", &index)?;
    plan.file("manifest.json", &docker)?;
    if child {
        let note = MissingNote {
            bases: bases
                .iter()
                .map(|base| MissingBase {
                    name: base.source.saved_as.familiar().to_string(),
                    digest: base.root.digest().clone(),
                })
                .collect(),
            missing: plan.omitted.clone(),
        };
        plan.file(MISSING, &note)?;
    }
    for document in images.iter().flat_map(|image| &image.all.documents) {
        if seen.insert(document.digest().clone()) {
            let entry = blob_entry(document.digest());
            plan.files.push((entry, document.bytes().to_vec()));
        }
    }
    Ok(plan)
}

impl Plan {
    fn file(&mut self, entry: &str, content: &impl serde::Serialize) -> Result<(), ArchiveError> {
        let bytes = store::canonical(content).map_err(|error| ArchiveError::Write(error.into()))?;
        self.files.push((entry.to_owned(), bytes));
        Ok(())
    }
}

fn entry(image: &Image, base: Option<&Image>) -> Descriptor {
    let mut entry = store::named(&image.root.descriptor(), &image.source.saved_as);
    if let Some(base) = base {
        let mut annotations = entry.annotations().clone().unwrap_or_default();
        annotations.insert(
            BASE_NAME.to_owned(),
            base.source.saved_as.familiar().to_string(),
        );
        annotations.insert(BASE_DIGEST.to_owned(), base.root.digest().to_string());
        entry.set_annotations(Some(annotations));
    }
    entry
}

/// The image as Docker is told of it; of an index the one for this machine. None for what Docker cannot run.
fn docker_image(image: &Image) -> Option<DockerImage> {
    let document = match image.root.kind() {
        DocumentKind::Manifest => &image.root,
        DocumentKind::Index => {
            let chosen = config::choose(image.root.manifests(), &config::host_platform())?;
            image
                .all
                .documents
                .iter()
                .find(|document| document.digest() == chosen.digest())?
        }
    };
    let config = document
        .config()
        .filter(|config| media::is_config(config.media_type().as_ref()))?;
    let name = &image.source.saved_as;
    let repo_tags = match (name.tag(), name.digest()) {
        (None, Some(_)) => Vec::new(),
        _ => vec![tagged(name)],
    };
    Some(DockerImage {
        config: blob_entry(config.digest()),
        repo_tags: Some(repo_tags),
        layers: Some(
            document
                .layers()
                .iter()
                .map(|layer| blob_entry(layer.digest()))
                .collect(),
        ),
    })
}

/// The name without its digest, which Docker does not take in a `RepoTags`.
fn tagged(name: &Name) -> String {
    let text = name.familiar().to_string();
    text.split('@').next().unwrap_or_default().to_owned()
}

async fn copy_blob(
    place: &dyn Place,
    name: &Name,
    blob: &Descriptor,
    tar: &mut Tar<'_>,
    progress: &dyn Progress,
) -> Result<(), ArchiveError> {
    let mut body = place.read(name, blob).await?;
    let mut check = Check::new(blob.digest(), Some(blob.size())).map_err(PlaceError::Content)?;
    tar.header(
        &blob_entry(blob.digest()),
        blob.size(),
        tar::EntryType::Regular,
    )
    .await?;
    while let Some(piece) = body
        .try_next()
        .await
        .map_err(|error| store::broken_body(blob, error))?
    {
        check.update(&piece).map_err(PlaceError::Content)?;
        tar.write(&piece).await?;
        progress.advanced(blob, piece.len() as u64);
    }
    check.finish().map_err(PlaceError::Content)?;
    tar.pad(blob.size()).await
}

/// Writes a tar that is the same whenever it is made of the same images.
struct Tar<'a> {
    out: &'a mut (dyn AsyncWrite + Send + Unpin),
    written: u64,
}

const BLOCK: u64 = 512;

impl Tar<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).await.map_err(ArchiveError::Write)
    }

    async fn pad(&mut self, size: u64) -> Result<(), ArchiveError> {
        let rest = usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or_default();
        let zeros = [0; BLOCK as usize];
        self.write(zeros.get(..rest).unwrap_or_default()).await
    }

    async fn header(
        &mut self,
        path: &str,
        size: u64,
        kind: tar::EntryType,
    ) -> Result<(), ArchiveError> {
        if path.len() > 100 {
            // A sha512's: GNU's way for long names, which everybody reads.
            let mut long = tar::Header::new_gnu();
            long.set_path("././@LongLink")
                .map_err(ArchiveError::Write)?;
            long.set_entry_type(tar::EntryType::GNULongName);
            long.set_size(path.len() as u64 + 1);
            long.set_cksum();
            self.write(long.as_bytes()).await?;
            self.write(path.as_bytes()).await?;
            self.write(&[0]).await?;
            self.pad(path.len() as u64 + 1).await?;
        }
        let mut header = tar::Header::new_gnu();
        let short = path.get(..path.len().min(99)).unwrap_or(path);
        header.set_path(short).map_err(ArchiveError::Write)?;
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_size(size);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.write(header.as_bytes()).await
    }

    async fn directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        self.header(path, 0, tar::EntryType::Directory).await
    }

    async fn file(&mut self, path: &str, content: &[u8]) -> Result<(), ArchiveError> {
        let size = content.len() as u64;
        self.header(path, size, tar::EntryType::Regular).await?;
        self.write(content).await?;
        self.pad(size).await
    }

    async fn finish(mut self) -> Result<u64, ArchiveError> {
        self.write(&[0; 2 * BLOCK as usize]).await?;
        self.out.flush().await.map_err(ArchiveError::Write)?;
        Ok(self.written)
    }
}
