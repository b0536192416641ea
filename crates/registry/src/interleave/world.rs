//! A store, blobs and a clock that hand control back at every step, and who decides which task makes the next one.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use mosaic_image::{Digest, digest};
use mosaic_store::{
    Entry, Event, ListOptions, Memory, Page, Result as StoreResult, Revision, Store, Write,
};
use parking_lot::Mutex;

use crate::blobs::{Blobs, BlobsError, ByteStream, Result, Stat, UploadId};
use crate::clock::Clock;

/// Lets others go first, once.
#[derive(Default)]
pub(super) struct Step(bool);

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        Poll::Pending
    }
}

pub(super) async fn step() {
    Step::default().await;
}

/// One poll of a task: it goes on to its next step.
pub(super) fn advance<T>(task: &mut Pin<Box<dyn Future<Output = T> + Send>>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match task.as_mut().poll(&mut context) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[derive(Clone, Default)]
pub(super) struct TestClock(pub(super) Arc<AtomicU64>);

#[async_trait::async_trait]
impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    async fn sleep(&self, _: Duration) {
        step().await;
    }
}

/// Every call is one step: what it does happens at once, when it is this task's turn.
pub(super) struct Stepped(pub(super) Memory);

#[async_trait::async_trait]
impl Store for Stepped {
    async fn get(&self, key: &str) -> StoreResult<Option<Entry>> {
        step().await;
        self.0.get(key).await
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> StoreResult<Page> {
        step().await;
        self.0.list(prefix, options).await
    }

    async fn write(&self, write: Write) -> StoreResult<Revision> {
        step().await;
        self.0.write(write).await
    }

    async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> StoreResult<BoxStream<'static, StoreResult<Event>>> {
        self.0.watch(prefix, after).await
    }

    async fn revision(&self) -> StoreResult<Revision> {
        self.0.revision().await
    }

    async fn compact(&self, revision: Revision) -> StoreResult<()> {
        self.0.compact(revision).await
    }
}

#[derive(Clone, Default)]
pub(super) struct TestBlobs {
    pub(super) clock: TestClock,
    pub(super) content: Arc<Mutex<BTreeMap<String, (Bytes, u64)>>>,
    pub(super) uploads: Arc<Mutex<HashMap<UploadId, (Bytes, u64)>>>,
}

impl TestBlobs {
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.content.lock().contains_key(digest.as_ref())
    }
}

#[async_trait::async_trait]
impl Blobs for TestBlobs {
    async fn stat(&self, digest: &Digest) -> Result<Option<Stat>> {
        step().await;
        let content = self.content.lock();
        Ok(content.get(digest.as_ref()).map(|(bytes, modified)| Stat {
            size: bytes.len() as u64,
            modified: *modified,
        }))
    }

    async fn read(&self, _: &Digest, _: Range<u64>) -> Result<Option<(u64, ByteStream)>> {
        Ok(None)
    }

    async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        step().await;
        let placed = (bytes, self.clock.now());
        self.content.lock().insert(digest.to_string(), placed);
        Ok(())
    }

    async fn delete(&self, digest: &Digest) -> Result<()> {
        // At once: the one thing that rests on time is that a deletion, once begun, takes less than half of what others
        // wait before they take over.
        self.content.lock().remove(digest.as_ref());
        step().await;
        Ok(())
    }

    async fn list(&self, after: Option<&Digest>, _: usize) -> Result<Vec<(Digest, Stat)>> {
        step().await;
        let content = self.content.lock();
        let after = content
            .iter()
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after.as_ref()));
        Ok(after
            .map(|(key, (bytes, modified))| {
                let stat = Stat {
                    size: bytes.len() as u64,
                    modified: *modified,
                };
                (key.parse().unwrap(), stat)
            })
            .collect())
    }

    async fn start(&self, id: &UploadId) -> Result<()> {
        let empty = (Bytes::new(), self.clock.now());
        self.uploads.lock().insert(id.clone(), empty);
        Ok(())
    }

    async fn length(&self, id: &UploadId) -> Result<u64> {
        let uploads = self.uploads.lock();
        let upload = uploads.get(id);
        let upload = upload.ok_or_else(|| BlobsError::NoUpload(id.clone()))?;
        Ok(upload.0.len() as u64)
    }

    async fn append(&self, _: &UploadId, _: Option<u64>, _: u64, _: ByteStream) -> Result<u64> {
        Ok(0)
    }

    async fn peek(&self, _: &UploadId, _: u64, _: u64) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    async fn seal(&self, id: &UploadId, expected: &Digest) -> Result<u64> {
        let length = self.length(id).await?;
        let found = self
            .uploads
            .lock()
            .get(id)
            .map(|(bytes, _)| digest::sha256(bytes));
        assert_eq!(found.as_ref(), Some(expected));
        Ok(length)
    }

    async fn place(&self, id: &UploadId, digest: &Digest) -> Result<()> {
        step().await;
        let bytes = self.uploads.lock().get(id).map(|(bytes, _)| bytes.clone());
        let bytes = bytes.ok_or_else(|| BlobsError::NoUpload(id.clone()))?;
        let placed = (bytes, self.clock.now());
        self.content.lock().insert(digest.to_string(), placed);
        Ok(())
    }

    async fn discard(&self, id: &UploadId) -> Result<()> {
        step().await;
        self.uploads.lock().remove(id);
        Ok(())
    }

    async fn uploads(&self) -> Result<Vec<(UploadId, u64)>> {
        step().await;
        let uploads = self.uploads.lock();
        Ok(uploads
            .iter()
            .map(|(id, (_, at))| (id.clone(), *at))
            .collect())
    }
}
