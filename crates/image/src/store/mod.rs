//! A local directory of images: an OCI image layout (image-spec, image-layout.md), as skopeo's `oci:` reads and writes.
//!
//! ```text
//!   oci-layout                 what it is
//!   index.json                 the names, and the document that each stands for
//!   blobs/sha256/<hex>         documents, configurations, layers
//!   .staging/                  what is being written
//!   .lock  .index.lock         who is writing images; who is writing index.json
//! ```
//!
//! Any number of processes read and write it at once. Who writes an image shares `.lock` until the name is written; who
//! cleans up has it alone. So nothing that is written for an image goes away before its name is there, and what a
//! killed process left goes at the next clean-up or, if nobody is writing, when the directory is opened.

mod files;
mod index;
mod lock;
mod prune;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use tokio::sync::mpsc;

pub(crate) use files::{Staged, blob_path};
use index::Index;
pub(crate) use index::{canonical, name_of, named, without_names};
pub use prune::Pruned;

use crate::digest::{self, Check, Digest};
use crate::document::{self, Descriptor, Document};
use crate::media;
use crate::name::Name;
use crate::place::{As, Body, Hold, Listed, Place, PlaceError, file_body};
use crate::walk::Walk;

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// How long a clean-up waits for those who write images, and they for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pieces that wait to be written; each is at most what one read gave.
const QUEUE: usize = 4;

/// A local directory of images.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout in this directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the directory holds something else, or cannot be written.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, PlaceError> {
        let layout = Self { root: root.into() };
        layout.blocking(Self::prepare).await?;
        Ok(layout)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes blobs that no image refers to, documents about images that are gone, and what killed processes left.
    ///
    /// # Errors
    ///
    /// When images are being written for a minute, a document cannot be read, or the directory cannot be written.
    pub async fn prune(&self) -> Result<Pruned, PlaceError> {
        self.blocking(Self::prune_now).await
    }

    /// Does something that blocks.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, PlaceError> + Send + 'static,
    ) -> Result<T, PlaceError> {
        let layout = self.clone();
        tokio::task::spawn_blocking(move || work(&layout))
            .await
            .map_err(|error| self.failed("work in")(io::Error::other(error)))?
    }

    fn failed(&self, step: &'static str) -> impl FnOnce(io::Error) -> PlaceError {
        PlaceError::io(step, self.root.display())
    }

    fn not_found(&self, what: impl ToString) -> PlaceError {
        PlaceError::NotFound {
            what: what.to_string(),
            place: self.describe(),
        }
    }

    /// Where what is being written lies; on the same file system as the blobs.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.root.join(".staging")
    }

    fn prepare(&self) -> Result<(), PlaceError> {
        fs::create_dir_all(self.root.join("blobs/sha256")).map_err(self.failed("create"))?;
        let writing = self.lock(".lock", false)?;
        let changing = self.lock(".index.lock", true)?;
        let version = self.root.join("oci-layout");
        match fs::read(&version) {
            Ok(text) => {
                let text = String::from_utf8_lossy(text.get(..4096).unwrap_or(&text)).into_owned();
                if !text.contains("imageLayoutVersion") || !text.contains("\"1.") {
                    return Err(PlaceError::Unfit(format!(
                        "{} is not an image layout of version 1",
                        self.root.display()
                    )));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files::replace(&self.staging(), &version, LAYOUT.as_bytes())
                    .map_err(self.failed("create"))?;
            }
            Err(error) => return Err(self.failed("read")(error)),
        }
        if !self.root.join("index.json").exists() {
            self.write_index(&Index::default())?;
        }
        drop(changing);
        drop(writing);
        // Nobody is writing: what is staged was left by the dead.
        if let Some(_alone) = lock::lock(&self.root.join(".lock"), true, Duration::ZERO)
            .map_err(self.failed("lock"))?
        {
            self.sweep().map_err(self.failed("clean"))?;
        }
        Ok(())
    }

    fn sweep(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.staging()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn lock(&self, file: &str, exclusive: bool) -> Result<lock::Lock, PlaceError> {
        lock::lock(&self.root.join(file), exclusive, PATIENCE)
            .map_err(self.failed("lock"))?
            .ok_or_else(|| PlaceError::Busy {
                place: self.describe(),
            })
    }

    fn read_index(&self) -> Result<Index, PlaceError> {
        let path = self.root.join("index.json");
        let bytes =
            read_bounded(&path, index::SIZE_MAX).map_err(PlaceError::io("read", path.display()))?;
        Index::parse(&bytes)
            .map_err(|error| PlaceError::io("read", path.display())(io::Error::other(error)))
    }

    fn write_index(&self, index: &Index) -> Result<(), PlaceError> {
        let path = self.root.join("index.json");
        index
            .to_bytes()
            .map_err(io::Error::other)
            .and_then(|bytes| files::replace(&self.staging(), &path, &bytes))
            .map_err(PlaceError::io("write", path.display()))
    }

    /// Changes `index.json`. The caller has `.lock`, for what is written aside on the way.
    fn change_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, PlaceError> {
        let _changing = self.lock(".index.lock", true)?;
        let mut index = self.read_index()?;
        let done = change(&mut index);
        self.write_index(&index)?;
        Ok(done)
    }

    fn has_now(&self, descriptor: &Descriptor) -> bool {
        fs::metadata(blob_path(&self.root, descriptor.digest()))
            .is_ok_and(|file| file.is_file() && file.len() == descriptor.size())
    }

    fn read_document(&self, descriptor: &Descriptor) -> Result<Document, PlaceError> {
        digest::supported(descriptor.digest().algorithm())?;
        let path = blob_path(&self.root, descriptor.digest());
        let bytes = match read_bounded(&path, document::SIZE_MAX as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.not_found(descriptor.digest()));
            }
            Err(error) => return Err(PlaceError::io("read", path.display())(error)),
        };
        Document::parse_as(descriptor, bytes).map_err(|source| PlaceError::Document {
            name: descriptor.digest().to_string(),
            source,
        })
    }

    /// What is missing of a document, followed through all indexes: each once.
    fn missing(&self, document: &Document) -> Result<Vec<Digest>, PlaceError> {
        let mut missing = Vec::new();
        let mut walk = Walk::new(document.digest(), document.clone());
        while let Some(part) = walk.next_part()? {
            match self.read_document(&part) {
                Ok(document) => walk.enter(document),
                Err(PlaceError::NotFound { .. }) => missing.push(part.digest().clone()),
                Err(error) => return Err(error),
            }
        }
        let blobs = walk.finish().blobs.into_iter();
        missing.extend(
            blobs
                .filter(|blob| !self.has_now(blob))
                .map(|blob| blob.digest().clone()),
        );
        Ok(missing)
    }

    fn put_now(&self, name: &Name, document: &Document, role: As) -> Result<(), PlaceError> {
        let _writing = self.lock(".lock", false)?;
        let missing = self.missing(document)?;
        if !missing.is_empty() {
            return Err(PlaceError::Incomplete {
                name: name.to_string(),
                missing,
            });
        }
        let descriptor = document.descriptor();
        if !self.has_now(&descriptor) {
            let path = blob_path(&self.root, descriptor.digest());
            path.parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| files::replace(&self.staging(), &path, document.bytes()))
                .map_err(PlaceError::io("write", path.display()))?;
        }
        match role {
            As::Root => self.change_index(|index| index.set(name, &descriptor)),
            As::Part if document.subject().is_some() => {
                self.change_index(|index| index.add(&descriptor))
            }
            As::Part => Ok(()),
        }
    }

    fn adopt(&self, descriptor: &Descriptor, file: &Path) -> io::Result<()> {
        let target = blob_path(&self.root, descriptor.digest());
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::File::open(file)?.sync_all()?;
        match fs::rename(file, &target) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let mut staged = Staged::new(&self.staging())?;
                io::copy(&mut fs::File::open(file)?, &mut staged)?;
                staged.publish(&target)
            }
            Err(error) => Err(error),
            Ok(()) => files::sync_parent(&target),
        }
    }
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

