//! An image from one place to another: pull, push and copy are this.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use crate::document::{Descriptor, Document, Platform};
use crate::name::{Name, Tag};
use crate::place::{As, Body, Place, PlaceError, closure, find};
use crate::retry::{Retry, again};

/// How many blobs move at once.
const AT_ONCE: usize = 4;

/// How a blob came to be where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was there.
    Present,
    /// It was in another repository there.
    Mounted,
    /// Its bytes were moved.
    Moved,
}

/// Is told how a copy gets on. Called from several tasks.
pub trait Progress: Send + Sync {
    /// These blobs make up the image.
    fn planned(&self, _blobs: &[Descriptor]) {}
    /// So many more bytes of this blob passed.
    fn advanced(&self, _blob: &Descriptor, _bytes: u64) {}
    /// A blob is being moved anew after this failure: what it advanced does not count.
    fn again(&self, _blob: &Descriptor, _error: &PlaceError) {}
    /// A blob is where it should be.
    fn finished(&self, _blob: &Descriptor, _outcome: Outcome) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

/// How a copy is made.
#[derive(Clone)]
pub struct CopyOptions {
    /// Of an index, only the image for this platform; none for the whole index.
    pub platform: Option<Platform>,
    /// Copies signatures and other documents about the image with it.
    pub referrers: bool,
    /// Is told how it gets on.
    pub progress: Arc<dyn Progress>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            platform: None,
            referrers: false,
            progress: Arc::new(Silent),
        }
    }
}

/// What a copy did.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The document that the name stands for now.
    pub document: Document,
    /// Bytes of blobs that moved.
    pub moved: u64,
    /// Bytes of blobs that were there, or were mounted.
    pub spared: u64,
}

/// Copies what `source` stands for in `from` to `target` in `to`. The name is written last, so it never stands for a part.
///
/// # Errors
///
/// When the image is not there, something cannot be moved after several tries, or content is not what its digest says.
pub async fn copy(
    from: &dyn Place,
    source: &Name,
    to: &dyn Place,
    target: &Name,
    options: &CopyOptions,
) -> Result<Copied, PlaceError> {
    let _reading = from.hold().await?;
    let root = find(from, source, options.platform.as_ref()).await?;
    let _writing = to.hold().await?;
    let mut copied = copy_document(from, source, to, target, root, As::Root, options).await?;
    if options.referrers {
        let digest = copied.document.digest().clone();
        for descriptor in from.referrers(source, &digest, None).await? {
            let document = again(|| from.document(source, &descriptor)).await?;
            let more = copy_document(from, source, to, target, document, As::Part, options).await?;
            copied.moved += more.moved;
            copied.spared += more.spared;
        }
        for tag in Tag::of_cosign(&digest) {
            let (source, target) = (source.with_tag(tag.clone()), target.with_tag(tag));
            let Some(document) = again(|| from.resolve(&source)).await? else {
                continue;
            };
            let more =
                copy_document(from, &source, to, &target, document, As::Root, options).await?;
            copied.moved += more.moved;
            copied.spared += more.spared;
        }
    }
    Ok(copied)
}

async fn copy_document(
    from: &dyn Place,
    source: &Name,
    to: &dyn Place,
    target: &Name,
    root: Document,
    role: As,
    options: &CopyOptions,
) -> Result<Copied, PlaceError> {
    let all = closure(from, source, root.clone()).await?;
    options.progress.planned(&all.blobs);
    let outcomes: Vec<(Outcome, u64)> = futures::stream::iter(&all.blobs)
        .map(|blob| async move {
            let outcome = copy_blob(from, source, to, target, blob, &options.progress).await?;
            options.progress.finished(blob, outcome);
            Ok::<_, PlaceError>((outcome, blob.size()))
        })
        .boxed()
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    for document in &all.documents {
        let role = if document.digest() == root.digest() {
            role
        } else {
            As::Part
        };
        again(|| to.put(target, document, role)).await?;
    }
    let sum = |moved: bool| {
        outcomes
            .iter()
            .filter(|(outcome, _)| (*outcome == Outcome::Moved) == moved)
            .map(|(_, size)| size)
            .sum()
    };
    Ok(Copied {
        moved: sum(true),
        spared: sum(false),
        document: root,
    })
}

async fn copy_blob(
    from: &dyn Place,
    source: &Name,
    to: &dyn Place,
    target: &Name,
    blob: &Descriptor,
    progress: &Arc<dyn Progress>,
) -> Result<Outcome, PlaceError> {
    if again(|| to.has(target, blob)).await? {
        return Ok(Outcome::Present);
    }
    if to.mount(target, source, blob).await? {
        return Ok(Outcome::Mounted);
    }
    let mut retry = Retry::default();
    loop {
        let moved = async {
            let body = from.read(source, blob).await?;
            let body = watched(body, blob.clone(), Arc::clone(progress));
            to.write(target, blob, body).await
        };
        match moved.await {
            Ok(()) => return Ok(Outcome::Moved),
            Err(error) => {
                let tell = |error: &PlaceError| progress.again(blob, error);
                retry.wait(error, tell).await?;
            }
        }
    }
}

fn watched(body: Body, blob: Descriptor, progress: Arc<dyn Progress>) -> Body {
    body.inspect_ok(move |bytes| progress.advanced(&blob, bytes.len() as u64))
        .boxed()
}
