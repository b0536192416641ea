//! The directories of a layer that is being unpacked: found, made, kept open for a while.
//!
//! A directory's time of change must be the layer's in the end, and each file made in it changes it. Rather than keeping
//! all times until the end, which would be as much memory as somebody likes to put directories into a layer, what a
//! directory's time is to be is read when it is opened and put back when it is closed. Only a few are open at once.

use std::{
    cell::Cell,
    collections::HashMap,
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT, XattrFlags,
        fchmod, fchown, fsetxattr, fstat, futimens, mkdirat, openat2, statat, unlinkat,
    },
    io::Errno,
    process::{Gid, Uid},
};

use super::Failure;
use crate::tar_reader::Time;
use crate::unpack::{
    error::Refusal,
    remove::{DIRECTORY, remove},
    settings::{Marks, Ownership},
};

/// How many are kept open.
const KEPT: usize = 48;

/// Below here, through no link, and on one file system.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// An open directory.
pub struct Directory {
    pub fd: OwnedFd,
    /// What its time of change is to be when it is closed.
    mtime: Cell<Time>,
    touched: Cell<bool>,
    used: Cell<u64>,
}

impl Directory {
    fn new(fd: OwnedFd, mtime: Time, touched: bool) -> Self {
        Self {
            fd,
            mtime: Cell::new(mtime),
            touched: Cell::new(touched),
            used: Cell::new(0),
        }
    }

    fn existing(fd: OwnedFd) -> Result<Self, Failure> {
        let stat = fstat(&fd).map_err(Failure::io("look at the directory of"))?;
        let mtime = Time {
            seconds: stat.st_mtime,
            // Of the kernel's, which stays below a thousand million.
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        };
        Ok(Self::new(fd, mtime, false))
    }

    /// Says that something in it was made or removed.
    pub fn touch(&self) {
        self.touched.set(true);
    }

    /// Sets the time of change that it is to have.
    pub fn set_mtime(&self, mtime: Time) {
        self.mtime.set(mtime);
        self.touched.set(true);
    }

    fn restore(&self) -> Result<(), Failure> {
        if self.touched.replace(false) {
            futimens(&self.fd, &timestamps(self.mtime.get()))
                .map_err(Failure::io("set the time of the directory of"))?;
        }
        Ok(())
    }
}

/// The times that a file gets: when it is read is nobody's business.
pub fn timestamps(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: mtime.nanoseconds.into(),
        },
    }
}

/// What to do with something that is where a directory has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InTheWay {
    Refused,
    Replaced,
}

/// The directories of one layer.
pub struct Directories {
    root: Rc<Directory>,
    open: HashMap<Vec<u8>, Rc<Directory>>,
    clock: u64,
    ownership: Ownership,
    marks: Marks,
    /// What was made, directories and others, and how much may be.
    made: u64,
    max_made: u64,
}

impl Directories {
    /// Begins with an empty directory.
    pub fn new(
        root: OwnedFd,
        ownership: Ownership,
        marks: Marks,
        max_made: u64,
    ) -> Result<Self, Failure> {
        // Made as if an entry implied it; most layers say more of it later.
        let root = Rc::new(Directory::new(root, Time::default(), true));
        match rustix::fs::fremovexattr(&root.fd, "system.posix_acl_default") {
            // A default list of who may do what, inherited from the host, would be put on every file of the layer.
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(Failure::io("clear the access list of")(error)),
        }
        let directories = Self {
            root,
            open: HashMap::new(),
            clock: 0,
            ownership,
            marks,
            made: 0,
            max_made,
        };
        directories.dress_implied(&directories.root)?;
        Ok(directories)
    }

    /// Counts something that is made.
    pub fn count(&mut self) -> Result<(), Failure> {
        self.made += 1;
        match self.made > self.max_made {
            true => Err(Failure::TooManyEntries(self.max_made)),
            false => Ok(()),
        }
    }

    /// The directory at a path, made if there is none, with those above it.
    pub fn get(&mut self, path: &[u8]) -> Result<Rc<Directory>, Failure> {
        self.find_or_make(path, InTheWay::Refused)
    }

    /// The same, and what else may be at that path is replaced.
    pub fn get_in_place(&mut self, path: &[u8]) -> Result<Rc<Directory>, Failure> {
        self.find_or_make(path, InTheWay::Replaced)
    }

    /// The directory at a path, if there is one.
    pub fn existing(&mut self, path: &[u8]) -> Result<Option<Rc<Directory>>, Failure> {
        if let Some(known) = self.known(path) {
            return Ok(Some(known));
        }
        match open_below(&self.root, path) {
            Ok(fd) => self.keep(path, Directory::existing(fd)?).map(Some),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(refusal_of(error)),
        }
    }

