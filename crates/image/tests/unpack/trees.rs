//! Layers that mean well: what comes of each kind of entry, and real trees beside what tar makes of them.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use mosaic_image::unpack::{Settings, Special};

use crate::{
    Bench, is_root,
    layer::{archive, directory, file, gzip, hard_link, item, seal, symlink, zstd},
    names,
    snapshot::{assert_same, snapshot},
};

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    let len = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).ok()?;
    Some(value[..len].to_vec())
}

#[test]
fn each_kind_of_entry_becomes_what_it_says() {
    if !is_root("giving files to others") {
        return;
    }
    let settings = Settings {
        devices: Special::Made,
        ..Settings::privileged()
    };
    let bench = Bench::with(settings);
    let long = "long/".to_owned() + &"n".repeat(200) + "/" + &"m".repeat(255);
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let unpacked = bench
        .unpack(&[
            directory("./").mode(0o711).mtime(1_500_000_000),
            directory("d/")
                .mode(0o1777)
                .owner(5, 6)
                .mtime(1_400_000_000),
            file("d/f", "content").mode(0o640).owner(7, 8),
            file("d/setuid", "x").mode(0o6755).owner(1000, 1001),
            file("d/large-id", "x").owner(0o10_000_000, 4_000_000_000),
            file("d/capable", "x").pax("SCHILY.xattr.security.capability", capability),
            file("d/fraction", "x").pax("mtime", "1234567890.123456789"),
            file("d/before-1970", "x").pax("mtime", "-1.5"),
            symlink("d/s", "/anywhere/../at all").owner(9, 10),
            hard_link("d/h", "d/f"),
            hard_link("d/hs", "./d/s"),
            item("d/fifo", b'6').mode(0o600),
            item("d/null", b'3').mode(0o666).device(1, 3),
            item("d/loop", b'4').mode(0o660).device(7, 0).owner(0, 6),
            file(&long, "long").pax("SCHILY.xattr.user.note", "kept"),
            directory("e").mode(0o2750).owner(0, 50),
            file("e/in-setgid", "x"),
            file("old", "x").kind(0),
            item("old-directory/", 0).mode(0o700),
        ])
        .unwrap();
    let found = snapshot(&unpacked.path);
    let line = |name: &str| found.get(name).cloned().unwrap_or_default();
    assert_eq!(line(""), "directory 711 0:0 1500000000.000000000");
    assert_eq!(line("d"), "directory 1777 5:6 1400000000.000000000");
    assert!(line("d/f").contains(" 640 7:8 1600000000.000000000 = d/f (2)"));
    assert!(line("d/h").ends_with(" = d/f (2)"));
    assert!(
        line("d/setuid").contains(" 6755 1000:1001 "),
        "setuid is set after the owner"
    );
    assert!(line("d/large-id").contains(" 2097152:4000000000 "));
    assert!(
        line("d/capable").contains(" security.capability="),
        "set after the owner"
    );
    assert!(line("d/fraction").contains(" 1234567890.123456789"));
    assert!(line("d/before-1970").contains(" -2.500000000"));
    assert_eq!(
        line("d/s"),
        "-> /anywhere/../at all 777 9:10 1600000000.000000000 = d/hs (2)"
    );
    assert!(line("d/fifo").starts_with("fifo 600 0:0 "));
    assert!(line("d/null").starts_with(&format!("char {} 666 ", rustix::fs::makedev(1, 3))));
    assert!(line("d/loop").starts_with(&format!("block {} 660 0:6 ", rustix::fs::makedev(7, 0))));
    assert!(line(&long).ends_with(" user.note=kept"));
    assert_eq!(
        line("long"),
        "directory 755 0:0 0.000000000",
        "only implied"
    );
    assert!(line("e").starts_with("directory 2750 0:50 "));
    assert!(
        line("e/in-setgid").contains(" 644 0:0 "),
        "its group is not the directory's"
    );
    assert!(line("old-directory").starts_with("directory 700 "));
    assert_eq!(unpacked.report.entries, 19);
    assert_eq!(
        names(&unpacked.path),
        ["d", "e", "long", "old", "old-directory"]
    );
}

