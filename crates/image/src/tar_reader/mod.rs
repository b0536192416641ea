//! Reading a tar archive as a stream, from somebody who means harm.
//!
//! Everything that is kept in memory has a bound, and what the entry's size is, is decided as Go's `archive/tar`
//! decides it: that is what other programs that handle images read with, and two readers that disagree about
//! where an entry ends see two different layers in the same bytes.

mod header;
mod pax;

use std::io::{self, BufRead, Read};

use header::{BLOCK, Header, sparse_segments};
use pax::{MAX_SEGMENTS, Records, decimal, pairs};

/// The most bytes of an extended header or of a long name, the same as in Go's reader.
const MAX_SPECIAL: u64 = 1 << 20;

/// A point in time: whole seconds since 1970, before it negative, and nanoseconds forward from there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Below 1,000,000,000.
    pub nanoseconds: u32,
}

/// A stretch of a sparse file that has data; what is between them are holes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sparse {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes of data it has.
    pub len: u64,
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of a file that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// Anything else, with its type flag.
    Other(u8),
}

/// One entry, without its data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name as it stands in the archive.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The target of a hard or symbolic link.
    pub link: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner; judged by who uses it.
    pub uid: i64,
    /// The group; judged by who uses it.
    pub gid: i64,
    /// When it was last changed.
    pub mtime: Time,
    /// The size of the file, holes included.
    pub size: u64,
    /// Where a sparse file has data; their lengths add up to what is in the archive.
    pub sparse: Option<Vec<Sparse>>,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Major and minor number of a device.
    pub device: (i64, i64),
}

/// Why an archive is malformed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedReason {
    /// The header's checksum differs.
    #[error("the checksum of a header is wrong")]
    Checksum,
    /// A numeric field is no number, or negative where it must not be.
    #[error("a number in a header cannot be read")]
    Number,
    /// A record of an extended header.
    #[error("a record of an extended header cannot be read")]
    Record,
    /// More extended attributes than an entry may have.
    #[error("an entry has more than 1,000 extended attributes")]
    Xattrs,
    /// An extended header or a long name above its bound.
    #[error("an extended header or a long name is larger than 1 MiB")]
    Special,
    /// The map of a sparse file.
    #[error("the map of a sparse file is wrong")]
    Sparse,
    /// The archive ends within an entry.
    #[error("it ends in the middle of an entry")]
    Truncated,
    /// A block of zeros in the middle.
    #[error("a block of zeros stands between entries")]
    LoneZeros,
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The bytes are no archive.
    #[error("the archive is malformed before byte {offset}: {reason}")]
    Malformed {
        /// How far reading had come, in bytes of the uncompressed archive.
        offset: u64,
        /// What is wrong.
        reason: MalformedReason,
    },
    /// More headers than are allowed.
    #[error("there are more than {bound} entries")]
    TooManyEntries {
        /// The bound.
        bound: u64,
    },
    /// Reading failed.
    #[error("cannot read")]
    Read(#[source] io::Error),
}

/// An archive that is read entry by entry.
pub struct Archive<R> {
    from: R,
    offset: u64,
    /// Data of the present entry that was not read yet, and the padding that follows it.
    data: u64,
    padding: u64,
    headers: u64,
    max_headers: u64,
}

impl<R: BufRead> Archive<R> {
    /// Reads from the start of an archive of at most `max_headers` headers (an entry has one, and may have a few more).
    pub fn new(from: R, max_headers: u64) -> Self {
        Self {
            from,
            offset: 0,
            data: 0,
            padding: 0,
            headers: 0,
            max_headers,
        }
    }

