//! Blobs in a directory of the local disk.
//!
//! ```text
//! blobs/sha256/ab/<hex>    content; a file that is here is whole and durable
//! uploads/<id>             an upload, appended to
//! uploads/<id>.<n>         on its way to its place; swept when the directory is opened
//! lock                     held by the process whose directory this is
//! ```
//!
//! The task that reads a request gathers a piece while a thread hashes and writes the one before, so an upload needs
//! two pieces of memory and no thread of its own while it waits for its client.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt;
use mosaic_image::{Digest, Hasher};
use parking_lot::Mutex;
use rustix::fs::{Advice, FlockOperation};
use tokio::task::JoinHandle;

use super::{Blobs, BlobsError, ByteStream, Result, SILENCE, Stat, UploadId};

/// What is gathered of an upload before it is hashed and written.
const WRITE_PIECE: usize = 512 << 10;
/// What is read at once for a download.
const READ_PIECE: usize = 256 << 10;
/// How long a request waits for another one to the same upload, whose client may be gone without our knowing.
const TURN: Duration = Duration::from_secs(10);
/// The most uploads that are under way.
const UPLOADS_MAX: usize = 10_000;
/// The algorithms that blobs are named by.
const ALGORITHMS: [&str; 2] = ["sha256", "sha512"];

/// Blobs in a directory.
pub struct Disk(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    /// The uploads that this process has seen.
    uploads: Mutex<HashMap<UploadId, Upload>>,
    /// Makes the names of files on their way unique.
    counter: AtomicU64,
    /// Its lock ends with it.
    _lock: File,
}

/// Held by who adds to an upload: what hashed it so far. None until it has been read, if another process began it.
type Upload = Arc<tokio::sync::Mutex<Option<Hasher>>>;

impl Disk {
    /// Opens a directory, and creates it if it is not there.
    ///
    /// # Errors
    /// If another process has it open, or it cannot be created or read.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        let failed = |action, path: &Path, error| BlobsError::io(action, path.display(), error);
        let uploads = directory.join("uploads");
        fs::create_dir_all(&uploads).map_err(|error| failed("create", &uploads, error))?;
        let path = directory.join("lock");
        let lock = File::create(&path).map_err(|error| failed("create", &path, error))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed("lock", &path, error.into()))?;
        // All that may be needed, so that no upload ever waits for the durability of a new directory.
        for algorithm in ALGORITHMS {
            let parent = directory.join("blobs").join(algorithm);
            for first in 0..=u8::MAX {
                let path = parent.join(format!("{first:02x}"));
                fs::create_dir_all(&path).map_err(|error| failed("create", &path, error))?;
            }
            sync_directory(&parent).map_err(|error| failed("sync", &parent, error))?;
        }
        for path in [directory.join("blobs"), directory.clone()] {
            sync_directory(&path).map_err(|error| failed("sync", &path, error))?;
        }
        let entries = fs::read_dir(&uploads).map_err(|error| failed("list", &uploads, error))?;
        for entry in entries {
            let path = entry
                .map_err(|error| failed("list", &uploads, error))?
                .path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.and_then(UploadId::parse).is_none() {
                fs::remove_file(&path).map_err(|error| failed("sweep", &path, error))?;
            }
        }
        Ok(Self(Arc::new(Inner {
            directory,
            uploads: Mutex::default(),
            counter: AtomicU64::new(0),
            _lock: lock,
        })))
    }
}

