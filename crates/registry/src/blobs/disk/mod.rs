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

mod append;
mod files;
mod room;
mod uploads;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mosaic_image::{Digest, Hasher};
use parking_lot::Mutex;
use rustix::fs::{Advice, FlockOperation};

use self::append::{End, WRITE_PIECE, carry};
use self::files::{list, read_ahead, read_piece};
use self::uploads::{State, Upload};
use super::{Blobs, BlobsError, ByteStream, Incoming, Result, Stat, UploadId};

/// The algorithms that blobs are named by.
const ALGORITHMS: [&str; 2] = ["sha256", "sha512"];

/// Blobs in a directory.
pub struct Disk(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    uploads: Mutex<HashMap<UploadId, Arc<Upload>>>,
    /// Numbers uploads, and makes the names of files on their way unique.
    counter: AtomicU64,
    /// Its lock ends with it.
    _lock: File,
}

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
        let (counter, mut begun) = (AtomicU64::new(0), HashMap::new());
        for entry in entries {
            let entry = entry.map_err(|error| failed("list", &uploads, error))?;
            let path = entry.path();
            match entry.file_name().to_str().and_then(UploadId::parse) {
                Some(id) => {
                    let found = entry.metadata();
                    let found = found.map_err(|error| failed("look at", &path, error))?;
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    begun.insert(id, Upload::new(number, found.len()));
                }
                None => fs::remove_file(&path).map_err(|error| failed("sweep", &path, error))?,
            }
        }
        Ok(Self(Arc::new(Inner {
            directory,
            uploads: begun.into(),
            counter,
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

    async fn append(
        &self,
        id: &UploadId,
        at: Option<u64>,
        most: u64,
        body: ByteStream,
    ) -> Result<u64> {
        let upload = self.upload(id)?;
        let mut state = upload.turn(id).await?;
        if state.sealed {
            return Err(BlobsError::NoUpload(id.clone()));
        }
        let file = OpenOptions::new().append(true).open(self.upload_path(id));
        let file = file.map_err(|error| missing_upload(id, error))?;
        let found = file.metadata();
        let found = found.map_err(|error| BlobsError::io("look at upload", id, error))?;
        if found.nlink() > 1 {
            // A process that died had sealed it: it has its place already.
            return Err(BlobsError::NoUpload(id.clone()));
        }
        let hasher = self.hasher(id, &mut state).await?;
        let length = hasher.length();
        let body = match Incoming::new(id, at, length, most, body) {
            Ok(mut body) => {
                body.waiting = Some(upload.waiting());
                body
            }
            Err(error) => {
                state.hasher = Some(hasher);
                return Err(error);
            }
        };
        // A write that failed, or whose request was given up, may have left more than what was hashed.
        let cut = file.set_len(length);
        cut.map_err(|error| BlobsError::io("cut upload", id, error))?;
        let (end, outcome) = carry(End { file, hasher }, body).await;
        // Without an end, the next who comes reads what there is.
        state.hasher = end.map(|end| end.hasher);
        let length = state.hasher.as_ref().map(Hasher::length);
        drop(state);
        match &outcome {
            Err(BlobsError::Full { .. }) => {
                self.discard(id)?;
                self.relieve();
            }
            Err(BlobsError::TooLarge { .. }) => self.discard(id)?,
            _ => {}
        }
        outcome?;
        length.ok_or_else(|| BlobsError::NoUpload(id.clone()))
    }

    fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let passing = self.passing_path("put");
        let path = self.blob_path(digest);
        let write = || {
            let mut file = File::create(&passing)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&passing, &path)?;
            path.parent().map_or(Ok(()), sync_directory)
        };
        write().map_err(|error| {
            // If it is not there, all the better.
            let _ = fs::remove_file(&passing);
            BlobsError::io("write blob", digest, error)
        })
    }

    /// The hasher of an upload's bytes so far: the one that is remembered, or one that reads them.
    async fn hasher(&self, id: &UploadId, state: &mut State) -> Result<Hasher> {
        if let Some(hasher) = state.hasher.take() {
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
        let (inner, digest) = (self.0.clone(), digest.clone());
        blocking(move || match inner.put(&digest, &bytes) {
            Err(BlobsError::Full { .. }) => {
                inner.relieve();
                inner.put(&digest, &bytes)
            }
            put => put,
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

    async fn room(&self) -> Result<()> {
        let inner = self.0.clone();
        blocking(move || inner.room()).await
    }

    async fn start(&self, id: &UploadId) -> Result<()> {
        self.0.make_way(id)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.0.upload_path(id))
            .map_err(|error| BlobsError::io("create upload", id, error))?;
        let upload = Upload::new(self.0.counter.fetch_add(1, Ordering::Relaxed), 0);
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
        let mut state = upload.turn(id).await?;
        let hasher = self.0.hasher(id, &mut state).await?;
        state.hasher = Some(hasher.clone());
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
        state.sealed = true;
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