    /// The next entry; what was not read of the one before is skipped. `None` is the archive's end, after which
    /// bytes may follow that mean nothing.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut records = Records::default();
        let (mut long_path, mut long_link) = (None, None);
        loop {
            self.skip_rest()?;
            let mut block = [0; BLOCK];
            if !self.read_block(&mut block)? {
                return Ok(None);
            }
            let Some(header) = self.check(Header::read(&block))? else {
                let mut second = [0; BLOCK];
                if !self.read_block(&mut second)? || second.iter().all(|byte| *byte == 0) {
                    return Ok(None);
                }
                return Err(self.malformed(MalformedReason::LoneZeros));
            };
            self.headers += 1;
            if self.headers > self.max_headers {
                let bound = self.max_headers;
                return Err(TarError::TooManyEntries { bound });
            }
            match header.kind() {
                b'x' => {
                    let bytes = self.special(&header)?;
                    records = self.check(Records::read(&bytes))?;
                }
                // Of the whole archive. Nobody who makes layers uses them but to leave a comment, and nobody who reads
                // layers heeds them.
                b'g' => drop(self.special(&header)?),
                b'L' => long_path = Some(until_nul(self.special(&header)?)),
                b'K' => long_link = Some(until_nul(self.special(&header)?)),
                _ => {
                    return self.entry(&header, records, long_path, long_link).map(Some);
                }
            }
        }
    }

    /// Data of the present entry that lies ready; empty at its end. What is used of it is to be [consumed](Self::consume).
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        if self.data == 0 {
            return Ok(&[]);
        }
        let offset = self.offset;
        let bytes = self.from.fill_buf().map_err(TarError::Read)?;
        if bytes.is_empty() {
            return Err(TarError::Malformed {
                offset,
                reason: MalformedReason::Truncated,
            });
        }
        let len = usize::try_from(self.data).unwrap_or(usize::MAX);
        Ok(bytes.get(..len).unwrap_or(bytes))
    }

    /// Goes past `len` bytes of what [`Self::data`] showed.
    pub fn consume(&mut self, len: usize) {
        self.from.consume(len);
        self.data = self.data.saturating_sub(len as u64);
        self.offset += len as u64;
    }

    /// What the archive is read from.
    pub fn into_inner(self) -> R {
        self.from
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        records: Records,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, TarError> {
        let path = long_path.or(records.path).unwrap_or_else(|| header.path());
        let kind = match header.kind() {
            // Before POSIX, directories were files with a slash at their end.
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => Kind::Other(other),
        };
        let stated = match records.size {
            Some(size) => size,
            None => self.check(header.size())?,
        };
        // Some programs write the size of a link's target or of a directory, and no data.
        let has_data = matches!(kind, Kind::File | Kind::Other(_));
        self.expect_data(if has_data { stated } else { 0 })?;
        let mut entry = Entry {
            path,
            kind,
            link: long_link.or(records.link).unwrap_or_else(|| header.link()),
            // Masked, so it fits.
            mode: u32::try_from(self.check(header.mode())? & 0o7777).unwrap_or_default(),
            uid: self.check(records.uid.map_or_else(|| header.uid(), Ok))?,
            gid: self.check(records.gid.map_or_else(|| header.gid(), Ok))?,
            mtime: self.check(records.mtime.map_or_else(|| header.mtime(), Ok))?,
            size: self.data,
            sparse: None,
            xattrs: records.xattrs,
            device: match kind {
                Kind::Character | Kind::Block => self.check(header.device())?,
                _ => (0, 0),
            },
        };
        let map = if header.kind() == b'S' {
            Some(self.old_sparse(header)?)
        } else if records.sparse.has_map_in_data() {
            Some((
                self.sparse_in_data()?,
                records.sparse.real_size.unwrap_or(stated),
            ))
        } else {
            let segments = self.check(records.sparse.segments())?;
            segments.map(|segments| (segments, records.sparse.real_size.unwrap_or(stated)))
        };
        if let Some((segments, real_size)) = map {
            if let Some(name) = records.sparse.name {
                entry.path = name;
            }
            if entry.kind != Kind::File || !is_a_map(&segments, real_size, self.data) {
                return Err(self.malformed(MalformedReason::Sparse));
            }
            entry.size = real_size;
            entry.sparse = Some(segments);
        }
        Ok(entry)
    }

    /// The whole map of an old GNU sparse file, whose later parts stand in blocks after the header.
    fn old_sparse(&mut self, header: &Header<'_>) -> Result<(Vec<Sparse>, u64), TarError> {
        let (mut segments, mut more, real_size) = self.check(header.sparse())?;
        // These blocks stand before the data and are not part of its size.
        while more {
            let mut block = [0; BLOCK];
            if !self.read_block(&mut block)? {
                return Err(self.malformed(MalformedReason::Truncated));
            }
            segments.extend(self.check(sparse_segments(&block[..504]))?);
            if segments.len() > MAX_SEGMENTS {
                return Err(self.malformed(MalformedReason::Sparse));
            }
            more = block[504] != 0;
        }
        Ok((segments, real_size))
    }

    /// The map that stands before the data: a count and so many offsets and lengths, one a line, padded to a block.
    fn sparse_in_data(&mut self) -> Result<Vec<Sparse>, TarError> {
        let mut block = [0; BLOCK];
        let (mut line, mut numbers, mut count) = (Vec::new(), Vec::new(), None::<usize>);
        loop {
            if self.data < BLOCK as u64 {
                return Err(self.malformed(MalformedReason::Sparse));
            }
            self.from
                .read_exact(&mut block)
                .map_err(|error| self.cut(error))?;
            self.data -= BLOCK as u64;
            self.offset += BLOCK as u64;
            for byte in block {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number = decimal(&line);
                line.clear();
                let number = number.ok_or_else(|| self.malformed(MalformedReason::Sparse))?;
                match count {
                    None => {
                        let known = usize::try_from(number).ok().filter(|n| *n <= MAX_SEGMENTS);
                        count =
                            Some(2 * known.ok_or_else(|| self.malformed(MalformedReason::Sparse))?);
                    }
                    Some(_) => numbers.push(number),
                }
                if count == Some(numbers.len()) {
                    return self.check(pairs(&numbers));
                }
            }
            if line.len() > 20 {
                return Err(self.malformed(MalformedReason::Sparse));
            }
        }
    }

    /// The body of a header that is about the next one.
    fn special(&mut self, header: &Header<'_>) -> Result<Vec<u8>, TarError> {
        let size = self.check(header.size())?;
        if size > MAX_SPECIAL {
            return Err(self.malformed(MalformedReason::Special));
        }
        self.expect_data(size)?;
        let mut body = Vec::new();
        let read = (&mut self.from).take(size).read_to_end(&mut body);
        read.map_err(TarError::Read)?;
        self.offset += body.len() as u64;
        if (body.len() as u64) < size {
            return Err(self.malformed(MalformedReason::Truncated));
        }
        self.data = 0;
        Ok(body)
    }

    /// Sets how much data follows the header that was read.
    fn expect_data(&mut self, size: u64) -> Result<(), TarError> {
        if i64::try_from(size).is_err() {
            return Err(self.malformed(MalformedReason::Number));
        }
        self.data = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let mut rest = self.data.saturating_add(self.padding);
        while rest > 0 {
            let bytes = self.from.fill_buf().map_err(TarError::Read)?;
            if bytes.is_empty() {
                // Programs exist that leave the padding of the last entry out.
                if rest <= self.padding {
                    break;
                }
                return Err(self.malformed(MalformedReason::Truncated));
            }
            let len = bytes.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
            self.from.consume(len);
            self.offset += len as u64;
            rest -= len as u64;
        }
        (self.data, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads a block; `false` is a proper end.
    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, TarError> {
        if self.from.fill_buf().map_err(TarError::Read)?.is_empty() {
            return Ok(false);
        }
        self.from
            .read_exact(block)
            .map_err(|error| self.cut(error))?;
        self.offset += BLOCK as u64;
        Ok(true)
    }

    fn cut(&self, error: io::Error) -> TarError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.malformed(MalformedReason::Truncated),
            _ => TarError::Read(error),
        }
    }

    fn malformed(&self, reason: MalformedReason) -> TarError {
        TarError::Malformed {
            offset: self.offset,
            reason,
        }
    }

    fn check<T>(&self, result: Result<T, MalformedReason>) -> Result<T, TarError> {
        result.map_err(|reason| self.malformed(reason))
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

/// Whether segments are in order, apart from each other, within the file, and as long as the data that is there.
fn is_a_map(segments: &[Sparse], real_size: u64, data: u64) -> bool {
    if i64::try_from(real_size).is_err() {
        return false;
    }
    let (mut end, mut sum) = (0u64, 0u64);
    for segment in segments {
        if segment.offset < end {
            return false;
        }
        // Neither can overflow: both stay within the real size.
        match segment.offset.checked_add(segment.len) {
            Some(next) if next <= real_size => end = next,
            _ => return false,
        }
        sum += segment.len;
    }
    sum == data
}

#[cfg(test)]
mod tests {
    use super::{Sparse, is_a_map};

    #[test]
    fn maps_are_in_order_apart_within_and_complete() {
        let map = |pairs: &[(u64, u64)], real_size, data| {
            let segment = |(offset, len): &(u64, u64)| Sparse {
                offset: *offset,
                len: *len,
            };
            is_a_map(
                &pairs.iter().map(segment).collect::<Vec<_>>(),
                real_size,
                data,
            )
        };
        assert!(map(&[], 1 << 40, 0));
        assert!(map(&[(0, 5), (5, 5), (100, 0)], 100, 10));
        assert!(!map(&[(0, 5), (4, 5)], 100, 10), "overlapping");
        assert!(!map(&[(50, 5), (0, 5)], 100, 10), "not in order");
        assert!(!map(&[(98, 5)], 100, 5), "past the end");
        assert!(!map(&[(0, 5)], 100, 6), "data for which there is no place");
        assert!(!map(&[(u64::MAX, 5)], 100, 5));
        assert!(!map(&[], u64::MAX, 0), "larger than any file");
    }
}
