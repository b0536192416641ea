//! Cleaning up: what no image refers to goes.

use std::collections::HashSet;
use std::{fs, io};

use super::{Layout, name_of};
use crate::digest::{self, Digest};
use crate::document::Descriptor;
use crate::media;
use crate::place::PlaceError;

/// What a clean-up removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many blobs.
    pub blobs: u64,
    /// Their size, in bytes.
    pub bytes: u64,
}

impl Layout {
    pub(super) fn prune_now(&self) -> Result<Pruned, PlaceError> {
        let _alone = self.lock(".lock", true)?;
        let index = self.read_index()?;
        let mut needed: HashSet<Digest> = HashSet::new();
        let named: Vec<&Descriptor> = index
            .entries()
            .iter()
            .filter(|entry| !self.is_about(entry))
            .collect();
        for entry in named {
            self.need(entry, &mut needed)?;
        }
        // What is about something needed is needed, and may itself be what something is about.
        let mut waiting: Vec<&Descriptor> = index.entries().iter().collect();
        loop {
            let before = waiting.len();
            let mut still = Vec::new();
            for entry in waiting {
                let subject = self
                    .read_document(entry)
                    .ok()
                    .and_then(|document| Some(document.subject()?.digest().clone()));
                match subject {
                    Some(subject) if needed.contains(&subject) => self.need(entry, &mut needed)?,
                    Some(_) => still.push(entry),
                    None => {}
                }
            }
            waiting = still;
            if waiting.len() == before || waiting.is_empty() {
                break;
            }
        }
        self.change_index(|index| index.retain(|entry| needed.contains(entry.digest())))?;
        let pruned = self.remove_others(&needed).map_err(self.failed("clean"))?;
        self.sweep().map_err(self.failed("clean"))?;
        Ok(pruned)
    }

    /// Whether an entry is there only because it says something about another document.
    fn is_about(&self, entry: &Descriptor) -> bool {
        name_of(entry).is_none()
            && self
                .read_document(entry)
                .is_ok_and(|document| document.subject().is_some())
    }

    fn need(&self, root: &Descriptor, needed: &mut HashSet<Digest>) -> Result<(), PlaceError> {
        let mut waiting = vec![root.clone()];
        while let Some(descriptor) = waiting.pop() {
            if !needed.insert(descriptor.digest().clone()) {
                continue;
            }
            if media::document_kind(descriptor.media_type().as_ref()).is_none() {
                continue;
            }
            match self.read_document(&descriptor) {
                Ok(document) => {
                    needed.extend(document.blobs().map(|blob| blob.digest().clone()));
                    waiting.extend(document.manifests().iter().cloned());
                }
                // Others write indexes of which only one platform's image is there.
                Err(PlaceError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn remove_others(&self, needed: &HashSet<Digest>) -> io::Result<Pruned> {
        let mut pruned = Pruned::default();
        for algorithm in fs::read_dir(self.root.join("blobs"))? {
            let algorithm = algorithm?;
            if !algorithm.file_type()?.is_dir() {
                continue;
            }
            for blob in fs::read_dir(algorithm.path())? {
                let blob = blob?;
                let text = format!(
                    "{}:{}",
                    algorithm.file_name().to_string_lossy(),
                    blob.file_name().to_string_lossy()
                );
                // What is not called by a digest is not ours.
                let Ok(digest) = digest::parse(&text) else {
                    continue;
                };
                if !needed.contains(&digest) {
                    let size = blob.metadata()?.len();
                    fs::remove_file(blob.path())?;
                    pruned.blobs += 1;
                    pruned.bytes += size;
                }
            }
        }
        Ok(pruned)
    }
}
