//! A tree of files to a layer's tar: in the order of names, so that the same tree is always the same bytes.
//!
//! Every step is relative to an open directory and goes through no link, so that a tree that somebody else changes
//! meanwhile gives a wrong layer at worst, and never a file from elsewhere.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, openat, readlinkat, seek, statat,
};
use rustix::io::Errno;

use super::ImportError;

/// How deep directories may lie in each other; one is open for each.
const DEPTH_MAX: usize = 512;
/// The longest extended attribute, and list of their names, in bytes: the kernel's own bounds.
const XATTR_MAX: usize = 64 << 10;
/// The most stretches of data of a file that is written as sparse: beyond that it is written whole.
const SEGMENTS_MAX: usize = 1_000;
const BLOCK: usize = 512;
/// Where a name ends in a header.
const NAME_MAX: usize = 100;

/// How a tree is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeOptions {
    /// The latest time that a file gets, in seconds since 1970 (as `SOURCE_DATE_EPOCH` has it); none for each its own.
    pub mtime_max: Option<u64>,
    /// Whose they are, user and group; none for whose they are in the tree.
    pub owner: Option<(u32, u32)>,
    /// Whether devices are taken; otherwise a tree with one is refused.
    pub devices: bool,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            mtime_max: None,
            owner: None,
            devices: rustix::process::geteuid().is_root(),
        }
    }
}

/// Writes the tar of a tree and gives the writer back. Sockets are left out. Blocks the thread.
pub(super) fn write<W: Write>(
    root: &Path,
    out: W,
    options: &TreeOptions,
) -> Result<W, ImportError> {
    let fail = |step| {
        move |source: io::Error| ImportError::Tree {
            step,
            path: root.display().to_string(),
            source,
        }
    };
    let directory = rustix::fs::open(
        root,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| fail("open")(error.into()))?;
    let mut builder = tar::Builder::new(out);
    let mut tree = Tree {
        builder: &mut builder,
        options,
        links: HashMap::new(),
    };
    tree.directory(&directory, &[], 0)?;
    builder.into_inner().map_err(ImportError::Write)
}

