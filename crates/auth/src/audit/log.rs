//! The file that audit events go to.
//!
//! Requests hand events to a queue and go on; one thread writes. When the queue is full, events are
//! dropped and counted rather than waited for: a disk that hangs must not hold up every client, and
//! an attacker who can make the disk slow must not be able to stop the platform. The gap is not
//! silent: the count is a metric, and the file gets an event that says how many are missing as soon
//! as it can be written again.

use std::{
    fmt, fs,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::json;

/// How the file is kept.
#[derive(Debug, Clone)]
pub struct AuditLogOptions {
    /// The file. Older ones lie beside it, with `.1` (the youngest), `.2` … behind the name.
    pub path: PathBuf,
    /// A file that would grow over this many bytes is put aside.
    pub max_bytes: u64,
    /// How many files put aside are kept.
    pub max_files: u32,
    /// How many events may wait.
    pub queue_events: usize,
    /// How many bytes of events may wait.
    pub queue_bytes: u64,
}

impl AuditLogOptions {
    /// 100 MiB a file, 10 files, 16,384 events or 64 MiB waiting.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_bytes: 100 << 20,
            max_files: 10,
            queue_events: 16_384,
            queue_bytes: 64 << 20,
        }
    }
}

/// What became of events so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditLogStats {
    /// Written to the file.
    pub written: u64,
    /// Dropped because too many were waiting.
    pub dropped: u64,
    /// Lost because the file could not be written.
    pub failed: u64,
}

