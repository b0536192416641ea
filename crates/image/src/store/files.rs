//! Files of a layout: written aside, made durable, and only then called by their name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::digest::{Check, Digest};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A file that goes away unless it gets its name.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    file: Option<File>,
}

impl Staged {
    /// A new file in this directory, which is made if need be.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{}-{number}", std::process::id()));
        // One of a process with the same number before the last start.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Self {
            path,
            file: Some(file),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the content durable, gives it its name, and makes that durable too.
    pub(crate) fn publish(mut self, target: &Path) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        fs::rename(&self.path, target)?;
        sync_parent(target)
    }

    /// Closes the file and keeps it where it is, until this is dropped.
    pub(crate) fn close(mut self) -> io::Result<Self> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
        }
        Ok(self)
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Published ones have another name by now.
        let _ = fs::remove_file(&self.path);
    }
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes a small file in one step: readers see the old content or the new.
pub(crate) fn replace(staging: &Path, target: &Path, content: &[u8]) -> io::Result<()> {
    let mut staged = Staged::new(staging)?;
    staged.write_all(content)?;
    staged.publish(target)
}

/// Writes what comes through the channel, in this thread, and names it once it proved to be the content: what is cut off
/// is not, since the size is checked too.
pub(crate) fn receive(
    mut pieces: mpsc::Receiver<Bytes>,
    mut check: Check,
    staging: &Path,
    target: &Path,
) -> io::Result<()> {
    let mut staged = Staged::new(staging)?;
    while let Some(piece) = pieces.blocking_recv() {
        check.update(&piece)?;
        staged.write_all(&piece)?;
    }
    check.finish()?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    staged.publish(target)
}

/// Where the blob of a digest lies in a layout.
pub(crate) fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    // Neither part can have a `/` or be `..`: a digest's grammar has no room for them.
    root.join("blobs")
        .join(digest.algorithm().as_ref())
        .join(digest.digest())
}
