//! What the name of an entry means, as the image specification says it (layer.md), decided on bytes alone.

use super::error::Refusal;

/// The longest name that the kernel takes, its NUL not counted.
pub const MAX_PATH: usize = 4095;
/// The longest part of one.
const MAX_NAME: usize = 255;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bookkeeping of aufs, which old programs left in layers: no files, and no whiteouts either.
const META: &[u8] = b".wh..wh.";

/// What an entry's name asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// The layer's root.
    Root,
    /// Something in the layer, at this path.
    Path(Vec<u8>),
    /// What lower layers have at this path is hidden.
    Whiteout(Vec<u8>),
    /// What lower layers have in this directory (empty: the root) is hidden.
    Opaque(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// Reads a name: parts that are empty or `.` mean nothing, and the result has none of them.
pub fn meaning(name: &[u8]) -> Result<Meaning, Refusal> {
    let path = normal(name)?;
    if path.is_empty() {
        return Ok(Meaning::Root);
    }
    let (parent, last) = split(&path);
    for part in parent.split(|byte| *byte == b'/') {
        if part.starts_with(META) {
            return Ok(Meaning::Nothing);
        }
        if part.starts_with(WHITEOUT) {
            return Err(Refusal::BelowWhiteout);
        }
    }
    if last == OPAQUE {
        return Ok(Meaning::Opaque(parent.to_vec()));
    }
    if last.starts_with(META) {
        return Ok(Meaning::Nothing);
    }
    match last.strip_prefix(WHITEOUT) {
        None => Ok(Meaning::Path(path)),
        Some(b"" | b"." | b"..") => Err(Refusal::Whiteout),
        Some(hidden) => Ok(Meaning::Whiteout(join(parent, hidden))),
    }
}

/// The target of a hard link as a path in the layer.
pub fn link_target(name: &[u8]) -> Result<Vec<u8>, Refusal> {
    match normal(name) {
        Ok(path) if path.is_empty() => Err(Refusal::LinkToDirectory),
        Ok(path) => Ok(path),
        Err(_) => Err(Refusal::LinkOutside),
    }
}

/// Judges the target of a symbolic link, which may say anything: nothing here ever follows it.
pub fn symlink_target(target: &[u8]) -> Result<(), Refusal> {
    match target {
        [] => Err(Refusal::LinkTarget),
        target if target.len() > MAX_PATH || target.contains(&0) => Err(Refusal::LinkTarget),
        _ => Ok(()),
    }
}

/// Splits a path at its last slash; what has none is in the root, which is empty.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        // `at` is a position in the path.
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (b"", path),
    }
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    match parent {
        b"" => name.to_vec(),
        parent => [parent, b"/", name].concat(),
    }
}

fn normal(name: &[u8]) -> Result<Vec<u8>, Refusal> {
    if name.contains(&0) {
        return Err(Refusal::Nul);
    }
    if name.starts_with(b"/") {
        return Err(Refusal::Absolute);
    }
    let mut path = Vec::with_capacity(name.len().min(MAX_PATH));
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(Refusal::Parent),
            part if part.len() > MAX_NAME || path.len() + part.len() >= MAX_PATH => {
                return Err(Refusal::NameTooLong);
            }
            part => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    Ok(path)
}

