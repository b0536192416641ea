//! The embedded engine: one SQLite file, one writer, many readers.
//!
//! ```text
//! write ─► queue ─► writer thread ─► log (WAL, fsync) ─► hub ─► watches
//! get, list ─► read-only connections                 checkpoint thread: WAL ─► state.db
//! ```

mod checkpoint;
pub(crate) mod database;
mod queue;
mod reader;
mod visible;
mod writer;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::stream::BoxStream;
use tokio::sync::oneshot;

use self::checkpoint::Checkpointer;
use self::database::{Role, internal};
use self::queue::{Command, Linger, Queue};
use self::reader::{Log, Readers};
use self::writer::{Chore, Writer};
use crate::hub::Hub;
use crate::keys::check_write;
use crate::{Entry, Event, ListOptions, Page, Result, Revision, Store, StoreError, Write, replay};

/// The file whose lock says that a directory is in use.
const LOCK_FILE: &str = "lock";

/// Settings of the embedded engine.
#[derive(Debug, Clone, Default)]
pub struct SqliteOptions {
    /// The size in bytes that the database may grow to; a write beyond it fails as on a full disk.
    /// None for as much as the disk has. The write-ahead log comes on top.
    pub max_bytes: Option<u64>,
}

/// A store in one file, `state.db`, of a directory that no other process uses.
pub struct Sqlite {
    queue: Arc<Queue>,
    hub: Arc<Hub>,
    readers: Arc<Readers>,
    checkpointer: Arc<Checkpointer>,
    threads: Vec<JoinHandle<()>>,
    /// Held for as long as the threads run.
    _lock: File,
}

impl Sqlite {
    /// Opens the store in a directory, and creates both if they are not there.
    ///
    /// # Errors
    /// If another store has the directory open, the disk is full, or the file is not a store's.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(directory, &SqliteOptions::default())
    }

    /// As [`Sqlite::open`], with settings.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn open_with(directory: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self> {
        let directory = directory.as_ref();
        let lock = prepare_directory(directory)?;
        let path = directory.join(database::FILE);
        let opening = |error| match database::write_error(error, directory) {
            StoreError::Internal(text) => {
                StoreError::Internal(format!("cannot open {}: {text}", path.display()))
            }
            other => other,
        };
        let mut connection = database::connect(&path, Role::Writer).map_err(opening)?;
        if let Some(bytes) = options.max_bytes {
            let pages = bytes / u64::from(database::PAGE_SIZE);
            connection
                .pragma_update(None, "max_page_count", database::to_sql(pages.max(1)))
                .map_err(internal)?;
        }
        let opened = database::prepare(&mut connection)?;
        let (checkpointer, checkpoint_thread) = Checkpointer::start(&path)?;
        let readers = Readers::open(&path)?;
        let queue = Arc::new(Queue::new());
        let hub = Arc::new(Hub::start(opened.revision)?);
        let writer = Writer {
            connection,
            directory: directory.to_owned(),
            queue: queue.clone(),
            hub: hub.clone(),
            checkpointer: checkpointer.clone(),
            revision: opened.revision,
            compacted: opened.compacted,
            swept: opened.swept,
            chore: if opened.swept < opened.compacted {
                Chore::Sweep
            } else {
                Chore::None
            },
            linger: Linger {
                expected: 0,
                time: Duration::ZERO,
            },
            waiting: Vec::new(),
        };
        let writer_thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::Internal(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            queue,
            hub,
            readers,
            checkpointer,
            threads: vec![writer_thread, checkpoint_thread],
            _lock: lock,
        })
    }
}

impl Drop for Sqlite {
    /// Finishes what is queued, so that the directory can be opened again.
    fn drop(&mut self) {
        self.queue.close();
        self.checkpointer.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.hub.close();
    }
}

/// Creates a directory and locks it.
fn prepare_directory(directory: &Path) -> Result<File> {
    let failed = |what: &str, error: std::io::Error| {
        let text = format!("cannot {what} {}: {error}", directory.display());
        if error.kind() == std::io::ErrorKind::StorageFull {
            StoreError::Full(text)
        } else {
            StoreError::Internal(text)
        }
    };
    std::fs::create_dir_all(directory).map_err(|error| failed("create", error))?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(LOCK_FILE))
        .map_err(|error| failed("write to", error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Internal(format!(
            "{} is in use by another process; a data directory belongs to one server at a time",
            directory.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed("lock", error)),
    }
}

#[async_trait::async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &str) -> Result<Option<Entry>> {
        self.readers.get(key).await
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        self.readers.list(prefix, options).await
    }

    async fn write(&self, write: Write) -> Result<Revision> {
        check_write(&write)?;
        let room = self.queue.reserve(&write).await?;
        let (reply, answer) = oneshot::channel();
        self.queue.push(Command::Write { write, reply, room })?;
        answer.await.unwrap_or_else(|_| Err(queue::closed()))
    }

    async fn watch(
        &self,
        prefix: &str,
        after: Revision,
    ) -> Result<BoxStream<'static, Result<Event>>> {
        self.readers.check_watch(after).await?;
        let prefix: Arc<str> = prefix.into();
        let log = Log::new(self.readers.clone(), prefix.clone());
        Ok(replay::follow(self.hub.clone(), log, prefix, after))
    }

    async fn revision(&self) -> Result<Revision> {
        Ok(self.hub.revision())
    }

    fn exclusive(&self) -> bool {
        true
    }

    async fn compact(&self, revision: Revision) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Command::Compact { revision, reply })?;
        answer.await.unwrap_or_else(|_| Err(queue::closed()))
    }
}