#[test]
fn later_entries_take_the_place_of_earlier_ones() {
    let bench = Bench::new();
    let unpacked = bench
        .unpack(&[
            file("file-over-directory/below/deep", "x"),
            directory("file-over-directory/below").mtime(1),
            file("file-over-directory", "now a file"),
            file("directory-over-file", "x"),
            directory("directory-over-file"),
            file("directory-over-file/below", "x"),
            file("target", "target"),
            symlink("link", "target"),
            file("link", "a file of its own"),
            symlink("directory-over-link", "target"),
            directory("directory-over-link"),
            file("twice", "first and longer"),
            hard_link("other-name", "twice"),
            file("twice", "second"),
            directory("twice-directory").mode(0o700).mtime(1),
            file("twice-directory/kept", "x"),
            directory("twice-directory").mode(0o750).mtime(2),
            hard_link("twice", "twice"),
        ])
        .unwrap();
    let read = |name: &str| fs::read_to_string(unpacked.path.join(name)).unwrap();
    assert_eq!(read("file-over-directory"), "now a file");
    assert_eq!(read("directory-over-file/below"), "x");
    assert_eq!(read("target"), "target");
    assert_eq!(read("link"), "a file of its own");
    assert!(
        unpacked
            .path
            .join("directory-over-link")
            .symlink_metadata()
            .unwrap()
            .is_dir()
    );
    assert_eq!(read("twice"), "second");
    assert_eq!(read("other-name"), "first and longer");
    let meta = fs::metadata(unpacked.path.join("twice-directory")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o750, 2));
    assert_eq!(read("twice-directory/kept"), "x");
}

#[test]
fn times_of_directories_outlive_what_is_made_in_them_in_any_order() {
    let bench = Bench::new();
    // More than are kept open, and come back to after they were closed.
    let mut items: Vec<_> = (0..200)
        .map(|number| directory(format!("d{number}")).mtime(1_000_000 + number))
        .collect();
    for round in 0..3 {
        items.extend((0..200).map(|number| file(format!("d{number}/f{round}"), "x")));
    }
    items.extend((0..200).map(|number| directory(format!("d{number}/below")).mtime(5)));
    let unpacked = bench.unpack(&items).unwrap();
    for number in 0..200 {
        let path = unpacked.path.join(format!("d{number}"));
        assert_eq!(fs::metadata(&path).unwrap().mtime(), 1_000_000 + number);
        assert_eq!(fs::metadata(path.join("below")).unwrap().mtime(), 5);
        assert_eq!(names(&path).len(), 4);
    }
}

#[test]
fn sparse_files_keep_their_holes_in_every_format() {
    const SIZE: u64 = 1 << 30;
    let bench = Bench::new();
    let data = [b"start".as_slice(), b"middle"].concat();
    let map = format!("0,5,{},6", SIZE / 2);
    let sparse = |item: crate::layer::Item| item.pax("GNU.sparse.realsize", SIZE.to_string());
    let one = {
        let mut text = format!("2\n0\n5\n{}\n6\n", SIZE / 2).into_bytes();
        text.resize(512, 0);
        text.extend(&data);
        file("GNUSparseFile.0/v1", text)
    };
    let mut bytes: Vec<u8> = [
        sparse(file("v0.1", &data))
            .pax("GNU.sparse.major", "0")
            .pax("GNU.sparse.minor", "1")
            .pax("GNU.sparse.map", &map),
        file("v0.0", &data)
            .pax("GNU.sparse.size", SIZE.to_string())
            .pax("GNU.sparse.numblocks", "2")
            .pax("GNU.sparse.offset", "0")
            .pax("GNU.sparse.numbytes", "5")
            .pax("GNU.sparse.offset", (SIZE / 2).to_string())
            .pax("GNU.sparse.numbytes", "6"),
        sparse(one)
            .pax("GNU.sparse.major", "1")
            .pax("GNU.sparse.minor", "0")
            .pax("GNU.sparse.name", "v1.0"),
    ]
    .iter()
    .flat_map(crate::layer::Item::bytes)
    .collect();
    // GNU's own, with one more block of its map after the header.
    let plain = file("old", &data).kind(b'S').bytes();
    let mut header: [u8; 512] = plain[..512].try_into().unwrap();
    header[257..265].copy_from_slice(b"ustar  \0");
    header[345..512].fill(0);
    header[482] = 1;
    header[386..398].copy_from_slice(b"00000000000\0");
    header[398..410].copy_from_slice(b"00000000005\0");
    header[483..495].copy_from_slice(format!("{SIZE:011o}\0").as_bytes());
    seal(&mut header);
    let mut more = [0u8; 512];
    more[..12].copy_from_slice(format!("{:011o}\0", SIZE / 2).as_bytes());
    more[12..24].copy_from_slice(b"00000000006\0");
    bytes.extend(header);
    bytes.extend(more);
    bytes.extend(&plain[512..]);
    bytes.extend(archive(&[file("after", "x")]));
    let unpacked = bench.unpack_bytes(&bytes, &bytes).unwrap();
    assert_eq!(
        names(&unpacked.path),
        ["after", "old", "v0.0", "v0.1", "v1.0"]
    );
    for name in ["old", "v0.0", "v0.1", "v1.0"] {
        use std::os::unix::fs::FileExt;
        let file = fs::File::open(unpacked.path.join(name)).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!(meta.len(), SIZE, "{name}");
        assert!(
            meta.blocks() * 512 < 1 << 20,
            "{name} takes {} blocks",
            meta.blocks()
        );
        let mut text = [0; 8];
        file.read_exact_at(&mut text, SIZE / 2).unwrap();
        assert_eq!(&text, b"middle\0\0", "{name}");
        file.read_exact_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"start\0\0\0", "{name}");
    }
}