struct Tree<'a, W: Write> {
    builder: &'a mut tar::Builder<W>,
    options: &'a TreeOptions,
    /// Files with several names, by where they are: the name that was written.
    links: HashMap<(u64, u64), Vec<u8>>,
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn failed(step: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> ImportError {
    let path = shown(path);
    move |source| ImportError::Tree { step, path, source }
}

impl<W: Write> Tree<'_, W> {
    fn directory(
        &mut self,
        directory: &OwnedFd,
        path: &[u8],
        depth: usize,
    ) -> Result<(), ImportError> {
        if depth > DEPTH_MAX {
            return Err(failed("read", path)(io::Error::other(format!(
                "directories deeper than {DEPTH_MAX}"
            ))));
        }
        let mut names: Vec<CString> = Vec::new();
        let entries =
            Dir::read_from(directory).map_err(|error| failed("read", path)(error.into()))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", path)(error.into()))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort();
        for name in names {
            let mut full = path.to_vec();
            if !full.is_empty() {
                full.push(b'/');
            }
            full.extend_from_slice(name.to_bytes());
            self.entry(directory, &name, &full, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: &[u8],
        depth: usize,
    ) -> Result<(), ImportError> {
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| failed("look at", path)(error.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let place = (stat.st_dev, stat.st_ino);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&place).cloned() {
                let mut header = self.header(&stat, tar::EntryType::Link);
                return self.write(&mut header, path, Some(&first), &[], io::empty());
            }
            self.links.insert(place, path.to_vec());
        }
        match kind {
            FileType::Directory => {
                let directory = open(parent, name, path, &stat, OFlags::DIRECTORY)?;
                let xattrs = self.xattrs(&directory, path)?;
                let mut header = self.header(&stat, tar::EntryType::Directory);
                let with_slash = [path, b"/"].concat();
                self.write(&mut header, &with_slash, None, &xattrs, io::empty())?;
                self.directory(&directory, path, depth + 1)
            }
            FileType::RegularFile => self.file(parent, name, path, &stat),
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new())
                    .map_err(|error| failed("read", path)(error.into()))?;
                let mut header = self.header(&stat, tar::EntryType::Symlink);
                self.write(&mut header, path, Some(target.to_bytes()), &[], io::empty())
            }
            FileType::Fifo => {
                let mut header = self.header(&stat, tar::EntryType::Fifo);
                self.write(&mut header, path, None, &[], io::empty())
            }
            FileType::CharacterDevice | FileType::BlockDevice => self.device(path, &stat, kind),
            // Sockets live with the process that made them.
            _ => Ok(()),
        }
    }

    fn device(&mut self, path: &[u8], stat: &Stat, kind: FileType) -> Result<(), ImportError> {
        let (major, minor) = (
            rustix::fs::major(stat.st_rdev),
            rustix::fs::minor(stat.st_rdev),
        );
        if !self.options.devices {
            return Err(ImportError::Device { path: shown(path) });
        }
        let kind = if kind == FileType::CharacterDevice {
            tar::EntryType::Char
        } else {
            tar::EntryType::Block
        };
        let mut header = self.header(stat, kind);
        header
            .set_device_major(major)
            .and_then(|()| header.set_device_minor(minor))
            .map_err(failed("write", path))?;
        self.write(&mut header, path, None, &[], io::empty())
    }

    fn file(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), ImportError> {
        let file = File::from(open(parent, name, path, stat, OFlags::NONBLOCK)?);
        let xattrs = self.xattrs(&file, path)?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let on_disk = u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
        let segments = if on_disk < size {
            segments(&file, size).map_err(failed("read", path))?
        } else {
            None
        };
        match segments {
            Some(segments) => self.sparse(&file, path, stat, size, &segments, &xattrs),
            None => {
                let mut header = self.header(stat, tar::EntryType::Regular);
                header.set_size(size);
                let content = Exactly::new(&file, size);
                self.write(&mut header, path, None, &xattrs, content)
            }
        }
    }

    /// GNU's old form, which everybody reads: the map in the header, then in blocks of its own, then the data.
    fn sparse(
        &mut self,
        file: &File,
        path: &[u8],
        stat: &Stat,
        size: u64,
        segments: &[(u64, u64)],
        xattrs: &[(String, Vec<u8>)],
    ) -> Result<(), ImportError> {
        let mut map: Vec<(u64, u64)> = segments.to_vec();
        // Says where a file ends that ends in a hole.
        map.push((size, 0));
        let mut header = self.header(stat, tar::EntryType::GNUSparse);
        header.set_size(segments.iter().map(|(_, length)| length).sum());
        let mut more: Vec<u8> = Vec::new();
        let in_header = map.len().min(4);
        let (first, rest) = map.split_at(in_header);
        if let Some(gnu) = header.as_gnu_mut() {
            for (slot, (offset, length)) in gnu.sparse.iter_mut().zip(first) {
                octal(&mut slot.offset, *offset);
                octal(&mut slot.numbytes, *length);
            }
            octal(&mut gnu.realsize, size);
            gnu.isextended[0] = u8::from(!rest.is_empty());
        }
        let blocks = rest.chunks(21).count();
        for (number, chunk) in rest.chunks(21).enumerate() {
            let mut block = tar::GnuExtSparseHeader::new();
            for (slot, (offset, length)) in block.sparse.iter_mut().zip(chunk) {
                octal(&mut slot.offset, *offset);
                octal(&mut slot.numbytes, *length);
            }
            block.isextended[0] = u8::from(number + 1 < blocks);
            more.extend_from_slice(block.as_bytes());
        }
        let content = io::Cursor::new(more).chain(Segments {
            file,
            segments: segments.iter().copied(),
            current: None,
        });
        self.write(&mut header, path, None, xattrs, content)
    }

    fn header(&self, stat: &Stat, kind: tar::EntryType) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        let (uid, gid) = self.options.owner.unwrap_or((stat.st_uid, stat.st_gid));
        header.set_uid(uid.into());
        header.set_gid(gid.into());
        let own = u64::try_from(stat.st_mtime).unwrap_or_default();
        header.set_mtime(own.min(self.options.mtime_max.unwrap_or(u64::MAX)));
        header.set_size(0);
        header
    }

    fn write(
        &mut self,
        header: &mut tar::Header,
        path: &[u8],
        link: Option<&[u8]>,
        xattrs: &[(String, Vec<u8>)],
        content: impl Read,
    ) -> Result<(), ImportError> {
        // Whoever writes the layer's other end fails for another reason than whoever reads the tree.
        let map = |source: io::Error| match source.downcast::<Changed>() {
            Ok(_) => ImportError::Changed { path: shown(path) },
            Err(source) => ImportError::Write(source),
        };
        if !xattrs.is_empty() {
            let records = xattrs
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice()));
            self.builder.append_pax_extensions(records).map_err(map)?;
        }
        for (kind, text) in [
            (tar::EntryType::GNULongName, Some(path)),
            (tar::EntryType::GNULongLink, link),
        ] {
            let Some(text) = text.filter(|text| text.len() > NAME_MAX) else {
                continue;
            };
            let mut long = tar::Header::new_gnu();
            put(&mut long.as_old_mut().name, b"././@LongLink");
            long.set_entry_type(kind);
            long.set_size(text.len() as u64 + 1);
            long.set_cksum();
            let content = text.chain(&b"\0"[..]);
            self.builder.append(&long, content).map_err(map)?;
        }
        put(&mut header.as_old_mut().name, path);
        if let Some(link) = link {
            put(&mut header.as_old_mut().linkname, link);
        }
        header.set_cksum();
        self.builder.append(header, content).map_err(map)
    }

    fn xattrs(&self, file: &impl AsFd, path: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ImportError> {
        let mut names = vec![0; XATTR_MAX];
        let length = match rustix::fs::flistxattr(file, &mut names[..]) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(error) => return Err(failed("read attributes of", path)(error.into())),
        };
        let mut found = Vec::new();
        for name in names
            .get(..length)
            .unwrap_or_default()
            .split(|byte| *byte == 0)
        {
            let wanted = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
                || name == b"security.capability";
            let Ok(text) = std::str::from_utf8(name) else {
                continue;
            };
            if !wanted {
                continue;
            }
            let mut value = vec![0; XATTR_MAX];
            let length = rustix::fs::fgetxattr(file, text, &mut value[..])
                .map_err(|error| failed("read attributes of", path)(error.into()))?;
            value.truncate(length);
            found.push((format!("SCHILY.xattr.{text}"), value));
        }
        found.sort();
        Ok(found)
    }
}

