//! The directory of unpacked layers.
//!
//! ```text
//!   sha256/<hex>/fs            a layer's tree, by its diff id
//!   sha256/<hex>/layer.json    what was made of it
//!   unpacking/sha256-<hex>     the same while it is made, or what is left of it
//!   unpacking/sha256-<hex>.lock
//! ```
//!
//! The lock is held by who makes or removes the layer, in this process or another; the kernel lets go of it with its
//! process. So whoever gets it may remove what is left, and afterwards finds the layer there or makes it.

use std::{
    fs::{self, File},
    future::Future,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use rustix::fs::{
    FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, fsync, mkdirat, open, openat,
    renameat_with, syncfs, unlinkat,
};
use tokio::{io::AsyncRead, sync::Semaphore, task::spawn_blocking};

use super::{
    Layer, Report,
    error::UnpackError,
    pipeline,
    remove::{DIRECTORY, remove},
    settings::Settings,
    source::{GivenUp, pair},
};
use crate::digest::{self, Digest};

const UNPACKING: &str = "unpacking";
const LOCK: &str = ".lock";
/// The name of the tree in a layer's directory, and that of its description.
const TREE: &str = "fs";
const DESCRIPTION: &str = "layer.json";

/// A layer that is there, whole and on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Its tree: a lower directory for overlayfs.
    pub path: PathBuf,
    /// What was made.
    pub report: Report,
    /// Whether this call made it.
    pub is_new: bool,
}

/// A directory of unpacked layers, each there once. Any number of processes may use it at once; clones share the bound on
/// how many layers are unpacked in parallel.
#[derive(Clone, Debug)]
pub struct Layers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    root: OwnedFd,
    unpacking: OwnedFd,
    settings: Settings,
    permits: Semaphore,
}