impl Inner {
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        // A digest has no slash in it (its type checks it), and those of sha256 and sha512 are long enough.
        let hex = digest.digest();
        self.directory
            .join("blobs")
            .join(digest.algorithm().as_ref())
            .join(hex.get(..2).unwrap_or("00"))
            .join(hex)
    }

    fn upload_path(&self, id: &UploadId) -> PathBuf {
        self.directory.join("uploads").join(id.as_str())
    }

    /// A name in the uploads' directory that nobody else has, for a file on its way.
    fn passing_path(&self, what: &str) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.directory
            .join("uploads")
            .join(format!("{what}.{number}"))
    }

    fn upload(&self, id: &UploadId) -> Result<Upload> {
        let mut uploads = self.uploads.lock();
        if let Some(upload) = uploads.get(id) {
            return Ok(upload.clone());
        }
        if !self.upload_path(id).exists() {
            return Err(BlobsError::NoUpload(id.clone()));
        }
        let upload = Upload::default();
        uploads.insert(id.clone(), upload.clone());
        Ok(upload)
    }

    async fn append(
        &self,
        id: &UploadId,
        at: Option<u64>,
        most: u64,
        body: ByteStream,
    ) -> Result<u64> {
        let upload = self.upload(id)?;
        let turn = tokio::time::timeout(TURN, upload.lock()).await;
        let mut state = turn.map_err(|_| BlobsError::Busy(id.clone()))?;
        let hasher = self.hasher(id, &mut state).await?;
        let length = hasher.length();
        if let Some(at) = at.filter(|at| *at != length) {
            *state = Some(hasher);
            return Err(BlobsError::Offset {
                id: id.clone(),
                length,
                at,
            });
        }
        let file = OpenOptions::new().append(true).open(self.upload_path(id));
        let file = file.map_err(|error| missing_upload(id, error))?;
        // A write that failed, or whose request was given up, may have left more than what was hashed.
        let cut = file.set_len(length);
        cut.map_err(|error| BlobsError::io("cut upload", id, error))?;
        let (end, outcome) = carry(End { file, hasher }, id, most, body).await;
        // Without an end, the next who comes reads what there is.
        *state = end.map(|end| end.hasher);
        let length = state.as_ref().map(Hasher::length);
        drop(state);
        if matches!(
            outcome,
            Err(BlobsError::Full { .. } | BlobsError::TooLarge { .. })
        ) {
            self.discard(id)?;
        }
        outcome?;
        length.ok_or_else(|| BlobsError::NoUpload(id.clone()))
    }

    fn discard(&self, id: &UploadId) -> Result<()> {
        self.uploads.lock().remove(id);
        match fs::remove_file(self.upload_path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BlobsError::io("delete upload", id, error))
            }
            _ => Ok(()),
        }
    }

    /// The hasher of an upload's bytes so far: the one that is remembered, or one that reads them.
    async fn hasher(&self, id: &UploadId, state: &mut Option<Hasher>) -> Result<Hasher> {
        if let Some(hasher) = state.take() {
            return Ok(hasher);
        }
        self.hash(id, Hasher::sha256()).await
    }

    async fn hash(&self, id: &UploadId, mut hasher: Hasher) -> Result<Hasher> {
        let path = self.upload_path(id);
        let id = id.clone();
        blocking(move || {
            let mut file = File::open(path).map_err(|error| missing_upload(&id, error))?;
            let mut piece = vec![0; WRITE_PIECE];
            loop {
                let read = file
                    .read(&mut piece)
                    .map_err(|error| BlobsError::io("read upload", &id, error))?;
                match piece.get(..read) {
                    Some(bytes) if read > 0 => hasher.update(bytes),
                    _ => return Ok(hasher),
                }
            }
        })
        .await
    }
}

fn missing_upload(id: &UploadId, error: io::Error) -> BlobsError {
    match error.kind() {
        io::ErrorKind::NotFound => BlobsError::NoUpload(id.clone()),
        _ => BlobsError::io("open upload", id, error),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn seconds(time: io::Result<SystemTime>) -> u64 {
    let since = time
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

/// Runs what may wait for the disk on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(BlobsError::Failed {
            action: "run",
            what: "a thread".into(),
            source: io::Error::other(error),
        }),
    }
}

/// The end of an upload: where it is written, and what it has been so far.
struct End {
    file: File,
    hasher: Hasher,
}