/// Opens what was looked at, and nothing that took its place.
fn open(
    parent: &OwnedFd,
    name: &CStr,
    path: &[u8],
    stat: &Stat,
    flags: OFlags,
) -> Result<OwnedFd, ImportError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
    let opened = openat(parent, name, flags, Mode::empty())
        .map_err(|error| failed("open", path)(error.into()))?;
    let now = rustix::fs::fstat(&opened).map_err(|error| failed("look at", path)(error.into()))?;
    if (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) {
        Ok(opened)
    } else {
        Err(ImportError::Changed { path: shown(path) })
    }
}

/// The stretches of a file that have data; none if there are too many, or no holes after all.
fn segments(file: &File, size: u64) -> io::Result<Option<Vec<(u64, u64)>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let begin = match seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin.min(size),
            Err(Errno::NXIO) => break,
            // Not every file system tells.
            Err(Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(begin))?.min(size);
        if end <= begin {
            break;
        }
        found.push((begin, end - begin));
        if found.len() > SEGMENTS_MAX {
            return Ok(None);
        }
        at = end;
    }
    let whole = found.first() == Some(&(0, size));
    (&*file).rewind()?;
    Ok((!whole).then_some(found))
}

/// A number as GNU writes it: octal, or base 256 where that does not fit.
fn octal(field: &mut [u8; 12], value: u64) {
    if value < 1 << 33 {
        let text = format!("{value:011o}\0");
        put(field, text.as_bytes());
    } else {
        field.fill(0);
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
}

fn put(field: &mut [u8], text: &[u8]) {
    field.fill(0);
    for (to, from) in field.iter_mut().zip(text) {
        *to = *from;
    }
}

/// A file that became shorter while it was read.
#[derive(Debug, thiserror::Error)]
#[error("it changed")]
struct Changed;

/// So many bytes of a file, or an error.
struct Exactly<'a> {
    file: &'a File,
    left: u64,
}

impl<'a> Exactly<'a> {
    fn new(file: &'a File, left: u64) -> Self {
        Self { file, left }
    }
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.take(self.left).read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::other(Changed));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// The data of a sparse file.
struct Segments<'a> {
    file: &'a File,
    segments: std::iter::Copied<std::slice::Iter<'a, (u64, u64)>>,
    current: Option<Exactly<'a>>,
}

impl Read for Segments<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                let read = current.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            let Some((offset, length)) = self.segments.next() else {
                return Ok(0);
            };
            let mut file = self.file;
            file.seek(io::SeekFrom::Start(offset))?;
            self.current = Some(Exactly::new(self.file, length));
        }
    }
}

const _: () = assert!(BLOCK == size_of::<tar::GnuExtSparseHeader>());