impl Layers {
    /// Opens a directory, makes it if there is none, and removes what dead processes left in it.
    ///
    /// A new one is for its owner only: layers have setuid programs that are not meant for this host's users.
    ///
    /// # Errors
    ///
    /// When it cannot be made, opened or swept.
    pub fn open(path: impl Into<PathBuf>, settings: Settings) -> Result<Self, UnpackError> {
        let path = path.into();
        if !path.exists() {
            use std::os::unix::fs::DirBuilderExt;
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&path);
            made.map_err(of("make", &path))?;
        }
        let root = open(&path, DIRECTORY, Mode::empty()).map_err(of("open", &path))?;
        let unpacking = subdirectory(&root, UNPACKING, &path)?;
        let permits = Semaphore::new(settings.parallel.max(1));
        let layers = Self {
            inner: Arc::new(Inner {
                path,
                root,
                unpacking,
                settings,
                permits,
            }),
        };
        layers.sweep()?;
        Ok(layers)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// A layer, if it is there.
    ///
    /// # Errors
    ///
    /// When its description cannot be read.
    pub fn get(&self, diff_id: &Digest) -> Result<Option<Unpacked>, UnpackError> {
        let path = self.path_of(diff_id);
        let description = path.join(DESCRIPTION);
        let bytes = match fs::read(&description) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(of("read", &description))?,
        };
        let report = serde_json::from_slice(&bytes).map_err(of("read", &description))?;
        Ok(Some(Unpacked {
            path: path.join(TREE),
            report,
            is_new: false,
        }))
    }

    /// The diff ids of the layers that are there, in no order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Digest>, UnpackError> {
        let mut found = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let path = self.inner.path.join(algorithm);
            let names = match fs::read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result.map_err(of("list", &path))?,
            };
            for name in names {
                let name = name.map_err(of("list", &path))?.file_name();
                let text = format!("{algorithm}:{}", name.to_string_lossy());
                found.extend(digest::parse(&text));
            }
        }
        Ok(found)
    }

    /// Unpacks a layer from what `open` gives, unless it is there: then `open` is not called. Where another thread or
    /// process is making it, this waits for that. It blocks, and uses two more threads.
    ///
    /// # Errors
    ///
    /// When the layer is refused, does not come whole, or cannot be written. Nothing is left of it then.
    pub fn unpack<R: Read + Send>(
        &self,
        layer: &Layer,
        open: impl FnOnce() -> io::Result<R>,
    ) -> Result<Unpacked, UnpackError> {
        self.unpack_unless_given_up(layer, open, &|| {})
    }

    /// [`unpack`](Self::unpack) for asynchronous sources. At most [`Settings::parallel`] are at work at once, the others
    /// wait before they open their source. If the future is dropped, the layer is given up.
    ///
    /// # Errors
    ///
    /// As with [`unpack`](Self::unpack).
    pub async fn fetch<F, R>(
        &self,
        layer: &Layer,
        open: impl FnOnce() -> F,
    ) -> Result<Unpacked, UnpackError>
    where
        F: Future<Output = io::Result<R>>,
        R: AsyncRead + Unpin,
    {
        if let Some(unpacked) = self.get(&layer.diff_id)? {
            return Ok(unpacked);
        }
        // Nobody closes it.
        let permit = self.inner.permits.acquire().await;
        let _permit = permit.map_err(|_| UnpackError::GivenUp)?;
        let (feeder, pieces) = pair();
        let (wanted, is_wanted) = tokio::sync::oneshot::channel();
        let given_up = Arc::new(GivenUp::default());
        let work = spawn_blocking({
            let (layers, layer, given_up) = (self.clone(), layer.clone(), given_up.clone());
            move || {
                let open = || {
                    // Only now, with the lock held, is it certain that somebody has to fetch it.
                    let _ = wanted.send(());
                    Ok(pieces)
                };
                layers.unpack_unless_given_up(&layer, open, &|| given_up.set())
            }
        });
        if is_wanted.await.is_ok() {
            match open().await {
                Ok(from) => feeder.feed(from, &given_up).await,
                Err(error) => feeder.fail(error).await,
            }
        }
        match work.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(UnpackError::GivenUp),
        }
    }

    /// [`fetch`](Self::fetch)es all layers of an image, in parallel, and says where they are in the order that was given. After the
    /// first that fails the others are given up.
    ///
    /// # Errors
    ///
    /// The first that there is.
    pub async fn fetch_all<'l, F, R>(
        &self,
        layers: &'l [Layer],
        open: impl Fn(&'l Layer) -> F,
    ) -> Result<Vec<Unpacked>, UnpackError>
    where
        F: Future<Output = io::Result<R>>,
        R: AsyncRead + Unpin,
    {
        let open = &open;
        stream::iter(layers)
            .map(|layer| self.fetch(layer, move || open(layer)))
            .buffered(self.inner.settings.parallel.max(1))
            .try_collect()
            .await
    }

    /// Removes a layer, and says whether it was there. That nobody uses it is for the caller to know.
    ///
    /// # Errors
    ///
    /// When it cannot be removed. It no longer counts as there then, or is there whole.
    pub fn remove(&self, diff_id: &Digest) -> Result<bool, UnpackError> {
        let name = temporary_name(diff_id);
        let _lock = Lock::take(&self.inner, &name)?;
        let path = self.path_of(diff_id);
        self.clear(&name)?;
        let algorithm = diff_id.algorithm().as_ref();
        let parent = subdirectory(&self.inner.root, algorithm, &self.inner.path)?;
        let flags = RenameFlags::NOREPLACE;
        match renameat_with(
            &parent,
            diff_id.digest(),
            &self.inner.unpacking,
            &name,
            flags,
        ) {
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            result => result.map_err(of("remove", &path))?,
        }
        self.clear(&name)?;
        Ok(true)
    }

    /// Removes what dead processes left. It is done on opening, and may be done again at any time.
    ///
    /// # Errors
    ///
    /// When something cannot be removed.
    pub fn sweep(&self) -> Result<(), UnpackError> {
        let path = self.inner.path.join(UNPACKING);
        for entry in fs::read_dir(&path).map_err(of("list", &path))? {
            let name = entry.map_err(of("list", &path))?.file_name();
            let Some(name) = name.to_str() else { continue };
            let name = name.strip_suffix(LOCK).unwrap_or(name);
            // Whoever holds it is at work.
            if let Some(_lock) = Lock::try_take(&self.inner, name)? {
                self.clear(name)?;
            }
        }
        Ok(())
    }

    fn path_of(&self, diff_id: &Digest) -> PathBuf {
        let algorithm = diff_id.algorithm().as_ref();
        self.inner.path.join(algorithm).join(diff_id.digest())
    }

    fn clear(&self, name: &str) -> Result<(), UnpackError> {
        let path = || self.inner.path.join(UNPACKING).join(name);
        remove(self.inner.unpacking.as_fd(), name.as_bytes()).map_err(of("remove", &path()))
    }

    fn unpack_unless_given_up<R: Read + Send>(
        &self,
        layer: &Layer,
        open: impl FnOnce() -> io::Result<R>,
        failed: &(dyn Fn() + Sync),
    ) -> Result<Unpacked, UnpackError> {
        if let Some(unpacked) = self.get(&layer.diff_id)? {
            return Ok(unpacked);
        }
        let name = temporary_name(&layer.diff_id);
        let _lock = Lock::take(&self.inner, &name)?;
        if let Some(unpacked) = self.get(&layer.diff_id)? {
            return Ok(unpacked);
        }
        self.clear(&name)?;
        let made = open()
            .map_err(UnpackError::Read)
            .and_then(|source| self.make(layer, &name, source, failed));
        if made.is_err() {
            failed();
            // The first error is the one to tell. What could not be removed is tried again by the next sweep.
            if let Err(error) = self.clear(&name) {
                tracing::warn!(%error, "what was unpacked of a refused layer stays for now");
            }
        }
        Ok(Unpacked {
            path: self.path_of(&layer.diff_id).join(TREE),
            report: made?,
            is_new: true,
        })
    }

    /// Makes a layer beside its place and puts it there.
    fn make(
        &self,
        layer: &Layer,
        name: &str,
        source: impl Read + Send,
        failed: &(dyn Fn() + Sync),
    ) -> Result<Report, UnpackError> {
        let place = self.path_of(&layer.diff_id);
        let temporary = self.inner.path.join(UNPACKING).join(name);
        let directory = subdirectory(&self.inner.unpacking, name, &self.inner.path)?;
        let tree = subdirectory(&directory, TREE, &temporary)?;
        let report = pipeline::unpack(source, layer, &self.inner.settings, tree, failed)?;
        let describe = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mode = Mode::RUSR | Mode::WUSR;
            let mut file = File::from(openat(&directory, DESCRIPTION, flags, mode)?);
            file.write_all(&serde_json::to_vec(&report)?)
        };
        describe().map_err(of("describe", &temporary))?;
        // One call for all files, which would be thousands of waits for the disk one by one.
        syncfs(&directory).map_err(of("sync", &temporary))?;
        let algorithm = layer.diff_id.algorithm().as_ref();
        let parent = subdirectory(&self.inner.root, algorithm, &self.inner.path)?;
        let target = layer.diff_id.digest();
        let flags = RenameFlags::NOREPLACE;
        renameat_with(&self.inner.unpacking, name, &parent, target, flags)
            .and_then(|()| fsync(&parent))
            .and_then(|()| fsync(&self.inner.root))
            .map_err(of("put into its place", &place))?;
        Ok(report)
    }
}