#[async_trait]
impl Place for Layout {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    async fn resolve(&self, name: &Name) -> Result<Option<Document>, PlaceError> {
        let name = name.clone();
        self.blocking(move |layout| {
            let index = layout.read_index()?;
            index
                .find(&name)
                .map(|entry| layout.read_document(&without_names(entry)))
                .transpose()
        })
        .await
    }

    async fn document(
        &self,
        _name: &Name,
        descriptor: &Descriptor,
    ) -> Result<Document, PlaceError> {
        let descriptor = descriptor.clone();
        self.blocking(move |layout| layout.read_document(&descriptor))
            .await
    }

    async fn read(&self, _name: &Name, descriptor: &Descriptor) -> Result<Body, PlaceError> {
        digest::supported(descriptor.digest().algorithm())?;
        match file_body(blob_path(&self.root, descriptor.digest())).await {
            Err(PlaceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(self.not_found(descriptor.digest()))
            }
            other => other,
        }
    }

    async fn has(&self, _name: &Name, descriptor: &Descriptor) -> Result<bool, PlaceError> {
        digest::supported(descriptor.digest().algorithm())?;
        let descriptor = descriptor.clone();
        self.blocking(move |layout| Ok(layout.has_now(&descriptor)))
            .await
    }

    async fn write(
        &self,
        name: &Name,
        descriptor: &Descriptor,
        mut body: Body,
    ) -> Result<(), PlaceError> {
        let check = Check::new(descriptor.digest(), Some(descriptor.size()))?;
        let hold = self.hold().await?;
        if self.has(name, descriptor).await? {
            return Ok(());
        }
        let (sender, pieces) = mpsc::channel(QUEUE);
        let staging = self.staging();
        let target = blob_path(&self.root, descriptor.digest());
        let writer = tokio::task::spawn_blocking(move || {
            // Held by whoever writes, who may outlive the one who asked for it.
            let _hold = hold;
            files::receive(pieces, check, &staging, &target)
        });
        let mut broken = None;
        loop {
            match body.try_next().await {
                // The writer gave up, and says why below.
                Ok(Some(piece)) => {
                    if sender.send(piece).await.is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let written = writer
            .await
            .map_err(|error| self.failed("write in")(io::Error::other(error)))?;
        match broken {
            Some(error) => Err(broken_body(descriptor, error)),
            None => written.map_err(PlaceError::io("write", descriptor.digest())),
        }
    }

    async fn write_file(
        &self,
        _name: &Name,
        descriptor: &Descriptor,
        file: &Path,
    ) -> Result<(), PlaceError> {
        digest::supported(descriptor.digest().algorithm())?;
        let (descriptor, file) = (descriptor.clone(), file.to_owned());
        self.blocking(move |layout| {
            let _writing = layout.lock(".lock", false)?;
            if layout.has_now(&descriptor) {
                return Ok(());
            }
            layout
                .adopt(&descriptor, &file)
                .map_err(PlaceError::io("write", descriptor.digest()))
        })
        .await
    }

    async fn put(&self, name: &Name, document: &Document, role: As) -> Result<(), PlaceError> {
        let (name, document) = (name.clone(), document.clone());
        self.blocking(move |layout| layout.put_now(&name, &document, role))
            .await
    }

    async fn list(&self, within: Option<&Name>) -> Result<Vec<Listed>, PlaceError> {
        let within = within.map(Name::normal);
        self.blocking(move |layout| {
            let index = layout.read_index()?;
            let wanted = |name: &Name| {
                let name = name.normal();
                within.as_ref().is_none_or(|within| {
                    within.registry() == name.registry() && within.repository() == name.repository()
                })
            };
            Ok(index
                .entries()
                .iter()
                .filter_map(|entry| Some((name_of(entry)?, entry)))
                .filter(|(name, _)| wanted(name))
                .map(|(name, entry)| Listed {
                    name,
                    descriptor: Some(without_names(entry)),
                })
                .collect())
        })
        .await
    }

    async fn referrers(
        &self,
        _name: &Name,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, PlaceError> {
        let (digest, artifact_type) = (digest.clone(), artifact_type.map(ToOwned::to_owned));
        self.blocking(move |layout| {
            let index = layout.read_index()?;
            Ok(index
                .entries()
                .iter()
                .filter_map(|entry| layout.read_document(entry).ok())
                .filter(|document| {
                    document
                        .subject()
                        .is_some_and(|subject| *subject.digest() == digest)
                })
                .map(|document| referrer(&document))
                .filter(|descriptor| is_of_type(descriptor, artifact_type.as_deref()))
                .collect())
        })
        .await
    }

    async fn delete(&self, name: &Name) -> Result<bool, PlaceError> {
        let name = name.clone();
        self.blocking(move |layout| {
            let _writing = layout.lock(".lock", false)?;
            layout.change_index(|index| index.remove(&name))
        })
        .await
    }

    async fn hold(&self) -> Result<Hold, PlaceError> {
        self.blocking(|layout| Ok(Box::new(layout.lock(".lock", false)?) as Hold))
            .await
    }
}

/// Why a body broke off: what the place that it comes from said, if it said something.
pub(crate) fn broken_body(descriptor: &Descriptor, error: io::Error) -> PlaceError {
    match error.downcast::<PlaceError>() {
        Ok(error) => error,
        Err(error) => PlaceError::io("read", descriptor.digest())(error),
    }
}

/// A document as a list of referrers has it (distribution-spec, "Listing Referrers").
#[must_use]
pub fn referrer(document: &Document) -> Descriptor {
    let mut descriptor = document.descriptor();
    descriptor.set_artifact_type(document.artifact_type().map(media::MediaType::from));
    let annotations: HashMap<String, String> = document.annotations().clone().into_iter().collect();
    descriptor.set_annotations((!annotations.is_empty()).then_some(annotations));
    descriptor
}

pub(crate) fn is_of_type(descriptor: &Descriptor, artifact_type: Option<&str>) -> bool {
    artifact_type.is_none_or(|wanted| {
        descriptor
            .artifact_type()
            .as_ref()
            .is_some_and(|found| found.as_ref() == wanted)
    })
}
