//! Writing the entries of a layer below one directory, for overlayfs.
//!
//! Nothing here uses a path that goes through more than the layer's own directories: each name is given to the kernel
//! relative to an open directory, which was found with `RESOLVE_BENEATH` and without links.

mod directories;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, Seek, SeekFrom, Write},
    ops::Bound,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, XattrFlags, chmodat, chownat, fchmod, fchown, fsetxattr,
        futimens, linkat, makedev, mknodat, openat, statat, symlinkat, utimensat,
    },
    io::Errno,
    process::{Gid, Uid},
};

use self::directories::{Directories, Directory, is_whiteout, timestamps};
use super::{
    Report,
    error::{EntryName, Refusal, UnpackError},
    name::{self, Meaning, is_allowed_xattr, split},
    settings::{Ownership, Settings, Special},
};
use crate::tar_reader::{Archive, Entry, Kind, Sparse, TarError};

/// The longest name and value of an extended attribute that the kernel takes.
const MAX_XATTR_NAME: usize = 255;
const MAX_XATTR_VALUE: usize = 64 << 10;
/// The most bytes of names of directories whose mode has to wait for the end.
const MAX_CLOSED: usize = 16 << 20;

/// What went wrong with an entry, whose name is known further up.
pub enum Failure {
    Refused(Refusal),
    Io(&'static str, io::Error),
    TooManyEntries(u64),
    Archive(TarError),
}

impl Failure {
    fn io<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Io(step, error.into())
    }

    pub fn of(self, entry: &[u8]) -> UnpackError {
        match self {
            Self::Refused(reason) => UnpackError::Refused {
                entry: EntryName::new(entry),
                reason,
            },
            Self::Io(step, source) => UnpackError::Entry {
                step,
                entry: EntryName::new(entry),
                source,
            },
            Self::TooManyEntries(bound) => UnpackError::TooManyEntries { bound },
            Self::Archive(error) => error.into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(reason: Refusal) -> Self {
        Self::Refused(reason)
    }
}

impl From<TarError> for UnpackError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Malformed { offset, reason } => Self::Malformed { offset, reason },
            TarError::TooManyEntries { bound } => Self::TooManyEntries { bound },
            TarError::Read(source) => Self::Read(source),
        }
    }
}

/// A layer's tree while it is written.
pub struct Tree<'a> {
    directories: Directories,
    settings: &'a Settings,
    report: Report,
    /// Modes of directories that shut their owner out, who still has to write in them. Root is shut out by none.
    closed: BTreeMap<Vec<u8>, Mode>,
    closed_bytes: usize,
    is_root: bool,
}

impl<'a> Tree<'a> {
    /// Begins in an empty directory.
    pub fn new(root: OwnedFd, settings: &'a Settings) -> Result<Self, UnpackError> {
        let directories = Directories::new(
            root,
            settings.ownership,
            settings.marks,
            settings.limits.entries,
        )
        .map_err(|failure| failure.of(b"."))?;
        Ok(Self {
            directories,
            settings,
            report: Report::default(),
            closed: BTreeMap::new(),
            closed_bytes: 0,
            is_root: rustix::process::geteuid().is_root(),
        })
    }

    /// Writes all entries of an archive.
    pub fn put_all<R: BufRead>(&mut self, archive: &mut Archive<R>) -> Result<(), UnpackError> {
        while let Some(entry) = archive.next_entry()? {
            self.put(&entry, archive)
                .map_err(|failure| failure.of(&entry.path))?;
        }
        Ok(())
    }

    /// Ends, and says what was made.
    pub fn finish(mut self) -> Result<Report, UnpackError> {
        // What is below comes before what is above.
        for (path, mode) in std::mem::take(&mut self.closed).into_iter().rev() {
            let shut = |directories: &mut Directories| {
                let directory = directories.get(&path)?;
                fchmod(&directory.fd, mode).map_err(Failure::io("set the mode of"))
            };
            shut(&mut self.directories).map_err(|failure| failure.of(&path))?;
        }
        self.directories
            .finish()
            .map_err(|failure| failure.of(b"."))?;
        Ok(self.report)
    }