/// Hashes and writes one piece.
fn write_piece(mut end: End, piece: Vec<Bytes>, id: &UploadId) -> Result<End> {
    for bytes in piece {
        end.file
            .write_all(&bytes)
            .map_err(|error| BlobsError::io("write upload", id, error))?;
        end.hasher.update(&bytes);
    }
    Ok(end)
}

/// Gathers the next piece of a body. Says also why there are no more, if there are none.
async fn gather(
    body: &mut ByteStream,
    room: &mut u64,
    id: &UploadId,
    most: u64,
) -> (Vec<Bytes>, Option<Result<()>>) {
    let mut piece = Vec::new();
    let mut size = 0;
    while size < WRITE_PIECE {
        let broken = |reason: String| BlobsError::Broken {
            id: id.clone(),
            reason,
        };
        let end = match tokio::time::timeout(SILENCE, body.next()).await {
            Err(_) => Err(broken("nothing came for too long".into())),
            Ok(None) => Ok(()),
            Ok(Some(Err(error))) => Err(broken(error.to_string())),
            Ok(Some(Ok(bytes))) if bytes.len() as u64 > *room => Err(BlobsError::TooLarge {
                id: id.clone(),
                most,
            }),
            Ok(Some(Ok(bytes))) => {
                *room -= bytes.len() as u64;
                size += bytes.len();
                piece.push(bytes);
                continue;
            }
        };
        return (piece, Some(end));
    }
    (piece, None)
}

/// Carries a body to the end of an upload. The end comes back unless its writing failed, or was lost.
async fn carry(
    end: End,
    id: &UploadId,
    most: u64,
    mut body: ByteStream,
) -> (Option<End>, Result<()>) {
    let mut room = most.saturating_sub(end.hasher.length());
    let mut writing: Option<JoinHandle<Result<End>>> = None;
    let mut idle = Some(end);
    loop {
        let (piece, over) = gather(&mut body, &mut room, id, most).await;
        let end = match writing.take() {
            None => idle.take(),
            Some(writing) => match writing.await {
                Ok(Ok(end)) => Some(end),
                Ok(Err(error)) => return (None, Err(error)),
                Err(_) => None,
            },
        };
        let Some(end) = end else {
            let error = io::Error::other("the writing thread is gone");
            return (None, Err(BlobsError::io("write upload", id, error)));
        };
        let id = id.clone();
        let write = move || write_piece(end, piece, &id);
        match over {
            None => writing = Some(tokio::task::spawn_blocking(write)),
            Some(over) => {
                return match blocking(write).await {
                    Ok(end) => (Some(end), over),
                    Err(error) => (None, Err(error)),
                };
            }
        }
    }
}