    fn find_or_make(&mut self, path: &[u8], way: InTheWay) -> Result<Rc<Directory>, Failure> {
        if let Some(known) = self.existing(path)? {
            return Ok(known);
        }
        // Step by step, from the deepest that is open.
        let mut at = path.len();
        let mut directory = loop {
            at = path
                .get(..at)
                .and_then(|path| path.iter().rposition(|byte| *byte == b'/'))
                .unwrap_or(0);
            let known = self.known(path.get(..at).unwrap_or_default());
            if let Some(known) = known {
                break known;
            }
        };
        while at < path.len() {
            let start = if at == 0 { 0 } else { at + 1 };
            let rest = path.get(start..).unwrap_or_default();
            let len = rest.iter().position(|byte| *byte == b'/');
            let name = rest.get(..len.unwrap_or(rest.len())).unwrap_or_default();
            at = start + name.len();
            let is_last = at == path.len();
            let way = if is_last { way } else { InTheWay::Refused };
            directory = self.step(&directory, path.get(..at).unwrap_or(path), name, way)?;
        }
        Ok(directory)
    }

    /// The directory of that name in another, found or made.
    fn step(
        &mut self,
        parent: &Directory,
        path: &[u8],
        name: &[u8],
        way: InTheWay,
    ) -> Result<Rc<Directory>, Failure> {
        if let Some(known) = self.known(path) {
            return Ok(known);
        }
        let mut was_hidden = false;
        match open_below(parent, name) {
            Ok(fd) => return self.keep(path, Directory::existing(fd)?),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let stat = statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(Failure::io("look at what is in the place of"))?;
                was_hidden = is_whiteout(&stat);
                match FileType::from_raw_mode(stat.st_mode) {
                    _ if was_hidden || way == InTheWay::Replaced => {}
                    FileType::Symlink => return Err(Refusal::ThroughSymlink.into()),
                    _ => return Err(Refusal::NotDirectory.into()),
                }
                unlinkat(&parent.fd, name, AtFlags::empty())
                    .map_err(Failure::io("remove what is in the place of"))?;
            }
            Err(error) => return Err(refusal_of(error)),
        }
        self.count()?;
        parent.touch();
        mkdirat(&parent.fd, name, Mode::RWXU).map_err(Failure::io("make the directory of"))?;
        let fd = open_below(parent, name).map_err(refusal_of)?;
        let directory = Directory::new(fd, Time::default(), true);
        self.dress_implied(&directory)?;
        if was_hidden {
            self.mark_opaque(&directory)?;
        }
        self.keep(path, directory)
    }

    /// What a directory is like that only other entries imply: root's, for everybody to read.
    fn dress_implied(&self, directory: &Directory) -> Result<(), Failure> {
        if self.ownership == Ownership::Kept {
            fchown(&directory.fd, Some(Uid::ROOT), Some(Gid::ROOT))
                .map_err(Failure::io("set the owner of the directory of"))?;
        }
        fchmod(&directory.fd, Mode::from_raw_mode(0o755))
            .map_err(Failure::io("set the mode of the directory of"))
    }

    /// Hides what lower layers have in it.
    pub fn mark_opaque(&self, directory: &Directory) -> Result<(), Failure> {
        let name = match self.marks {
            Marks::Trusted => "trusted.overlay.opaque",
            Marks::User => "user.overlay.opaque",
        };
        fsetxattr(&directory.fd, name, b"y", XattrFlags::empty())
            .map_err(Failure::io("mark as opaque the directory of"))
    }

    /// Removes what a name in a directory is, so that something else can be made there.
    pub fn clear(&mut self, parent: &Directory, path: &[u8], name: &[u8]) -> Result<(), Failure> {
        // Those below are gone, with the times that they were to have.
        self.open.retain(|open, _| {
            let below = open.strip_prefix(path);
            !matches!(below, Some([] | [b'/', ..]))
        });
        parent.touch();
        remove(parent.fd.as_fd(), name)
            .map_err(|source| Failure::Io("remove what is in the place of", source))
    }

    fn known(&mut self, path: &[u8]) -> Option<Rc<Directory>> {
        if path.is_empty() {
            return Some(self.root.clone());
        }
        self.clock += 1;
        let known = self.open.get(path)?;
        known.used.set(self.clock);
        Some(known.clone())
    }

    fn keep(&mut self, path: &[u8], directory: Directory) -> Result<Rc<Directory>, Failure> {
        if self.open.len() >= KEPT {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used.get());
            if let Some(path) = oldest.map(|(path, _)| path.clone())
                && let Some(directory) = self.open.remove(&path)
            {
                directory.restore()?;
            }
        }
        self.clock += 1;
        directory.used.set(self.clock);
        let directory = Rc::new(directory);
        self.open.insert(path.to_vec(), directory.clone());
        Ok(directory)
    }

    /// Closes all.
    pub fn finish(self) -> Result<(), Failure> {
        for directory in self.open.values() {
            directory.restore()?;
        }
        self.root.restore()
    }
}

/// Whether this is how overlayfs hides a name.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn open_below(directory: &Directory, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    // The kernel asks to try again when something was renamed meanwhile.
    for _ in 0..100 {
        match openat2(&directory.fd, path, DIRECTORY, Mode::empty(), RESOLVE) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

fn refusal_of(error: Errno) -> Failure {
    match error {
        Errno::XDEV => Refusal::OtherFileSystem.into(),
        Errno::LOOP => Refusal::ThroughSymlink.into(),
        Errno::NOTDIR => Refusal::NotDirectory.into(),
        Errno::NAMETOOLONG => Refusal::NameTooLong.into(),
        error => Failure::Io("open the directory of", io::Error::from(error)),
    }
}