    fn put<R: BufRead>(&mut self, entry: &Entry, archive: &mut Archive<R>) -> Result<(), Failure> {
        let path = match name::meaning(&entry.path)? {
            Meaning::Nothing => return Ok(()),
            Meaning::Opaque(path) => {
                let directory = self.directories.get(&path)?;
                self.report.whiteouts += 1;
                return self.directories.mark_opaque(&directory);
            }
            Meaning::Whiteout(path) => return self.whiteout(&path),
            Meaning::Root if entry.kind == Kind::Directory => Vec::new(),
            Meaning::Root => return Err(Refusal::Root.into()),
            Meaning::Path(path) => path,
        };
        if matches!(entry.kind, Kind::Directory) {
            self.directory(&path, entry)?;
        } else {
            self.other(&path, entry, archive)?;
        }
        Ok(())
    }

    fn other<R: BufRead>(
        &mut self,
        path: &[u8],
        entry: &Entry,
        archive: &mut Archive<R>,
    ) -> Result<(), Failure> {
        let (parent, name) = split(path);
        match entry.kind {
            Kind::File => {
                if entry.size > self.settings.limits.file_bytes {
                    return Err(Refusal::FileTooLarge.into());
                }
                let owner = self.owner(entry)?;
                let parent = self.directories.get(parent)?;
                self.file(&parent, path, name, entry, owner, archive)
            }
            Kind::HardLink => self.hard_link(path, entry),
            Kind::Symlink => {
                name::symlink_target(&entry.link)?;
                let owner = self.owner(entry)?;
                let parent = self.directories.get(parent)?;
                self.make(&parent, path, name, "make", |parent| {
                    symlinkat(entry.link.as_slice(), &parent.fd, name)
                })?;
                self.dress_by_name(&parent, name, entry, owner, None)
            }
            // Not a whiteout by the image specification, but overlayfs cannot tell it from one, whoever may make devices.
            Kind::Character if entry.device == (0, 0) => self.whiteout(path),
            Kind::Character | Kind::Block => {
                match self.settings.devices {
                    Special::Refused => return Err(Refusal::Device.into()),
                    Special::Skipped => self.report.skipped_specials += 1,
                    Special::Made => {
                        let device = device(entry.device)?;
                        let kind = match entry.kind {
                            Kind::Character => FileType::CharacterDevice,
                            _ => FileType::BlockDevice,
                        };
                        self.node(path, entry, kind, device)?;
                    }
                }
                Ok(())
            }
            Kind::Fifo => {
                match self.settings.fifos {
                    Special::Refused => return Err(Refusal::Fifo.into()),
                    Special::Skipped => self.report.skipped_specials += 1,
                    Special::Made => self.node(path, entry, FileType::Fifo, 0)?,
                }
                Ok(())
            }
            Kind::Directory | Kind::Other(_) => Err(Refusal::Kind.into()),
        }
    }

    fn directory(&mut self, path: &[u8], entry: &Entry) -> Result<(), Failure> {
        let owner = self.owner(entry)?;
        let directory = self.directories.get_in_place(path)?;
        if let Some((uid, gid)) = owner {
            fchown(&directory.fd, Some(uid), Some(gid)).map_err(Failure::io("set the owner of"))?;
        }
        self.xattrs(&directory.fd, entry)?;
        let mut mode = self.mode(entry);
        self.open_again(path);
        if !self.is_root && !mode.contains(Mode::RWXU) {
            self.closed_bytes += path.len();
            if self.closed_bytes > MAX_CLOSED {
                return Err(Failure::TooManyEntries(self.settings.limits.entries));
            }
            self.closed.insert(path.to_vec(), mode);
            mode |= Mode::RWXU;
        }
        fchmod(&directory.fd, mode).map_err(Failure::io("set the mode of"))?;
        directory.set_mtime(entry.mtime);
        self.report.entries += 1;
        Ok(())
    }

    /// Forgets the mode that a directory was to get at the end.
    fn open_again(&mut self, path: &[u8]) {
        if self.closed.remove(path).is_some() {
            self.closed_bytes -= path.len();
        }
    }