/// Whether an extended attribute of a layer is one that it may set: what programs keep with their files, and file
/// capabilities. Not overlayfs's own, by which a layer could point into others, and not those by which the host's
/// kernel judges who may do what.
pub fn is_allowed_xattr(name: &[u8]) -> bool {
    match name.strip_prefix(b"user.") {
        Some(rest) => !rest.starts_with(b"overlay.") && !rest.starts_with(b"fuseoverlayfs."),
        None => name == b"security.capability",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Meaning, is_allowed_xattr, link_target, meaning, split};
    use crate::unpack::error::Refusal;

    fn path(text: &str) -> Result<Meaning, Refusal> {
        Ok(Meaning::Path(text.into()))
    }

    #[test]
    fn names_are_made_plain() {
        assert_eq!(meaning(b"a"), path("a"));
        assert_eq!(meaning(b"./a//b/./c/"), path("a/b/c"));
        for root in [&b""[..], b".", b"./", ".///.".as_bytes()] {
            assert_eq!(meaning(root), Ok(Meaning::Root));
        }
        assert_eq!(meaning(b"..a/b.."), path("..a/b.."));
        assert_eq!(
            meaning(b"\xff\xfe"),
            Ok(Meaning::Path(b"\xff\xfe".to_vec()))
        );
    }

    #[test]
    fn names_that_leave_or_lie_are_refused() {
        assert_eq!(meaning(b"/a"), Err(Refusal::Absolute));
        for name in ["..", "../a", "a/../b", "a/..", "./.."] {
            assert_eq!(meaning(name.as_bytes()), Err(Refusal::Parent), "{name}");
        }
        assert_eq!(meaning(b"a\0b"), Err(Refusal::Nul));
        assert_eq!(meaning(&[b'a'; 256]), Err(Refusal::NameTooLong));
        assert!(meaning(&[b'a'; 255]).is_ok());
        let deep = |times| b"abc/".repeat(times);
        assert!(meaning(&deep(1024)).is_ok());
        assert_eq!(meaning(&deep(1025)), Err(Refusal::NameTooLong));
        // What means nothing does not count.
        assert_eq!(meaning(&b"./".repeat(100_000)), Ok(Meaning::Root));
    }

    #[test]
    fn whiteouts_are_of_one_name_in_a_directory() {
        let whiteout = |text: &str| Ok(Meaning::Whiteout(text.into()));
        assert_eq!(meaning(b".wh.a"), whiteout("a"));
        assert_eq!(meaning(b"./d/.wh.a"), whiteout("d/a"));
        assert_eq!(meaning(b"d/.wh.a/"), whiteout("d/a"));
        assert_eq!(meaning(b".wh...."), whiteout("..."));
        assert_eq!(meaning(b".wh..wh..opq"), Ok(Meaning::Opaque(vec![])));
        assert_eq!(
            meaning(b"d/.wh..wh..opq"),
            Ok(Meaning::Opaque(b"d".to_vec()))
        );
        for name in [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh..."] {
            assert_eq!(meaning(name.as_bytes()), Err(Refusal::Whiteout), "{name}");
        }
        assert_eq!(meaning(b".wh.a/b"), Err(Refusal::BelowWhiteout));
        for name in [".wh..wh.plnk/1.2", ".wh..wh.aufs", "d/.wh..wh.orph"] {
            assert_eq!(meaning(name.as_bytes()), Ok(Meaning::Nothing), "{name}");
        }
    }

    #[test]
    fn hard_links_stay_within() {
        assert_eq!(link_target(b"./a/b"), Ok(b"a/b".to_vec()));
        for name in ["/a", "../a", "a/../../b", "a\0"] {
            assert_eq!(
                link_target(name.as_bytes()),
                Err(Refusal::LinkOutside),
                "{name}"
            );
        }
        assert_eq!(link_target(b"."), Err(Refusal::LinkToDirectory));
    }

    #[test]
    fn attributes_of_overlayfs_are_not_the_layers() {
        for name in ["user.a", "user.mime_type", "security.capability"] {
            assert!(is_allowed_xattr(name.as_bytes()), "{name}");
        }
        for name in [
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "trusted.a",
            "user.overlay.opaque",
            "user.overlay.metacopy",
            "user.fuseoverlayfs.opaque",
            "security.selinux",
            "security.ima",
            "system.posix_acl_access",
            "",
        ] {
            assert!(!is_allowed_xattr(name.as_bytes()), "{name}");
        }
    }

    proptest! {
        /// Whatever the name: a path that comes of it can be walked down from the root part by part.
        #[test]
        fn paths_only_go_down(name in "(\\.{0,3}|/|\\.wh\\.|a|b\0|opq){0,12}") {
            let (Ok(Meaning::Path(path) | Meaning::Whiteout(path)), _) = (meaning(name.as_bytes()), ()) else {
                return Ok(());
            };
            for part in path.split(|byte| *byte == b'/') {
                prop_assert!(!matches!(part, b"" | b"." | b".."));
                prop_assert!(!part.contains(&0));
            }
            let (parent, last) = split(&path);
            prop_assert!(!last.is_empty());
            prop_assert!(parent.is_empty() || path.starts_with(parent));
            prop_assert_eq!(meaning(&path).is_ok() || path.starts_with(b".wh."), true);
        }
    }
}
