//! The data directory: its lock, and a little room that is kept for a full disk.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::{Result, StoreError};

/// The file whose lock says that a directory is in use.
const LOCK: &str = "lock";
/// A file that is deleted when the database cannot be opened on a full disk: SQLite needs a few pages
/// to read with, and what is there should be readable.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: usize = 1 << 20;

/// A directory that is this process's own for as long as this lives.
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates a directory, if need be, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self> {
        let failed = |what: &str, error: std::io::Error| {
            let text = format!("cannot {what} {}: {error}", path.display());
            if error.kind() == ErrorKind::StorageFull {
                StoreError::Full(text)
            } else {
                StoreError::Internal(text)
            }
        };
        std::fs::create_dir_all(path).map_err(|error| failed("create", error))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(|error| failed("write to", error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Internal(format!(
                "{} is in use by another process; a data directory belongs to one server at a time",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(failed("lock", error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the reserve's room available; false if there is none.
    pub(crate) fn release_reserve(&self) -> bool {
        std::fs::remove_file(self.path.join(RESERVE)).is_ok()
    }

    /// Sets room aside, if there is any.
    pub(crate) fn keep_reserve(&self) {
        let path = self.path.join(RESERVE);
        if path.exists() {
            return;
        }
        // Not zeros, which a file system may store as nothing.
        let kept = File::create(&path).and_then(|mut file| {
            file.write_all(&[b'.'; RESERVE_BYTES])?;
            file.sync_all()
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "no room can be set aside for a full disk");
            let _ = std::fs::remove_file(&path);
        }
    }
}