#[derive(Default)]
struct Counters {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    waiting_bytes: AtomicU64,
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Writes events to a file, off the path of requests. Dropping it writes what waits.
pub struct AuditLog {
    sender: Option<SyncSender<Message>>,
    counters: Arc<Counters>,
    queue_bytes: u64,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Opens the file (mode 600), or says why it cannot.
    pub fn open(options: AuditLogOptions) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(options.queue_events.max(1));
        let counters = Arc::new(Counters::default());
        let queue_bytes = options.queue_bytes;
        let writer = Writer::open(options, Arc::clone(&counters))?;
        let thread = std::thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self {
            sender: Some(sender),
            counters,
            queue_bytes,
            thread: Some(thread),
        })
    }

    /// Takes a line (see [`AuditEvent::to_line`](super::AuditEvent::to_line)). Never waits; false if
    /// the event was dropped.
    pub fn record(&self, line: Vec<u8>) -> bool {
        let bytes = line.len() as u64;
        let waiting = self
            .counters
            .waiting_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        let sent = waiting + bytes <= self.queue_bytes
            && self.sender.as_ref().is_some_and(|sender| {
                match sender.try_send(Message::Line(line)) {
                    Ok(()) => true,
                    Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
                }
            });
        if !sent {
            self.counters
                .waiting_bytes
                .fetch_sub(bytes, Ordering::Relaxed);
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// Returns when everything recorded before is on disk. Blocks: for the end of the server.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if let Some(sender) = &self.sender
            && sender.send(Message::Flush(done)).is_ok()
        {
            let _ = wait.recv();
        }
    }

    /// What became of events so far.
    pub fn stats(&self) -> AuditLogStats {
        AuditLogStats {
            written: self.counters.written.load(Ordering::Relaxed),
            dropped: self.counters.dropped.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    options: AuditLogOptions,
    counters: Arc<Counters>,
    /// None after a failure, until the file can be opened again.
    file: Option<File>,
    /// Bytes of the file.
    size: u64,
    /// Lines that go to the file in one write.
    pending: Vec<u8>,
    pending_events: u64,
    /// How many lost events the file already tells of.
    told: u64,
}

/// Between attempts to tell of a gap while nothing else is written.
const RETRY: Duration = Duration::from_secs(1);
/// So many bytes are written at once while more events wait.
const BATCH_BYTES: usize = 64 << 10;

impl Writer {
    fn open(options: AuditLogOptions, counters: Arc<Counters>) -> io::Result<Self> {
        let (file, size) = open(&options.path)?;
        Ok(Self {
            options,
            counters,
            file: Some(file),
            size,
            pending: Vec::new(),
            pending_events: 0,
            told: 0,
        })
    }

    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let message = match receiver.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    // Nothing waits: what was gathered goes to the file.
                    self.write_pending();
                    match receiver.recv_timeout(RETRY) {
                        Ok(message) => message,
                        Err(RecvTimeoutError::Disconnected) => break,
                        Err(RecvTimeoutError::Timeout) => {
                            self.tell_gap();
                            continue;
                        }
                    }
                }
            };
            match message {
                Message::Line(line) => {
                    self.counters
                        .waiting_bytes
                        .fetch_sub(line.len() as u64, Ordering::Relaxed);
                    self.tell_gap();
                    self.gather(&line);
                    self.pending_events += 1;
                }
                Message::Flush(done) => {
                    self.sync();
                    let _ = done.send(());
                }
            }
        }
        self.tell_gap();
        self.sync();
    }

    /// Adds a line to those that go to the file next, which stays within its size.
    fn gather(&mut self, line: &[u8]) {
        let room = self.options.max_bytes.saturating_sub(self.size);
        let grown = (self.pending.len() + line.len()) as u64;
        if !self.pending.is_empty() && (grown > room || self.pending.len() >= BATCH_BYTES) {
            self.write_pending();
        }
        self.pending.extend_from_slice(line);
    }

    /// Gathers a line that says how many events are missing, if some are that the file does not tell
    /// of.
    fn tell_gap(&mut self) {
        let lost = self.counters.dropped.load(Ordering::Relaxed)
            + self.counters.failed.load(Ordering::Relaxed);
        if lost == self.told {
            return;
        }
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
            .to_string();
        let mut line = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata",
            "auditID": super::new_audit_id(), "stage": "Panic", "verb": "", "requestURI": "",
            "user": { "username": "system:apiserver" },
            "requestReceivedTimestamp": now, "stageTimestamp": now,
            "annotations": { "audit.mosaic/lost-events": (lost - self.told).to_string() },
        })
        .to_string()
        .into_bytes();
        line.push(b'\n');
        self.gather(&line);
        // Only a line that is in the file has told.
        if self.write_pending() {
            self.told = lost;
        }
    }

    /// Writes what was gathered and counts it; false where it is lost.
    fn write_pending(&mut self) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        let written = self.try_write();
        let counter = if written.is_ok() {
            &self.counters.written
        } else {
            // A full disk may have taken half a line: the next attempt opens the file anew and ends
            // that line first.
            self.file = None;
            &self.counters.failed
        };
        counter.fetch_add(self.pending_events, Ordering::Relaxed);
        self.pending.clear();
        self.pending_events = 0;
        written.is_ok()
    }

    fn try_write(&mut self) -> io::Result<()> {
        let reopened = self.file.is_none();
        if self.size > 0 && self.size + self.pending.len() as u64 > self.options.max_bytes {
            self.rotate()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let (file, size) = open(&self.options.path)?;
                self.size = size;
                self.file.insert(file)
            }
        };
        if reopened && self.size > 0 {
            file.write_all(b"\n")?;
            self.size += 1;
        }
        file.write_all(&self.pending)?;
        self.size += self.pending.len() as u64;
        Ok(())
    }

    /// Puts the file aside; the next one is opened when it is written.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        let path = &self.options.path;
        let numbered = |number: u32| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (0..self.options.max_files).rev() {
            let from = if number == 0 {
                path.clone()
            } else {
                numbered(number)
            };
            match fs::rename(from, numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.options.max_files == 0 {
            fs::remove_file(path)?;
        }
        self.size = 0;
        Ok(())
    }

    fn sync(&mut self) {
        self.write_pending();
        if let Some(file) = &self.file {
            let _ = file.sync_data();
        }
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}
