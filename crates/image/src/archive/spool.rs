//! A tar, read once from its beginning to its end, kept as files until it is known what they are.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use super::ArchiveError;
use crate::compression::{decoder, sniffed};
use crate::digest::{self, Digest, Hasher};
use crate::media::Compression;
use crate::place::PIECE;
use crate::store::Staged;
use crate::tar_reader::{Archive, Kind, TarError};

/// The most that an unpacked archive may hold, unless it is said otherwise, in bytes.
pub(crate) const BYTES_MAX: u64 = 256 << 30;
/// The most entries of an archive: three for each layer in Docker's older form.
const ENTRIES_MAX: u64 = 50_000;
/// What headers and padding may take beside the files, in bytes.
const HEADERS_MAX: u64 = ENTRIES_MAX * 1_024;
const PATH_MAX: usize = 1_024;
const LINKS_MAX: usize = 8;
/// The largest window of zstd, as a power of two: what its own tools allow.
const ZSTD_WINDOW: u32 = 27;

/// A file of the archive.
pub(crate) struct Kept {
    pub(crate) file: Staged,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// The files of an archive.
#[derive(Default)]
pub(crate) struct Spool {
    files: HashMap<String, Kept>,
    links: HashMap<String, String>,
    by_digest: HashMap<Digest, String>,
}

impl Spool {
    /// Reads all of an archive into files in `staging`. Blocks the thread.
    pub(crate) fn read(
        source: impl Read,
        staging: &Path,
        bytes_max: u64,
    ) -> Result<Self, ArchiveError> {
        let (compression, source) = sniffed(buffered(source)).map_err(ArchiveError::Read)?;
        let source = known(compression)
            .and_then(|compression| decoder(compression, source, ZSTD_WINDOW))
            .map_err(ArchiveError::Read)?;
        let limited = Limited {
            inner: source,
            // The headers' own bytes.
            left: bytes_max.saturating_add(HEADERS_MAX),
        };
        let mut archive = Archive::new(BufReader::with_capacity(PIECE, limited), ENTRIES_MAX);
        let mut spool = Self::default();
        let broken = |error| match error {
            TarError::Read(source) if source.kind() == io::ErrorKind::FileTooLarge => {
                ArchiveError::TooMuch {
                    what: "bytes",
                    limit: bytes_max,
                }
            }
            TarError::TooManyEntries { bound } => ArchiveError::TooMuch {
                what: "entries",
                limit: bound,
            },
            TarError::Read(source) => ArchiveError::Read(source),
            malformed => ArchiveError::Read(io::Error::new(io::ErrorKind::InvalidData, malformed)),
        };
        while let Some(entry) = archive.next_entry().map_err(broken)? {
            let path = inside("", &entry.path)?;
            if path.is_empty() || entry.kind == Kind::Directory {
                continue;
            }
            if spool.files.contains_key(&path) || spool.links.contains_key(&path) {
                return Err(wrong(&path, "twice"));
            }
            match entry.kind {
                // A hard link's target is a path of the archive, a symbolic link's is relative to where it stands.
                Kind::HardLink => {
                    spool.links.insert(path, inside("", &entry.link)?);
                }
                Kind::Symlink => {
                    let target = inside(parent(&path), &entry.link)?;
                    spool.links.insert(path, target);
                }
                Kind::File if entry.sparse.is_none() => {
                    let kept = keep(&mut archive, &path, staging, &broken)?;
                    spool.by_digest.insert(kept.digest.clone(), path.clone());
                    spool.files.insert(path, kept);
                }
                _ => return Err(wrong(&path, "that is no file, directory or link")),
            }
        }
        // Whoever writes the archive into a pipe shall not be cut off in its padding.
        io::copy(&mut archive.into_inner(), &mut io::sink())
            .map_err(|error| broken(TarError::Read(error)))?;
        Ok(spool)
    }

    /// The file at a path, through the links of the archive.
    pub(crate) fn get(&self, path: &str) -> Result<Option<&Kept>, ArchiveError> {
        let mut path = inside("", path.as_bytes())?;
        for _ in 0..LINKS_MAX {
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => return Ok(self.files.get(&path)),
            }
        }
        Err(wrong(&path, "in a chain of too many links"))
    }

