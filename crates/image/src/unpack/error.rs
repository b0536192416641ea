//! What goes wrong while a layer is unpacked.

use std::{fmt, io, path::PathBuf};

use crate::digest::DigestError;
use crate::tar_reader::MalformedReason;

/// The name of an entry as people can read it: what is not printable is escaped, what is long is cut.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryName(Box<[u8]>);

impl EntryName {
    /// How much of a name is kept, in bytes.
    const KEPT: usize = 256;

    pub(crate) fn new(name: &[u8]) -> Self {
        // One more, which tells that there was more.
        Self(name.get(..=Self::KEPT).unwrap_or(name).into())
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.0.get(..Self::KEPT);
        let text = String::from_utf8_lossy(kept.unwrap_or(&self.0));
        let end = if self.0.len() > Self::KEPT { "…" } else { "" };
        write!(f, "`{}{end}`", text.escape_debug())
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why an entry is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The name is absolute.
    #[error("its name is absolute")]
    Absolute,
    /// The name leaves the layer.
    #[error("its name has `..` in it")]
    Parent,
    /// The name has a NUL in it.
    #[error("its name has a NUL in it")]
    Nul,
    /// A part of the name is longer than file systems take, or the whole is.
    #[error("its name is too long")]
    NameTooLong,
    /// What is to be the layer's root is no directory.
    #[error("it would put something other than a directory in the place of the layer's root")]
    Root,
    /// The way to it goes through a symbolic link of the layer.
    #[error("the way to it goes through a symbolic link")]
    ThroughSymlink,
    /// The way to it goes through a file.
    #[error("the way to it goes through something that is not a directory")]
    NotDirectory,
    /// The way to it leaves the file system.
    #[error("the way to it leaves the file system that the layer is on")]
    OtherFileSystem,
    /// A whiteout of nothing, of `.` or of `..`.
    #[error("it is a whiteout of no name that a directory could hold")]
    Whiteout,
    /// A name that begins with `.wh.` has something below it.
    #[error("a part of its name is that of a whiteout, below which there is nothing")]
    BelowWhiteout,
    /// The target of a hard link is absolute, has `..` in it, or is otherwise no name in the layer.
    #[error("the target of the hard link is not within the layer")]
    LinkOutside,
    /// The layer has no such target.
    #[error("the target of the hard link is not in the layer")]
    LinkMissing,
    /// The target is a directory.
    #[error("the target of the hard link is a directory")]
    LinkToDirectory,
    /// A symbolic link to nothing, with a NUL in its target, or to a name that is too long.
    #[error("the target of the symbolic link is empty, too long, or has a NUL in it")]
    LinkTarget,
    /// A device, where they are not allowed.
    #[error("it is a device, and devices are not allowed")]
    Device,
    /// A device number that does not exist.
    #[error("there is no such device number")]
    DeviceNumber,
    /// A named pipe, where they are not allowed.
    #[error("it is a named pipe, and named pipes are not allowed")]
    Fifo,
    /// A type flag that means nothing here.
    #[error("it is of a type that layers do not have")]
    Kind,
    /// A user or group id that does not fit into 32 bits, or that the kernel reads as none.
    #[error("its user or group id is out of range")]
    Owner,
    /// A file larger than is allowed.
    #[error("it is larger than a file may be")]
    FileTooLarge,
    /// An extended attribute that the file system has no room for, or with a name or value that none takes.
    #[error("an extended attribute of it is malformed or too large")]
    Xattr,
}

/// Why a layer was not unpacked. Nothing is left of it then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// An entry that a layer may not have.
    #[error("entry {entry} of the layer is refused: {reason}")]
    Refused {
        /// Its name.
        entry: EntryName,
        /// Why.
        reason: Refusal,
    },
    /// The file system did not take an entry.
    #[error("cannot {step} entry {entry} of the layer")]
    Entry {
        /// What was tried.
        step: &'static str,
        /// The entry's name.
        entry: EntryName,
        /// What the kernel says.
        source: io::Error,
    },
    /// The bytes are no archive.
    #[error("the layer's archive is malformed before byte {offset}: {reason}")]
    Malformed {
        /// How far reading had come in the uncompressed archive.
        offset: u64,
        /// What is wrong.
        reason: MalformedReason,
    },
    /// The compressed bytes do not come.
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    /// The compressed bytes cannot be decompressed.
    #[error("cannot decompress the layer ({compression})")]
    Decompress {
        /// `gzip` or `zstd`.
        compression: &'static str,
        /// What is wrong with them.
        source: io::Error,
    },
    /// A compression that layers do not have.
    #[error("the layer is compressed with {compression}, which image layers are not")]
    Compression {
        /// Its name.
        compression: &'static str,
    },
    /// The bytes are not the descriptor's, or what they decompress to is not what the image's configuration names.
    #[error("the layer's {of} is not what was declared")]
    Content {
        /// `content` or `diff id`.
        of: &'static str,
        /// What was declared and what is.
        source: DigestError,
    },
    /// More uncompressed bytes than allowed.
    #[error("the layer is larger than {bound} bytes uncompressed")]
    TooLarge {
        /// The bound.
        bound: u64,
    },
    /// It grows more than anything that is not an attack.
    #[error("the layer grows to more than {ratio} times its size when it is decompressed")]
    Bomb {
        /// The bound.
        ratio: u64,
    },
    /// More entries than allowed.
    #[error("the layer has more than {bound} entries")]
    TooManyEntries {
        /// The bound.
        bound: u64,
    },
    /// Whoever wanted the layer no longer does.
    #[error("unpacking the layer was given up")]
    GivenUp,
    /// Something about the directory of layers.
    #[error("cannot {step} {}", path.display())]
    Directory {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}
