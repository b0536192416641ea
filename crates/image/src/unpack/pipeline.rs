//! From compressed bytes to a written tree, in three threads that hand buffers on:
//!
//! ```text
//!   read, hash, decompress  →  hash (diff id)  →  take apart, write
//!             ↑                                          │
//!             └────────────── empty buffers ─────────────┘
//! ```
//!
//! There are only so many buffers, so whoever is slow slows the others down, and memory does not grow with the layer.

use std::{
    io::{self, BufRead, BufReader, Read},
    os::fd::OwnedFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use super::{
    Layer, Report,
    error::UnpackError,
    settings::{Limits, Settings},
    tree::Tree,
};
use crate::{
    compression::{decoder, sniffed},
    digest::Check,
    media::Compression,
    tar_reader::Archive,
};

/// Bytes in a buffer, and how many buffers there are for a layer.
const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 6;

/// A buffer and how much of it is filled.
type Filled = (Vec<u8>, usize);

/// What went wrong first; what goes wrong after it does so because of it.
struct First<'a> {
    error: Mutex<Option<UnpackError>>,
    failed: &'a (dyn Fn() + Sync),
}

impl First<'_> {
    fn set(&self, error: UnpackError) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            *first = Some(error);
            (self.failed)();
        }
    }

    fn has_failed(&self) -> bool {
        let first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        first.is_some()
    }
}

/// Unpacks a layer into an empty directory. `failed` is called as soon as it is known that it will not succeed: this
/// function returns only when `source` has answered once more.
pub fn unpack(
    source: impl Read + Send,
    layer: &Layer,
    settings: &Settings,
    into: OwnedFd,
    failed: &(dyn Fn() + Sync),
) -> Result<Report, UnpackError> {
    let of = |of| move |source| UnpackError::Content { of, source };
    let content = Check::new(&layer.digest, Some(layer.size)).map_err(of("content"))?;
    let diff_id = Check::new(&layer.diff_id, None).map_err(of("diff id"))?;
    let mut tree = Tree::new(into, settings)?;
    let first = First {
        error: Mutex::new(None),
        failed,
    };
    let seen = AtomicU64::new(0);
    thread::scope(|scope| {
        let (first, seen) = (&first, &seen);
        let (decompressed, to_hash) = channel();
        let (hashed, to_write) = channel();
        let (emptied, empty) = channel();
        for _ in 0..BUFFERS {
            // Grown when it is first used: most layers are small.
            let _ = emptied.send(Vec::new());
        }
        scope.spawn(move || {
            let source = Checked {
                source,
                check: content,
                seen,
                first,
                is_over: false,
            };
            let limits = settings.limits;
            if let Err(error) = decompress(source, seen, limits, &empty, &decompressed, first) {
                first.set(error);
            }
        });
        scope.spawn(move || {
            let mut diff_id = diff_id;
            for (buffer, len) in to_hash {
                // There is no size to hold it to.
                let _ = diff_id.update(buffer.get(..len).unwrap_or(&buffer));
                if hashed.send((buffer, len)).is_err() {
                    return;
                }
            }
            if !first.has_failed()
                && let Err(error) = diff_id.finish()
            {
                first.set(of("diff id")(error));
            }
        });
        let mut archive = Archive::new(
            Buffers {
                filled: to_write,
                emptied,
                current: (Vec::new(), 0),
                at: 0,
            },
            settings.limits.entries,
        );
        if let Err(error) = tree.put_all(&mut archive) {
            first.set(error);
        } else {
            // Bytes after the end mean nothing, but they are part of what the digests are of.
            let mut rest = archive.into_inner();
            while let Ok(len @ 1..) = rest.fill_buf().map(<[u8]>::len) {
                rest.consume(len);
            }
        }
    });
    match first.error.into_inner() {
        Ok(None) => tree.finish(),
        Ok(Some(error)) => Err(error),
        Err(poisoned) => Err(poisoned.into_inner().unwrap_or(UnpackError::GivenUp)),
    }
}

/// The compressed bytes, which are hashed and counted while they are read.
struct Checked<'a, R> {
    source: R,
    check: Check,
    seen: &'a AtomicU64,
    first: &'a First<'a>,
    is_over: bool,
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over || buffer.is_empty() {
            return Ok(0);
        }
        let fail = |error: UnpackError| {
            self.first.set(error);
            io::Error::other("the layer cannot be read")
        };
        let of = |source| UnpackError::Content {
            of: "content",
            source,
        };
        let len = loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|error| fail(UnpackError::Read(error)))?,
            }
        };
        if len == 0 {
            self.is_over = true;
            self.check.finish().map_err(|error| fail(of(error)))?;
        } else {
            let read = buffer.get(..len).unwrap_or(buffer);
            self.check.update(read).map_err(|error| fail(of(error)))?;
            self.seen.store(self.check.length(), Ordering::Relaxed);
        }
        Ok(len)
    }
}

fn decompress<R: Read>(
    source: Checked<'_, R>,
    seen: &AtomicU64,
    limits: Limits,
    empty: &Receiver<Vec<u8>>,
    filled: &Sender<Filled>,
    first: &First<'_>,
) -> Result<(), UnpackError> {
    let source = BufReader::with_capacity(BUFFER / 2, source);
    // With both digests checked there is nothing to be gained by lying here.
    let (compression, mut input) = sniffed(source).map_err(UnpackError::Read)?;
    let compression =
        compression.map_err(|compression| UnpackError::Compression { compression })?;
    let name = match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    let broken = |source| UnpackError::Decompress {
        compression: name,
        source,
    };
    let mut output = decoder(compression, &mut input, limits.zstd_window_log).map_err(broken)?;
    let mut total = 0u64;
    loop {
        let Ok(mut buffer) = empty.recv() else {
            return Ok(());
        };
        buffer.resize(BUFFER, 0);
        let mut len = 0;
        while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match output.read(rest) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
        total += len as u64;
        if total > limits.bytes {
            let bound = limits.bytes;
            return Err(UnpackError::TooLarge { bound });
        }
        let compressed = seen.load(Ordering::Relaxed);
        if total > limits.ratio_from && total / limits.ratio.max(1) > compressed {
            let ratio = limits.ratio;
            return Err(UnpackError::Bomb { ratio });
        }
        if len == 0 {
            break;
        }
        // The writer ends early only when it refuses something.
        if first.has_failed() || filled.send((buffer, len)).is_err() {
            return Ok(());
        }
    }
    drop(output);
    // What follows the last frame is part of the content all the same, and a source that is read to its end is checked.
    io::copy(&mut input, &mut io::sink()).map_err(UnpackError::Read)?;
    Ok(())
}

/// What was decompressed, as the archive reads it.
struct Buffers {
    filled: Receiver<Filled>,
    emptied: Sender<Vec<u8>>,
    current: Filled,
    at: usize,
}

impl BufRead for Buffers {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.current.1 {
            let Ok(next) = self.filled.recv() else {
                return Ok(&[]);
            };
            let (buffer, _) = std::mem::replace(&mut self.current, next);
            self.at = 0;
            if !buffer.is_empty() {
                // Nobody wants it any more at the end.
                let _ = self.emptied.send(buffer);
            }
        }
        let (buffer, len) = &self.current;
        Ok(buffer.get(self.at..*len).unwrap_or_default())
    }

    fn consume(&mut self, len: usize) {
        self.at += len;
    }
}

impl Read for Buffers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}