#[async_trait::async_trait]
impl Blobs for Disk {
    async fn stat(&self, digest: &Digest) -> Result<Option<Stat>> {
        // A look at an inode, which is in memory for all that is in use: not worth a thread.
        match fs::metadata(self.0.blob_path(digest)) {
            Ok(found) => Ok(Some(Stat {
                size: found.len(),
                modified: seconds(found.modified()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BlobsError::io("look at blob", digest, error)),
        }
    }

    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<(u64, ByteStream)>> {
        let file = match File::open(self.0.blob_path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BlobsError::io("open blob", digest, error)),
        };
        let found = file.metadata();
        let size = found
            .map_err(|error| BlobsError::io("look at blob", digest, error))?
            .len();
        // Only a hint.
        let _ = rustix::fs::fadvise(&file, range.start, None, Advice::Sequential);
        let left = range.start.min(size)..range.end.min(size);
        Ok(Some((size, read_ahead(file, left))))
    }

    async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        let passing = self.0.passing_path("put");
        let path = self.0.blob_path(digest);
        let digest = digest.clone();
        blocking(move || {
            let write = || {
                let mut file = File::create(&passing)?;
                file.write_all(&bytes)?;
                file.sync_all()?;
                fs::rename(&passing, &path)?;
                path.parent().map_or(Ok(()), sync_directory)
            };
            write().map_err(|error| {
                // If it is not there, all the better.
                let _ = fs::remove_file(&passing);
                BlobsError::io("write blob", &digest, error)
            })
        })
        .await
    }

    async fn delete(&self, digest: &Digest) -> Result<()> {
        let path = self.0.blob_path(digest);
        let digest = digest.clone();
        blocking(move || match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BlobsError::io("delete blob", digest, error))
            }
            _ => Ok(()),
        })
        .await
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, Stat)>> {
        let blobs = self.0.directory.join("blobs");
        let after = after.cloned();
        blocking(move || list(&blobs, after.as_ref(), limit)).await
    }

    async fn start(&self, id: &UploadId) -> Result<()> {
        if self.0.uploads.lock().len() >= UPLOADS_MAX {
            return Err(BlobsError::TooMany);
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.0.upload_path(id))
            .map_err(|error| BlobsError::io("create upload", id, error))?;
        let upload = Arc::new(tokio::sync::Mutex::new(Some(Hasher::sha256())));
        self.0.uploads.lock().insert(id.clone(), upload);
        Ok(())
    }

    async fn length(&self, id: &UploadId) -> Result<u64> {
        let found = fs::metadata(self.0.upload_path(id));
        Ok(found.map_err(|error| missing_upload(id, error))?.len())
    }

    async fn append(
        &self,
        id: &UploadId,
        at: Option<u64>,
        most: u64,
        body: ByteStream,
    ) -> Result<u64> {
        // A request that is given up must not leave a thread writing while the next one begins.
        let (inner, id) = (self.0.clone(), id.clone());
        let adding = tokio::spawn(async move { inner.append(&id, at, most, body).await });
        adding.await.unwrap_or_else(|error| {
            let error = io::Error::other(error);
            Err(BlobsError::io("write", "an upload", error))
        })
    }

    async fn peek(&self, id: &UploadId, offset: u64, most: u64) -> Result<Bytes> {
        let path = self.0.upload_path(id);
        let id = id.clone();
        blocking(move || {
            let file = File::open(path).map_err(|error| missing_upload(&id, error))?;
            let failed = |error| BlobsError::io("read upload", &id, error);
            let length = file.metadata().map_err(failed)?.len();
            let size = length.saturating_sub(offset).min(most);
            read_piece(&file, offset, size).map_err(failed)
        })
        .await
    }

    async fn seal(&self, id: &UploadId, digest: &Digest) -> Result<u64> {
        let upload = self.0.upload(id)?;
        let turn = tokio::time::timeout(TURN, upload.lock()).await;
        let mut state = turn.map_err(|_| BlobsError::Busy(id.clone()))?;
        let hasher = self.0.hasher(id, &mut state).await?;
        *state = Some(hasher.clone());
        let sealed = match Hasher::new(digest.algorithm()) {
            _ if digest.algorithm().as_ref() == "sha256" => hasher,
            Ok(other) => self.0.hash(id, other).await?,
            Err(_) => hasher,
        };
        let size = sealed.length();
        if sealed.finish() != *digest {
            return Err(BlobsError::Digest {
                expected: digest.clone(),
            });
        }
        Ok(size)
    }

    async fn settle(&self, id: &UploadId) -> Result<()> {
        let path = self.0.upload_path(id);
        let id = id.clone();
        blocking(move || {
            let file = File::open(path).map_err(|error| missing_upload(&id, error))?;
            file.sync_all()
                .map_err(|error| BlobsError::io("sync upload", &id, error))
        })
        .await
    }

    async fn place(&self, id: &UploadId, digest: &Digest) -> Result<()> {
        let from = self.0.upload_path(id);
        let passing = self.0.passing_path(id.as_str());
        let to = self.0.blob_path(digest);
        let (id, digest) = (id.clone(), digest.clone());
        blocking(move || {
            let file = File::open(&from).map_err(|error| missing_upload(&id, error))?;
            let place = || {
                file.set_modified(SystemTime::now())?;
                file.sync_all()?;
                match fs::hard_link(&from, &to) {
                    // Perhaps it is damaged; ours is not.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        fs::hard_link(&from, &passing)?;
                        let renamed = fs::rename(&passing, &to);
                        // Renaming to a name of the same file leaves both.
                        let _ = fs::remove_file(&passing);
                        renamed?;
                    }
                    linked => linked?,
                }
                to.parent().map_or(Ok(()), sync_directory)
            };
            place().map_err(|error| BlobsError::io("place blob", &digest, error))
        })
        .await
    }

    async fn discard(&self, id: &UploadId) -> Result<()> {
        self.0.discard(id)
    }

    async fn uploads(&self) -> Result<Vec<(UploadId, u64)>> {
        let uploads = self.0.directory.join("uploads");
        blocking(move || {
            let failed = |error| BlobsError::io("list", uploads.display(), error);
            let mut found = Vec::new();
            for entry in fs::read_dir(&uploads).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let id = entry.file_name().to_str().and_then(UploadId::parse);
                // One that is gone by now is none.
                if let (Some(id), Ok(metadata)) = (id, entry.metadata()) {
                    found.push((id, seconds(metadata.modified())));
                }
            }
            Ok(found)
        })
        .await
    }
}

