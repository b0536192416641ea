//! What unpacking may make, and how much of it.

/// How layers are unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where overlayfs looks for its marks.
    pub marks: Marks,
    /// Whose the files become.
    pub ownership: Ownership,
    /// What becomes of character and block devices.
    pub devices: Special,
    /// What becomes of named pipes.
    pub fifos: Special,
    /// Bounds on one layer.
    pub limits: Limits,
    /// How many layers are unpacked at once in one process.
    pub parallel: usize,
}

impl Settings {
    /// For root, outside of any user namespace: owners as the layer says, no devices.
    pub fn privileged() -> Self {
        Self {
            marks: Marks::Trusted,
            ownership: Ownership::Kept,
            devices: Special::Refused,
            fifos: Special::Made,
            limits: Limits::default(),
            parallel: 4,
        }
    }

    /// For an ordinary user: everything belongs to that user, and the mount takes the option `userxattr`.
    pub fn unprivileged() -> Self {
        Self {
            marks: Marks::User,
            ownership: Ownership::Own,
            devices: Special::Skipped,
            ..Self::privileged()
        }
    }

    /// What fits this process: [`privileged`](Self::privileged) for root, [`unprivileged`](Self::unprivileged) otherwise.
    pub fn of_this_process() -> Self {
        if rustix::process::geteuid().is_root() {
            Self::privileged()
        } else {
            Self::unprivileged()
        }
    }
}

/// The extended attributes by which overlayfs knows an opaque directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.*`: mounts made by root.
    Trusted,
    /// `user.overlay.*`: mounts in a user namespace, with the option `userxattr`.
    User,
}

/// Whose the files become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The layer's user and group, which the process must be able to give (root, or mapped in its user namespace).
    Kept,
    /// The process's own. Setuid and setgid bits are left out: they would lend this user's rights, which is not what
    /// the layer says. File capabilities likewise.
    Own,
}

/// What becomes of a file that is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// It is made.
    Made,
    /// It is left out, and counted.
    Skipped,
    /// The layer is refused.
    Refused,
}

/// Bounds on one layer. What is beyond is refused while it is read, before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uncompressed archive.
    pub bytes: u64,
    /// Bytes of one file, holes included: what its size says, not what it takes on the disk.
    pub file_bytes: u64,
    /// Headers in the archive, and, apart from it, what is made: files, links, directories (also those that only other entries imply).
    pub entries: u64,
    /// How many uncompressed bytes a compressed one may become, once there are more than
    /// [`ratio_from`](Self::ratio_from) of them.
    pub ratio: u64,
    /// Uncompressed bytes up to which the ratio is not looked at: a file of zeros is not yet an attack.
    pub ratio_from: u64,
    /// The largest window that a zstd frame may ask for, as a power of two: the decompressor holds it in memory.
    pub zstd_window_log: u32,
}

impl Default for Limits {
    /// 64 GiB in a million entries; files to 4 TiB (`lastlog` of large user ids is sparse and huge); 1:200 from 1 GiB on;
    /// windows to 128 MiB, what zstd takes by default.
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            file_bytes: 4 << 40,
            entries: 1_000_000,
            ratio: 200,
            ratio_from: 1 << 30,
            zstd_window_log: 27,
        }
    }
}
