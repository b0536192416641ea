//! Images from trees of files.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use mosaic_image::config::Changes;
use mosaic_image::import::{ImportError, ImportOptions, TreeOptions, import, write_layer};
use mosaic_image::place::read_config;
use mosaic_image::{Place, digest};

use crate::common::{layout, name, skopeo};

fn tree(directory: &Path) {
    fs::create_dir(directory.join("bin")).unwrap();
    fs::write(directory.join("bin/app"), b"#!/bin/sh\n").unwrap();
    fs::set_permissions(
        directory.join("bin/app"),
        fs::Permissions::from_mode(0o4755),
    )
    .unwrap();
    fs::hard_link(directory.join("bin/app"), directory.join("bin/other")).unwrap();
    symlink("bin/app", directory.join("link")).unwrap();
    symlink("x".repeat(150), directory.join("long-link")).unwrap();
    let long = directory.join("d".repeat(120));
    fs::create_dir(&long).unwrap();
    fs::write(long.join("f".repeat(120)), b"deep").unwrap();
    fs::create_dir(directory.join("empty")).unwrap();
    fs::set_permissions(directory.join("empty"), fs::Permissions::from_mode(0o1777)).unwrap();
}

fn plain(tree: &Path, options: &TreeOptions) -> Vec<u8> {
    let mut packed = Vec::new();
    let layer = write_layer(tree, &mut packed, options).unwrap();
    assert_eq!(
        (layer.digest, layer.size),
        (digest::sha256(&packed), packed.len() as u64)
    );
    let mut tar = Vec::new();
    let mut gzip = flate2::read::GzDecoder::new(&packed[..]);
    gzip.read_to_end(&mut tar).unwrap();
    assert_eq!(layer.diff_id, digest::sha256(&tar));
    tar
}

/// Unpacked by tar, which is nobody's of us.
fn unpacked(tar: &[u8]) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("layer.tar");
    fs::write(&file, tar).unwrap();
    let root = out.path().join("root");
    fs::create_dir(&root).unwrap();
    let status = Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "-xpf"])
        .arg(&file)
        .arg("-C")
        .arg(&root)
        .status()
        .unwrap();
    assert!(status.success());
    out
}

fn names(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect()
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    tree(directory.path());
    let tar = plain(directory.path(), &TreeOptions::default());
    let out = unpacked(&tar);
    let root = out.path().join("root");
    assert_eq!(fs::read(root.join("bin/app")).unwrap(), b"#!/bin/sh\n");
    let app = fs::metadata(root.join("bin/app")).unwrap();
    assert_eq!(app.mode() & 0o7777, 0o4755);
    assert_eq!(
        app.ino(),
        fs::metadata(root.join("bin/other")).unwrap().ino()
    );
    assert_eq!(
        fs::read_link(root.join("link")).unwrap(),
        Path::new("bin/app")
    );
    assert_eq!(
        fs::read_link(root.join("long-link")).unwrap(),
        Path::new(&"x".repeat(150))
    );
    let deep = root.join("d".repeat(120)).join("f".repeat(120));
    assert_eq!(fs::read(deep).unwrap(), b"deep");
    let empty = fs::metadata(root.join("empty")).unwrap();
    assert_eq!(empty.mode() & 0o7777, 0o1777);
    let before = fs::metadata(directory.path().join("empty")).unwrap();
    assert_eq!((empty.mtime(), empty.uid()), (before.mtime(), before.uid()));
    // Packed again, it is the same layer.
    assert!(plain(&root, &TreeOptions::default()) == tar);
}

#[test]
fn the_same_tree_is_the_same_layer() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (directory, order) in [(&one, ["a", "b", "c"]), (&two, ["c", "a", "b"])] {
        for file in order {
            fs::write(directory.path().join(file), file).unwrap();
        }
    }
    let file = fs::File::open(two.path().join("b")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let options = TreeOptions {
        mtime_max: Some(0),
        owner: Some((3_000_000_000, 0)),
        ..TreeOptions::default()
    };
    let made = |directory: &Path| write_layer(directory, std::io::sink(), &options).unwrap();
    assert_eq!(made(one.path()), made(two.path()));
    let mut archive = tar::Archive::new(std::io::Cursor::new(plain(one.path(), &options)));
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        assert_eq!(entry.header().uid().unwrap(), 3_000_000_000);
    }
    let at_most = TreeOptions {
        mtime_max: Some(5),
        ..options
    };
    let mut archive = tar::Archive::new(std::io::Cursor::new(plain(two.path(), &at_most)));
    let times: Vec<u64> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().header().mtime().unwrap())
        .collect();
    assert_eq!(times, [5, 0, 5]);
}