#[test]
fn attributes_of_overlayfs_are_left_out() {
    let bench = Bench::new();
    let unpacked = bench
        .unpack(&[
            directory("d")
                .pax("SCHILY.xattr.trusted.overlay.redirect", "/etc")
                .pax("SCHILY.xattr.trusted.overlay.opaque", "y")
                .pax("SCHILY.xattr.user.overlay.opaque", "y")
                .pax("SCHILY.xattr.security.selinux", "x")
                .pax("SCHILY.xattr.user.mine", "kept"),
            file("f", "x").pax("SCHILY.xattr.trusted.overlay.metacopy", ""),
        ])
        .unwrap();
    let (d, f) = (unpacked.path.join("d"), unpacked.path.join("f"));
    for name in [
        "trusted.overlay.redirect",
        "trusted.overlay.opaque",
        "user.overlay.opaque",
        "security.selinux",
    ] {
        assert_eq!(xattr(&d, name), None, "{name}");
    }
    assert_eq!(xattr(&f, "trusted.overlay.metacopy"), None);
    assert_eq!(xattr(&d, "user.mine").unwrap(), b"kept");
    assert_eq!(unpacked.report.skipped_xattrs, 5);
}

/// A mount that ends with its test.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn mounted_layers_show_what_the_specification_says() {
    if !is_root("mounting") {
        return;
    }
    let bench = Bench::new();
    let lower = bench
        .unpack(&[
            file("kept", "lower"),
            file("changed", "lower"),
            file("removed", "lower"),
            file("both/removed-and-made-again", "lower"),
            file("opaque/gone", "lower"),
            file("opaque/below/gone", "lower"),
            file("whole/gone/deep", "lower"),
            file("again/gone", "lower"),
            file("late/gone", "lower"),
            file("implied/gone", "lower"),
            file("merged/lower", "lower"),
            file("device", "lower"),
            symlink("etc", "/usr/etc"),
        ])
        .unwrap();
    let upper = bench
        .unpack(&[
            file("changed", "upper"),
            file(".wh.removed", ""),
            // What a layer has itself it does not hide, whichever comes first.
            file("both/removed-and-made-again", "upper"),
            file("both/.wh.removed-and-made-again", ""),
            file("opaque/new", "upper"),
            file("opaque/.wh..wh..opq", ""),
            file("./whole/.wh.gone", ""),
            file(".wh.again", ""),
            directory("again"),
            file("again/new", "upper"),
            directory("late"),
            file("late/new", "upper"),
            file(".wh.late", ""),
            file(".wh.implied", ""),
            file("implied/new", "upper"),
            file("merged/upper", "upper"),
            file(".wh.never-was", ""),
            file(".wh..wh.aufs", ""),
            file(".wh..wh.plnk/77.1", "x"),
            item("device", b'3').device(0, 0),
        ])
        .unwrap();
    // A third, above both, that hides everything in one directory.
    let top = bench
        .unpack(&[file("merged/.wh..wh..opq", ""), file("merged/top", "top")])
        .unwrap();
    let point = bench.directory.path().join("merged");
    fs::create_dir(&point).unwrap();
    let options = format!(
        "lowerdir={}:{}:{}",
        top.path.display(),
        upper.path.display(),
        lower.path.display()
    );
    let mut mount = Command::new("mount");
    run(mount
        .args(["-t", "overlay", "overlay", "-o", &options])
        .arg(&point));
    let mounted = Mounted(point.clone());
    let read = |name: &str| fs::read_to_string(point.join(name)).unwrap();
    assert_eq!(
        names(&point),
        [
            "again", "both", "changed", "etc", "implied", "kept", "late", "merged", "opaque",
            "whole"
        ]
    );
    assert_eq!(read("kept"), "lower");
    assert_eq!(read("changed"), "upper");
    assert_eq!(read("both/removed-and-made-again"), "upper");
    for name in ["opaque", "again", "late", "implied"] {
        assert_eq!(names(&point.join(name)), ["new"], "{name}");
    }
    assert_eq!(names(&point.join("whole")), Vec::<String>::new());
    assert_eq!(names(&point.join("merged")), ["top"]);
    assert_eq!(upper.report.whiteouts, 9);
    drop(mounted);
}

