//! Reading what is in the directory.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mosaic_image::Digest;

use super::super::{BlobsError, ByteStream, Result, Stat};
use super::{ALGORITHMS, seconds};

/// What is read at once for a download.
const READ_PIECE: usize = 256 << 10;

/// The bytes of a file: while one piece is sent, the next is read.
pub(super) fn read_ahead(file: File, range: Range<u64>) -> ByteStream {
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

pub(super) fn read_piece(file: &File, mut offset: u64, size: u64) -> io::Result<Bytes> {
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

/// What there is after a digest, by whole directories, until there are `limit`.
pub(super) fn list(
    blobs: &Path,
    after: Option<&Digest>,
    limit: usize,
) -> Result<Vec<(Digest, Stat)>> {
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