    fn file<R: BufRead>(
        &mut self,
        parent: &Directory,
        path: &[u8],
        name: &[u8],
        entry: &Entry,
        owner: Option<(Uid, Gid)>,
        archive: &mut Archive<R>,
    ) -> Result<(), Failure> {
        // Never an old file, and for nobody else to open before it is whole.
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(self.make(parent, path, name, "create", |parent| {
            openat(&parent.fd, name, flags, mode)
        })?);
        let written = match &entry.sparse {
            None => copy(archive, &mut file, u64::MAX)?,
            Some(segments) => copy_segments(archive, &mut file, segments, entry.size)?,
        };
        self.report.bytes += written;
        // In this order: a change of owner takes setuid bits and capabilities away, and before it they would be the
        // wrong user's.
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(uid), Some(gid)).map_err(Failure::io("set the owner of"))?;
        }
        self.xattrs(&file, entry)?;
        fchmod(&file, self.mode(entry)).map_err(Failure::io("set the mode of"))?;
        futimens(&file, &timestamps(entry.mtime)).map_err(Failure::io("set the time of"))
    }

    fn hard_link(&mut self, path: &[u8], entry: &Entry) -> Result<(), Failure> {
        let target = name::link_target(&entry.link)?;
        let (target_parent, target_name) = split(&target);
        let Some(target_parent) = self.directories.existing(target_parent)? else {
            return Err(Refusal::LinkMissing.into());
        };
        match statat(&target_parent.fd, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_whiteout(&stat) => return Err(Refusal::LinkMissing.into()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                return Err(Refusal::LinkToDirectory.into());
            }
            Ok(_) if target == path => return Ok(()),
            Ok(_) => {}
            Err(Errno::NOENT) => return Err(Refusal::LinkMissing.into()),
            Err(error) => return Err(Failure::io("look at the target of")(error)),
        }
        let (parent, name) = split(path);
        let parent = self.directories.get(parent)?;
        let link = |parent: &Directory| {
            // A symbolic link is linked itself, never what it points at.
            linkat(
                &target_parent.fd,
                target_name,
                &parent.fd,
                name,
                AtFlags::empty(),
            )
        };
        match self.make(&parent, path, name, "link", link) {
            // It was below what it replaces.
            Err(Failure::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(Refusal::LinkMissing.into())
            }
            result => result,
        }
    }

    fn node(
        &mut self,
        path: &[u8],
        entry: &Entry,
        kind: FileType,
        device: u64,
    ) -> Result<(), Failure> {
        let owner = self.owner(entry)?;
        let (parent, name) = split(path);
        let parent = self.directories.get(parent)?;
        let mode = Mode::RUSR | Mode::WUSR;
        self.make(&parent, path, name, "make", |parent| {
            mknodat(&parent.fd, name, kind, mode, device)
        })?;
        self.dress_by_name(&parent, name, entry, owner, Some(self.mode(entry)))
    }

    /// Hides what lower layers have at a path. What this layer has there itself stays, whichever came first.
    fn whiteout(&mut self, path: &[u8]) -> Result<(), Failure> {
        let (parent, name) = split(path);
        let parent = self.directories.get(parent)?;
        self.report.whiteouts += 1;
        self.directories.count()?;
        let mode = Mode::empty();
        match mknodat(
            &parent.fd,
            name,
            FileType::CharacterDevice,
            mode,
            makedev(0, 0),
        ) {
            Ok(()) => {
                parent.touch();
                Ok(())
            }
            Err(Errno::EXIST) => match self.directories.existing(path)? {
                Some(directory) => self.directories.mark_opaque(&directory),
                None => Ok(()),
            },
            Err(error) => Err(Failure::io("make")(error)),
        }
    }

    /// Makes something new, in the place of what the layer had there before.
    fn make<T>(
        &mut self,
        parent: &Directory,
        path: &[u8],
        name: &[u8],
        step: &'static str,
        make: impl Fn(&Directory) -> rustix::io::Result<T>,
    ) -> Result<T, Failure> {
        self.directories.count()?;
        self.report.entries += 1;
        parent.touch();
        match make(parent) {
            Err(Errno::EXIST) => {}
            result => return result.map_err(Failure::io(step)),
        }
        self.directories.clear(parent, path, name)?;
        let below = [path, b"/"].concat();
        while let Some(closed) = self
            .closed
            .range::<[u8], _>((Bound::Included(below.as_slice()), Bound::Unbounded))
            .next()
            .map(|(closed, _)| closed.clone())
            .filter(|closed| closed.starts_with(&below))
        {
            self.open_again(&closed);
        }
        self.open_again(path);
        make(parent).map_err(Failure::io(step))
    }

    /// Owner, mode and time of what cannot be opened without effect.
    fn dress_by_name(
        &self,
        parent: &Directory,
        name: &[u8],
        entry: &Entry,
        owner: Option<(Uid, Gid)>,
        mode: Option<Mode>,
    ) -> Result<(), Failure> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = owner {
            chownat(&parent.fd, name, Some(uid), Some(gid), flags)
                .map_err(Failure::io("set the owner of"))?;
        }
        if let Some(mode) = mode {
            // It was just made here, and is no link; before Linux 6.6 the kernel has no flag to say so.
            chmodat(&parent.fd, name, mode, AtFlags::empty())
                .map_err(Failure::io("set the mode of"))?;
        }
        utimensat(&parent.fd, name, &timestamps(entry.mtime), flags)
            .map_err(Failure::io("set the time of"))
    }

    fn owner(&self, entry: &Entry) -> Result<Option<(Uid, Gid)>, Failure> {
        // To the kernel the largest number means `leave it as it is`, which is root.
        let id = |id: i64| {
            u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or(Refusal::Owner)
        };
        let (uid, gid) = (id(entry.uid)?, id(entry.gid)?);
        Ok((self.settings.ownership == Ownership::Kept)
            .then(|| (Uid::from_raw(uid), Gid::from_raw(gid))))
    }

    fn mode(&self, entry: &Entry) -> Mode {
        let mode = Mode::from_raw_mode(entry.mode);
        match self.settings.ownership {
            Ownership::Kept => mode,
            Ownership::Own => mode - (Mode::SUID | Mode::SGID),
        }
    }

    fn xattrs(&mut self, file: impl AsFd, entry: &Entry) -> Result<(), Failure> {
        for (name, value) in &entry.xattrs {
            let is_capability = name == b"security.capability";
            if !is_allowed_xattr(name)
                || (is_capability && self.settings.ownership == Ownership::Own)
            {
                self.report.skipped_xattrs += 1;
                continue;
            }
            if name.len() > MAX_XATTR_NAME || value.len() > MAX_XATTR_VALUE || name.contains(&0) {
                return Err(Refusal::Xattr.into());
            }
            match fsetxattr(&file, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                // The file system has none.
                Err(Errno::NOTSUP) => self.report.skipped_xattrs += 1,
                Err(Errno::INVAL | Errno::RANGE | Errno::TOOBIG) => {
                    return Err(Refusal::Xattr.into());
                }
                Err(error) => return Err(Failure::io("set an extended attribute of")(error)),
            }
        }
        Ok(())
    }
}