#[test]
fn holes_stay_holes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse");
    let mut file = fs::File::create(&path).unwrap();
    // More stretches than one header has room for, and a hole at the end.
    for number in 0..30u64 {
        file.seek(SeekFrom::Start(number << 20)).unwrap();
        file.write_all(format!("stretch {number}").as_bytes())
            .unwrap();
    }
    file.set_len(1 << 30).unwrap();
    drop(file);
    if fs::metadata(&path).unwrap().blocks() * 512 >= 1 << 30 {
        eprintln!("this file system has no holes: nothing to see here");
        return;
    }
    let tar = plain(directory.path(), &TreeOptions::default());
    assert!(tar.len() < 1 << 20, "{}", tar.len());
    let out = unpacked(&tar);
    let mut back = fs::File::open(out.path().join("root/sparse")).unwrap();
    let meta = back.metadata().unwrap();
    assert_eq!(meta.len(), 1 << 30);
    assert!(meta.blocks() * 512 < 1 << 24);
    for number in 0..30u64 {
        let mut text = [0; 16];
        back.seek(SeekFrom::Start(number << 20)).unwrap();
        back.read_exact(&mut text).unwrap();
        assert!(text.starts_with(format!("stretch {number}").as_bytes()));
    }
}

#[test]
fn attributes_are_those_that_a_layer_may_have() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, b"x").unwrap();
    if rustix::fs::setxattr(
        &path,
        "user.kept",
        b"value\0\n",
        rustix::fs::XattrFlags::empty(),
    )
    .is_err()
    {
        eprintln!("this file system has no attributes: nothing to see here");
        return;
    }
    let _ = rustix::fs::setxattr(
        &path,
        "trusted.left",
        b"out",
        rustix::fs::XattrFlags::empty(),
    );
    let tar = plain(directory.path(), &TreeOptions::default());
    let text = String::from_utf8_lossy(&tar);
    assert!(text.contains("SCHILY.xattr.user.kept=value\0\n"));
    assert!(!text.contains("trusted.left"));
}

#[test]
fn devices_are_roots() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("devices need root: nothing to see here");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        directory.path().join("zero"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from(0o600),
        rustix::fs::makedev(1, 5),
    )
    .unwrap();
    assert_eq!(
        names(&plain(directory.path(), &TreeOptions::default())),
        ["zero"]
    );
    let without = TreeOptions {
        devices: false,
        ..TreeOptions::default()
    };
    let error = write_layer(directory.path(), std::io::sink(), &without).unwrap_err();
    assert!(matches!(error, ImportError::Device { path } if path == "zero"));
}

#[tokio::test]
async fn an_image_is_made_of_a_tree_and_another_on_it() {
    let (files, more, images) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    tree(files.path());
    fs::write(more.path().join("added"), b"more").unwrap();
    let place = layout(images.path()).await;
    let options = ImportOptions {
        changes: Changes {
            entrypoint: Some(vec!["/bin/app".into()]),
            env: vec!["A=1".into()],
            ..Changes::default()
        },
        ..ImportOptions::default()
    };
    let base = import(
        files.path(),
        &place,
        &name("base:1"),
        &place.staging(),
        &options,
    )
    .await
    .unwrap();
    let on_it = ImportOptions {
        base: Some(name("base:1")),
        changes: Changes {
            cmd: Some(vec!["serve".into()]),
            ..Changes::default()
        },
        ..ImportOptions::default()
    };
    let child = import(
        more.path(),
        &place,
        &name("child:1"),
        &place.staging(),
        &on_it,
    )
    .await
    .unwrap();
    assert_eq!(child.layers()[..1], *base.layers());
    assert_eq!(
        child.annotations()["org.opencontainers.image.base.digest"],
        base.digest().as_ref()
    );
    let config = read_config(&place, &name("child:1"), &child).await.unwrap();
    let run = config.run().unwrap();
    assert_eq!(run.entrypoint().as_deref().unwrap(), ["/bin/app"]);
    assert_eq!(run.cmd().as_deref().unwrap(), ["serve"]);
    assert_eq!(config.diff_ids().len(), 2);
    assert_eq!(config.history().len(), 2);
    // Again, it is the same image.
    let again = import(
        more.path(),
        &place,
        &name("again:1"),
        &place.staging(),
        &on_it,
    )
    .await
    .unwrap();
    assert_eq!(again.digest(), child.digest());
    assert_eq!(place.prune().await.unwrap().blobs, 0);

    // skopeo unpacks and hashes every layer on the way.
    let out = images.path().join("out.tar");
    let from = format!("oci:{}:child:1", images.path().display());
    skopeo(&[
        "copy",
        &from,
        &format!("docker-archive:{}:child:1", out.display()),
    ]);

    let missing = ImportOptions {
        base: Some(name("no:1")),
        ..ImportOptions::default()
    };
    let error = import(
        more.path(),
        &place,
        &name("x:1"),
        &place.staging(),
        &missing,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("no:1"), "{error}");
    assert!(place.resolve(&name("x:1")).await.unwrap().is_none());
}
