//! Removing a tree of any depth with two open directories and without following anything in it.

use std::{
    ffi::CString,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, RawDir, chmodat, fstat, openat, unlinkat},
    io::Errno,
};

/// How a directory is opened that must be one.
pub const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Removes what `name` in `parent` is, with all that is below it. That there is nothing is no error.
pub fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let name = CString::new(name)?;
    match unlinkat(parent, name.as_c_str(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    // The names from `parent` down to `dir`, and which directory each is in.
    let mut way = vec![(name, identity(parent)?)];
    let mut dir = enter(parent, &way)?;
    loop {
        if let Some(below) = first_full_directory(&dir)? {
            way.push((below, identity(dir.as_fd())?));
            dir = enter(dir.as_fd(), &way)?;
            continue;
        }
        // It is empty.
        let Some((name, above)) = way.pop() else {
            return Ok(());
        };
        if way.is_empty() {
            unlinkat(parent, name.as_c_str(), AtFlags::REMOVEDIR)?;
            return Ok(());
        }
        let up = openat(&dir, c"..", DIRECTORY, Mode::empty())?;
        if identity(up.as_fd())? != above {
            return Err(io::Error::other(
                "the directory was moved while it was removed",
            ));
        }
        unlinkat(&up, name.as_c_str(), AtFlags::REMOVEDIR)?;
        dir = up;
    }
}

/// Opens the last directory of a way, which is in `parent`.
fn enter(parent: BorrowedFd<'_>, way: &[(CString, (u64, u64))]) -> io::Result<OwnedFd> {
    let Some((name, _)) = way.last() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    // What its owner may not read or change cannot be emptied. For root it makes no difference.
    if !rustix::process::geteuid().is_root() {
        chmodat(parent, name.as_c_str(), Mode::RWXU, AtFlags::empty())?;
    }
    Ok(openat(parent, name.as_c_str(), DIRECTORY, Mode::empty())?)
}

/// Removes what is in a directory until there is a directory in the way that is not empty.
fn first_full_directory(dir: &OwnedFd) -> io::Result<Option<CString>> {
    let mut buffer = [const { MaybeUninit::uninit() }; 4096];
    loop {
        // Removing while reading may skip names on some file systems: it is over when a whole pass has found none.
        rustix::fs::seek(dir, rustix::fs::SeekFrom::Start(0))?;
        let mut names = RawDir::new(dir, &mut buffer);
        let mut found = false;
        while let Some(entry) = names.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            found = true;
            match unlinkat(dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
            match unlinkat(dir, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_owned())),
                Err(error) => return Err(error.into()),
            }
        }
        if !found {
            return Ok(None);
        }
    }
}

fn identity(dir: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}