fn device((major, minor): (i64, i64)) -> Result<u64, Refusal> {
    // Twelve and twenty bits are what Linux has.
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major @ ..=0xfff), Ok(minor @ ..=0xf_ffff)) => Ok(makedev(major, minor)),
        _ => Err(Refusal::DeviceNumber),
    }
}

/// Writes at most `len` bytes of the entry's data, and says how many there were.
fn copy<R: BufRead>(archive: &mut Archive<R>, file: &mut File, len: u64) -> Result<u64, Failure> {
    let mut rest = len;
    while rest > 0 {
        let data = archive.data().map_err(Failure::Archive)?;
        if data.is_empty() {
            break;
        }
        let count = data.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        file.write_all(data.get(..count).unwrap_or(data))
            .map_err(Failure::io("write"))?;
        archive.consume(count);
        rest -= count as u64;
    }
    Ok(len - rest)
}

/// Writes data where it belongs and nothing between.
fn copy_segments<R: BufRead>(
    archive: &mut Archive<R>,
    file: &mut File,
    segments: &[Sparse],
    size: u64,
) -> Result<u64, Failure> {
    let mut written = 0;
    for segment in segments {
        file.seek(SeekFrom::Start(segment.offset))
            .map_err(Failure::io("write"))?;
        written += copy(archive, file, segment.len)?;
    }
    file.set_len(size).map_err(Failure::io("write"))?;
    Ok(written)
}