    /// The blob of a digest, wherever it lies in the archive.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<&Kept> {
        self.files.get(self.by_digest.get(digest)?)
    }

    /// A small file as a whole.
    pub(crate) fn small(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(kept) = self.get(path)? else {
            return Ok(None);
        };
        kept.small(path, limit).map(Some)
    }
}

impl Kept {
    /// All of it, if it is small.
    pub(crate) fn small(&self, entry: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.size > limit {
            return Err(wrong(entry, "that is too large for what it is"));
        }
        std::fs::read(self.file.path()).map_err(|source| ArchiveError::Spool {
            entry: entry.to_owned(),
            source,
        })
    }

    /// The digest of what is compressed in it, which has `bytes_max` bytes at most. Blocks the thread.
    pub(crate) fn diff_id(&self, bytes_max: u64) -> io::Result<(Compression, Digest)> {
        let file = std::fs::File::open(self.file.path())?;
        let (compression, file) = sniffed(buffered(file))?;
        let compression = known(compression)?;
        if compression == Compression::None {
            return Ok((compression, self.digest.clone()));
        }
        let mut hasher = Hasher::sha256();
        let mut content = Limited {
            inner: decoder(compression, file, ZSTD_WINDOW)?,
            left: bytes_max,
        };
        io::copy(&mut content, &mut hasher)?;
        Ok((compression, hasher.finish()))
    }
}

fn keep(
    archive: &mut Archive<impl BufRead>,
    path: &str,
    staging: &Path,
    broken: &impl Fn(TarError) -> ArchiveError,
) -> Result<Kept, ArchiveError> {
    let spool = |source| ArchiveError::Spool {
        entry: path.to_owned(),
        source,
    };
    // A blob is called by its digest.
    let called = path
        .strip_prefix("blobs/")
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(algorithm, hex)| digest::parse(&format!("{algorithm}:{hex}")).ok());
    let content = |source| ArchiveError::Content {
        entry: path.to_owned(),
        source,
    };
    let mut hasher = match &called {
        Some(digest) => Hasher::new(digest.algorithm()).map_err(content)?,
        None => Hasher::sha256(),
    };
    let mut staged = Staged::new(staging).map_err(spool)?;
    loop {
        let piece = archive.data().map_err(broken)?;
        if piece.is_empty() {
            break;
        }
        hasher.update(piece);
        staged.write_all(piece).map_err(spool)?;
        let length = piece.len();
        archive.consume(length);
    }
    let size = hasher.length();
    let found = hasher.finish();
    if let Some(expected) = called
        && expected != found
    {
        return Err(content(digest::DigestError::Mismatch { expected, found }));
    }
    Ok(Kept {
        file: staged.close().map_err(spool)?,
        digest: found,
        size,
    })
}

fn wrong(entry: &str, reason: &'static str) -> ArchiveError {
    ArchiveError::Entry {
        entry: entry.chars().take(PATH_MAX).collect(),
        reason,
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A path of the archive, seen from one of its directories; an error if it leads out.
fn inside(from: &str, path: &[u8]) -> Result<String, ArchiveError> {
    let text = std::str::from_utf8(path)
        .map_err(|_error| wrong(&String::from_utf8_lossy(path), "that is not UTF-8"))?;
    if text.len() > PATH_MAX {
        return Err(wrong(text, "with a path that is too long"));
    }
    if text.starts_with('/') || text.contains('\0') {
        return Err(wrong(text, "that leads out of it"));
    }
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts
                    .pop()
                    .ok_or_else(|| wrong(text, "that leads out of it"))?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Fails with `FileTooLarge` when there is more.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

fn known(compression: Result<Compression, &'static str>) -> io::Result<Compression> {
    compression.map_err(|name| {
        let reason = format!("it is compressed with {name}, which images are not");
        io::Error::new(io::ErrorKind::InvalidData, reason)
    })
}

fn buffered<R: Read>(source: R) -> BufReader<R> {
    BufReader::with_capacity(64 << 10, source)
}
