//! The embedded engine: one SQLite file, one writer, many readers.
//!
//! ```text
//! write ─► queue ─► writer thread ─► log (WAL, fsync) ─► hub ─► watches
//! get, list ─► read-only connections                 checkpoint thread: WAL ─► state.db
//! ```

mod checkpoint;
pub(crate) mod database;
mod directory;
mod queue;
mod reader;
mod tail;
mod visible;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::stream::BoxStream;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::checkpoint::Checkpointer;
use self::database::{Opened, Role, internal, write_error};
use self::directory::Directory;
use self::queue::{Command, Linger, Queue};
use self::reader::{Log, Readers};
use self::tail::Tail;
use self::writer::{Chore, Writer};
use crate::hub::Hub;
use crate::keys::check_write;
use crate::{Entry, Event, ListOptions, Page, Result, Revision, Store, StoreError, Write, replay};

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
    _directory: Directory,
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
        let directory = Directory::lock(directory.as_ref())?;
        let files = match Files::open(directory.path(), options) {
            Err(StoreError::Full(_)) if directory.release_reserve() => {
                Files::open(directory.path(), options)
            }
            opened => opened,
        };
        let Files {
            connection,
            opened,
            tail,
            readers,
        } = files?;
        directory.keep_reserve();
        let path = directory.path().join(database::FILE);
        let (checkpointer, checkpoint_thread) = Checkpointer::start(&path)?;
        let queue = Arc::new(Queue::new());
        let hub = Arc::new(Hub::start(opened.revision)?);
        let writer = Writer {
            connection,
            directory: directory.path().to_owned(),
            queue: queue.clone(),
            hub: hub.clone(),
            checkpointer: checkpointer.clone(),
            revision: opened.revision,
            compacted: opened.compacted,
            swept: opened.swept,
            tail,
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
            _directory: directory,
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

/// The database, open for writing and for reading.
struct Files {
    connection: Connection,
    opened: Opened,
    tail: Arc<Tail>,
    readers: Arc<Readers>,
}

impl Files {
    fn open(directory: &Path, options: &SqliteOptions) -> Result<Self> {
        let path = directory.join(database::FILE);
        let failed = |error| match error {
            StoreError::Internal(text) => {
                StoreError::Internal(format!("cannot open {}: {text}", path.display()))
            }
            other => other,
        };
        let mut connection = database::connect(&path, Role::Writer)
            .map_err(|error| failed(write_error(error, directory)))?;
        if let Some(bytes) = options.max_bytes {
            let pages = bytes / u64::from(database::PAGE_SIZE);
            connection
                .pragma_update(None, "max_page_count", database::to_sql(pages.max(1)))
                .map_err(internal)?;
        }
        let (opened, tail) = database::prepare(&mut connection, directory).map_err(failed)?;
        let tail = Arc::new(tail);
        let readers = Readers::open(&path, tail.clone())?;
        Ok(Self {
            connection,
            opened,
            tail,
            readers,
        })
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
