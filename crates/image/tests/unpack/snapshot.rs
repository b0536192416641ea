//! What a tree is, in lines that can be compared.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
};

use mosaic_image::digest::sha256;

/// All that a user could notice of each file below a directory, and of itself: type, mode, owner, time, size, content,
/// target, device number, which other names it has, extended attributes.
pub fn snapshot(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut names = HashMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let name = path.strip_prefix(root).unwrap();
        let name = name.as_os_str().as_bytes().escape_ascii().to_string();
        let what = if kind.is_dir() {
            let mut below: Vec<_> = fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            // The last is looked at first.
            below.sort_by(|a, b| b.cmp(a));
            todo.extend(below);
            "directory".to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_char_device() {
            format!("char {}", meta.rdev())
        } else if kind.is_block_device() {
            format!("block {}", meta.rdev())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            let content = fs::read(&path).unwrap();
            format!("{} bytes {}", content.len(), sha256(&content))
        };
        // Of several names of one file, each says the first.
        let same = if kind.is_dir() {
            String::new()
        } else {
            let first = names
                .entry(meta.ino())
                .or_insert_with(|| name.clone())
                .clone();
            format!(" = {first} ({})", meta.nlink())
        };
        let line = format!(
            "{what} {:o} {}:{} {}.{:09}{same}{}",
            meta.mode() & 0o7777,
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec(),
            xattrs(&path),
        );
        found.insert(name, line);
    }
    found
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0u8; 64 << 10];
    let len = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let mut texts: Vec<_> = names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0u8; 64 << 10];
            let len = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
            format!(" {}={}", name.escape_ascii(), value[..len].escape_ascii())
        })
        .collect();
    texts.sort();
    texts.concat()
}

/// Fails with what is different.
pub fn assert_same(left: &Path, right: &Path) {
    let (left, right) = (snapshot(left), snapshot(right));
    let mut names: Vec<_> = left.keys().chain(right.keys()).collect();
    names.sort();
    names.dedup();
    let different: Vec<_> = names
        .into_iter()
        .filter(|name| left.get(*name) != right.get(*name))
        .take(10)
        .map(|name| format!("{name}:\n  {:?}\n  {:?}", left.get(name), right.get(name)))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}