/// The bytes of a file: while one piece is sent, the next is read.
fn read_ahead(file: File, range: Range<u64>) -> ByteStream {
    let file = Arc::new(file);
    let next = move |range: Range<u64>| {
        if range.is_empty() {
            return None;
        }
        let file = file.clone();
        let start = range.start;
        let size = (range.end - start).min(READ_PIECE as u64);
        let read = tokio::task::spawn_blocking(move || read_piece(&file, start, size));
        Some((read, start + size..range.end))
    };
    let first = next(range);
    Box::pin(futures::stream::unfold(first, move |state| {
        let next = next.clone();
        async move {
            let (read, rest) = state?;
            let piece = read
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
            let following = if piece.is_ok() { next(rest) } else { None };
            Some((piece, following))
        }
    }))
}

fn read_piece(file: &File, mut offset: u64, size: u64) -> io::Result<Bytes> {
    let size = size as usize;
    let mut piece: Vec<u8> = Vec::with_capacity(size);
    while piece.len() < size {
        let read = rustix::io::pread(file, rustix::buffer::spare_capacity(&mut piece), offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += read as u64;
    }
    piece.truncate(size);
    Ok(piece.into())
}

fn list(blobs: &Path, after: Option<&Digest>, limit: usize) -> Result<Vec<(Digest, Stat)>> {
    let mut found = Vec::new();
    for algorithm in ALGORITHMS {
        for first in 0..=u8::MAX {
            let first = format!("{first:02x}");
            // The last name that begins so; a whole directory before `after` is not opened.
            if after.is_some_and(|after| format!("{algorithm}:{first}g").as_str() < after.as_ref())
            {
                continue;
            }
            let directory = blobs.join(algorithm).join(first);
            let failed = |error| BlobsError::io("list", directory.display(), error);
            let mut names = Vec::new();
            for entry in fs::read_dir(&directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = format!("{algorithm}:{}", entry.file_name().to_string_lossy());
                let digest = mosaic_image::digest::parse(&name);
                if let (Ok(digest), Ok(metadata)) = (digest, entry.metadata()) {
                    let stat = Stat {
                        size: metadata.len(),
                        modified: seconds(metadata.modified()),
                    };
                    names.push((digest, stat));
                }
            }
            names.retain(|(digest, _)| after.is_none_or(|after| digest.as_ref() > after.as_ref()));
            names.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
            found.extend(names);
            if found.len() >= limit {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