#[test]
fn ordinary_users_unpack_for_mounts_in_user_namespaces() {
    // Also as root: what is asked for is what is made.
    let bench = Bench::with(Settings::unprivileged());
    let unpacked = bench
        .unpack(&[
            directory("shut").mode(0o000).mtime(7),
            file("shut/f", "x").mode(0o4755).owner(1, 1),
            directory("shut/below").mode(0o500).mtime(8),
            file("shut/below/g", "x"),
            file("o/.wh..wh..opq", ""),
            file(".wh.gone", ""),
            item("null", b'3').device(1, 3),
        ])
        .unwrap();
    assert_eq!(unpacked.report.skipped_specials, 1);
    assert!(!unpacked.path.join("null").exists());
    assert_eq!(
        xattr(&unpacked.path.join("o"), "user.overlay.opaque").unwrap(),
        b"y"
    );
    assert_eq!(
        fs::symlink_metadata(unpacked.path.join("gone"))
            .unwrap()
            .rdev(),
        0
    );
    let shut = fs::metadata(unpacked.path.join("shut")).unwrap();
    assert_eq!((shut.mode() & 0o7777, shut.mtime()), (0o000, 7));
    if !shut.permissions().readonly() || rustix::process::geteuid().is_root() {
        let f = fs::metadata(unpacked.path.join("shut/f")).unwrap();
        assert_eq!(
            f.mode() & 0o7777,
            0o755,
            "no setuid for somebody else's program"
        );
        assert_eq!(f.uid(), rustix::process::geteuid().as_raw());
    }
    let diff_id = bench.layers.list().unwrap().remove(0);
    assert!(bench.layers.remove(&diff_id).unwrap());
    bench.assert_nothing_left();
}

/// Real trees, archived by GNU tar in each of its formats: what is unpacked is what tar unpacks.
#[test]
fn real_trees_come_out_as_tar_unpacks_them() {
    if !is_root("keeping owners") {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    let tree = source.path().join("tree");
    fs::create_dir(&tree).unwrap();
    // Hard links by the hundred, symbolic ones, owners and modes of all kinds.
    for (from, to) in [("/usr/share/zoneinfo", "zoneinfo"), ("/etc", "etc")] {
        run(Command::new("cp").args(["-a", from]).arg(tree.join(to)));
    }
    // What those do not have.
    run(Command::new("bash").arg("-ec").current_dir(&tree).arg(
        "mkdir -p extra/{a,b}; cd extra; echo x >f; ln f a/hard; ln -s ../f b/soft; ln b/soft b/hard-of-soft; mkfifo p
         truncate -s 64M sparse; printf middle | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none
         touch -d '1961-01-01 00:00:00.5' ancient; touch -d '2040-05-05 01:02:03.123456789' future
         printf 'odd' >$'new\\nline\\xff'; mkdir -p $(printf 'deep-%.0s/' {1..60}); chown 12345:54321 f
         chmod 6711 future; chmod 1777 a; touch -d @77 a b .",
    ));
    for (format, flags) in [
        ("gnu", &["--sparse"][..]),
        ("posix", &["--sparse", "--xattrs", "--sparse-version=1.0"]),
        ("posix", &["--sparse", "--sparse-version=0.1"]),
        ("posix", &["--sparse", "--sparse-version=0.0"]),
        ("oldgnu", &[]),
    ] {
        let bench = Bench::new();
        let path = source.path().join("layer.tar");
        let mut tar = Command::new("tar");
        tar.arg("--create")
            .arg("--file")
            .arg(&path)
            .arg("--format")
            .arg(format);
        run(tar
            .args(flags)
            .args(["--numeric-owner", "--directory"])
            .arg(&tree)
            .arg("."));
        let bytes = fs::read(&path).unwrap();
        let compressed = match flags.len() {
            1 => gzip(&bytes),
            2 => zstd(&bytes),
            _ => bytes.clone(),
        };
        let unpacked = bench.unpack_bytes(&compressed, &bytes).unwrap();
        let theirs = source.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("--extract")
            .arg("--file")
            .arg(&path)
            .args(["--same-owner", "--xattrs"]);
        run(tar
            .args([
                "--same-permissions",
                "--numeric-owner",
                "--warning=no-timestamp",
                "--directory",
            ])
            .arg(&theirs));
        assert_same(&unpacked.path, &theirs);
        let sparse = fs::metadata(unpacked.path.join("extra/sparse")).unwrap();
        if flags.contains(&"--sparse") {
            assert!(
                sparse.blocks() < 100,
                "{format}: {} blocks",
                sparse.blocks()
            );
        }
        fs::remove_dir_all(&theirs).unwrap();
    }
}
