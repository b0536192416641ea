//! How full the disk may get, and what goes when it is full.

use std::fmt;
use std::fs;
use std::time::Duration;

use super::super::{BlobsError, Result, UploadId};
use super::Inner;

/// When the disk is full, an upload that did not grow for so long is given up for those that do.
const IDLE: Duration = Duration::from_secs(10);
/// So many bytes of the disk are left to the records, which are on it too: deletions write some, and the collector before
/// it has made room.
const ROOM: u64 = 64 << 20;
/// Of a small disk, one part in so many.
const ROOM_PART: u64 = 8;

impl Inner {
    /// Whether there is room for more, if need be by what idle uploads have.
    pub(super) fn room(&self) -> Result<()> {
        let check = || check_room(rustix::fs::statvfs(&self.directory), "blobs");
        match check() {
            Err(BlobsError::Full { .. }) => {
                self.relieve();
                check()
            }
            checked => checked,
        }
    }

    /// Makes room on a full disk: uploads that nobody is adding to go before their time. What clients broke off on
    /// finding the disk full would otherwise keep it so until it expires.
    pub(super) fn relieve(&self) {
        let entries = fs::read_dir(self.directory.join("uploads"));
        for entry in entries.into_iter().flatten().flatten() {
            let id = entry.file_name().to_str().and_then(UploadId::parse);
            let grown = entry.metadata().and_then(|metadata| metadata.modified());
            let idle = grown.is_ok_and(|at| at.elapsed().is_ok_and(|since| since >= IDLE));
            let Some(id) = id.filter(|_| idle) else {
                continue;
            };
            let upload = self.uploads.lock().get(&id).cloned();
            let busy = upload.is_some_and(|upload| upload.is_busy());
            if !busy && let Err(error) = self.discard(&id) {
                tracing::warn!(%error, "the disk is full, and an idle upload cannot be removed");
            }
        }
    }
}

/// Whether a disk has room for more than deletions need.
pub(super) fn check_room(
    disk: rustix::io::Result<rustix::fs::StatVfs>,
    what: impl fmt::Display,
) -> Result<()> {
    let disk = disk.map_err(|error| BlobsError::io("look at the disk of", &what, error.into()))?;
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    let left = disk.f_bavail.saturating_mul(disk.f_frsize);
    if left < ROOM.min(total / ROOM_PART) {
        return Err(BlobsError::Full {
            action: "leave room for deletions beside",
            what: what.to_string(),
        });
    }
    Ok(())
}