fn temporary_name(diff_id: &Digest) -> String {
    format!("{}-{}", diff_id.algorithm(), diff_id.digest())
}

fn of<E: Into<io::Error>>(step: &'static str, path: &Path) -> impl FnOnce(E) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Directory {
        step,
        path,
        source: source.into(),
    }
}

/// Opens a directory in another, which is made if there is none. `path` is where the other is.
fn subdirectory(parent: &OwnedFd, name: &str, path: &Path) -> Result<OwnedFd, UnpackError> {
    match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(of("make", &path.join(name))(error)),
    }
    openat(parent, name, DIRECTORY, Mode::empty()).map_err(of("open", &path.join(name)))
}

/// The lock of one layer.
struct Lock<'a> {
    inner: &'a Inner,
    name: String,
    /// Closing it lets go, after what is done on dropping.
    _file: OwnedFd,
}

impl<'a> Lock<'a> {
    fn take(inner: &'a Inner, name: &str) -> Result<Self, UnpackError> {
        loop {
            if let Some(lock) = Self::attempt(inner, name, FlockOperation::LockExclusive)? {
                return Ok(lock);
            }
        }
    }

    /// `None`: somebody else has it.
    fn try_take(inner: &'a Inner, name: &str) -> Result<Option<Self>, UnpackError> {
        Self::attempt(inner, name, FlockOperation::NonBlockingLockExclusive)
    }

    fn attempt(
        inner: &'a Inner,
        name: &str,
        operation: FlockOperation,
    ) -> Result<Option<Self>, UnpackError> {
        let file_name = format!("{name}{LOCK}");
        let path = inner.path.join(UNPACKING).join(&file_name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file =
            openat(&inner.unpacking, file_name.as_str(), flags, mode).map_err(of("open", &path))?;
        match flock(&file, operation) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => return Ok(None),
            Err(error) => return Err(of("lock", &path)(error)),
        }
        // Who had it before has removed the file, and somebody may have made another since.
        if fstat(&file).map_err(of("look at", &path))?.st_nlink == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            inner,
            name: file_name,
            _file: file,
        }))
    }
}

impl Drop for Lock<'_> {
    /// Leaves no file, while the lock is still held: who waits for it sees that.
    fn drop(&mut self) {
        let _ = unlinkat(
            &self.inner.unpacking,
            self.name.as_str(),
            rustix::fs::AtFlags::empty(),
        );
    }
}
