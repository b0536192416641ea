//! Which uploads are under way, and which one goes when there are too many.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mosaic_image::Hasher;
use tokio::sync::{MutexGuard, watch};

use super::super::{BlobsError, Result, UploadId};
use super::Inner;

/// How long a request waits for another one to the same upload.
const TURN: Duration = Duration::from_secs(3);
/// The most uploads that are under way.
const UPLOADS_MAX: usize = 10_000;
/// The most of them in one namespace.
const NAMESPACE_MAX: usize = 1_000;

/// An upload under way.
pub(super) struct Upload {
    /// Those that were begun later have a larger one.
    number: u64,
    /// Held by who adds to it.
    state: tokio::sync::Mutex<State>,
    /// How many requests wait for that.
    waiting: watch::Sender<usize>,
}

/// Counts as waiting until it is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

pub(super) struct State {
    /// What hashed it so far. None until it has been read, if another process began it.
    pub(super) hasher: Option<Hasher>,
    /// Its digest was told, so its file is about to be a blob's, and nothing is added to it any more.
    pub(super) sealed: bool,
}

impl Upload {
    /// One that has so many bytes already.
    pub(super) fn new(number: u64, length: u64) -> Arc<Self> {
        let state = State {
            hasher: (length == 0).then(Hasher::sha256),
            sealed: false,
        };
        Arc::new(Self {
            number,
            state: state.into(),
            waiting: watch::Sender::new(0),
        })
    }

    /// The right to add to it. Whoever has it is given up when their client is silent.
    pub(super) async fn turn(&self, id: &UploadId) -> Result<MutexGuard<'_, State>> {
        self.waiting.send_modify(|count| *count += 1);
        let _waiting = Waiting(&self.waiting);
        let turn = tokio::time::timeout(TURN, self.state.lock()).await;
        turn.map_err(|_| BlobsError::Busy(id.clone()))
    }

    /// How many requests wait for their turn.
    pub(super) fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Whether somebody adds to it.
    pub(super) fn is_busy(&self) -> bool {
        self.state.try_lock().is_err()
    }

    /// Whether it holds nothing, and nobody adds to it at the moment.
    fn is_empty(&self) -> bool {
        let state = self.state.try_lock();
        state.is_ok_and(|state| {
            let hasher = state.hasher.as_ref();
            !state.sealed && hasher.is_some_and(|hasher| hasher.length() == 0)
        })
    }
}

impl Inner {
    /// An upload that is under way.
    pub(super) fn upload(&self, id: &UploadId) -> Result<Arc<Upload>> {
        let upload = self.uploads.lock().get(id).cloned();
        upload.ok_or_else(|| BlobsError::NoUpload(id.clone()))
    }

    /// Makes room for one upload more. If there are too many, the oldest one without a byte goes: of the namespace, if that
    /// has too many.
    pub(super) fn make_way(&self, id: &UploadId) -> Result<()> {
        let oldest = {
            let uploads = self.uploads.lock();
            let own = |other: &UploadId| other.namespace() == id.namespace();
            let namespace_full = uploads.keys().filter(|other| own(other)).count() >= NAMESPACE_MAX;
            if !namespace_full && uploads.len() < UPLOADS_MAX {
                return Ok(());
            }
            let empty = uploads
                .iter()
                .filter(|(other, upload)| (!namespace_full || own(other)) && upload.is_empty());
            let oldest = empty.min_by_key(|(_, upload)| upload.number);
            oldest.map(|(other, _)| other.clone())
        };
        self.discard(&oldest.ok_or(BlobsError::TooMany)?)
    }

    /// Forgets an upload.
    pub(super) fn discard(&self, id: &UploadId) -> Result<()> {
        match fs::remove_file(self.upload_path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BlobsError::io("delete upload", id, error));
            }
            _ => {}
        }
        self.uploads.lock().remove(id);
        Ok(())
    }
}
