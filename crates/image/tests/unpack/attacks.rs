//! Layers that mean harm. Each is refused with the entry's name and the reason, and nothing of it is left: not in the directory of
//! layers, and not where it wanted to go.

use std::{fs, os::unix::fs::MetadataExt};

use mosaic_image::tar_reader::MalformedReason;
use mosaic_image::unpack::{Limits, Refusal, Settings, Special, UnpackError};

use crate::{
    Bench, is_root,
    layer::{Item, archive, directory, file, hard_link, item, seal, symlink},
};

/// Holds that the last entry is what is refused, and why.
#[track_caller]
fn refused(items: &[Item], expected: Refusal) {
    refused_by(Settings::of_this_process(), items, expected);
}

#[track_caller]
fn refused_by(settings: Settings, items: &[Item], expected: Refusal) {
    let bench = Bench::with(settings);
    match bench.refuse(items) {
        UnpackError::Refused { entry, reason } => {
            assert_eq!(reason, expected);
            let name = String::from_utf8_lossy(&items.last().unwrap().name).into_owned();
            let shown = entry.to_string();
            let start: String = name.chars().take(40).flat_map(char::escape_debug).collect();
            assert!(
                shown.contains(&start) || name.contains('\0'),
                "{shown} is not {name}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_that_leave_the_layer() {
    for name in [
        "..",
        "../outside/new",
        "d/../../outside/new",
        "./../x",
        "d/..",
    ] {
        refused(&[directory("d"), file(name, "x")], Refusal::Parent);
        refused(&[directory("d"), directory(name)], Refusal::Parent);
        refused(&[directory("d"), symlink(name, "t")], Refusal::Parent);
        refused(
            &[directory("d"), file("t", ""), hard_link(name, "t")],
            Refusal::Parent,
        );
    }
    for name in ["/etc/passwd", "//x", "/", "/.."] {
        refused(&[file(name, "x")], Refusal::Absolute);
        refused(&[directory(name)], Refusal::Absolute);
    }
    refused(
        &[file("x", "").pax("path", "../x")].map(|item| Item {
            name: b"../x".into(),
            ..item
        }),
        Refusal::Parent,
    );
}

#[test]
fn long_names_of_every_dialect_are_judged_as_short_ones_are() {
    let bench = Bench::new();
    let last = archive(&[file("harmless", "x")]);
    let gnu = |name: &[u8]| [file("././@LongLink", name).kind(b'L').bytes(), last.clone()].concat();
    let bytes = gnu(b"../outside/new\0");
    assert!(matches!(
        bench.refuse_bytes(&bytes, &bytes),
        UnpackError::Refused {
            reason: Refusal::Parent,
            ..
        }
    ));
    let bytes = archive(&[file("harmless", "x").pax("path", "/outside/new")]);
    assert!(matches!(
        bench.refuse_bytes(&bytes, &bytes),
        UnpackError::Refused {
            reason: Refusal::Absolute,
            ..
        }
    ));
    let bytes = archive(&[file("harmless", "")
        .pax("GNU.sparse.map", "")
        .pax("GNU.sparse.major", "0")
        .pax("GNU.sparse.minor", "1")
        .pax("GNU.sparse.name", "../x")]);
    assert!(matches!(
        bench.refuse_bytes(&bytes, &bytes),
        UnpackError::Refused {
            reason: Refusal::Parent,
            ..
        }
    ));
    // ustar's prefix.
    let mut block: [u8; 512] = file("new", "").bytes().try_into().unwrap();
    block[345..355].copy_from_slice(b"../outside");
    seal(&mut block);
    assert!(matches!(
        bench.refuse_bytes(&block, &block),
        UnpackError::Refused {
            reason: Refusal::Parent,
            ..
        }
    ));
}

#[test]
fn ways_through_symbolic_links() {
    let outside = "../../../../outside";
    for target in [outside, "/tmp", ".", "d", "/", "..", "missing"] {
        let link = symlink("link", target);
        let d = directory("d");
        refused(
            &[d.clone(), link.clone(), file("link/new", "x")],
            Refusal::ThroughSymlink,
        );
        refused(
            &[d.clone(), link.clone(), directory("link/new")],
            Refusal::ThroughSymlink,
        );
        refused(
            &[d.clone(), link.clone(), file("link/.wh.secret", "")],
            Refusal::ThroughSymlink,
        );
        refused(
            &[d.clone(), link.clone(), file("link/.wh..wh..opq", "")],
            Refusal::ThroughSymlink,
        );
        refused(
            &[d.clone(), link.clone(), symlink("link/new", "x")],
            Refusal::ThroughSymlink,
        );
        refused(
            &[d.clone(), link.clone(), item("link/new", b'6')],
            Refusal::ThroughSymlink,
        );
        refused(
            &[d.clone(), link.clone(), hard_link("own", "link/secret")],
            Refusal::LinkMissing,
        );
    }
    // One after another, and one in the place of a directory that was there, open and used, before.
    refused(
        &[symlink("a", "b"), symlink("b", outside), file("a/new", "x")],
        Refusal::ThroughSymlink,
    );
    refused(
        &[
            file("d/inner/f", "x"),
            symlink("d", outside),
            file("d/inner/g", "x"),
        ],
        Refusal::ThroughSymlink,
    );
    refused(
        &[
            file("d/inner/f", "x"),
            symlink("d/inner", outside),
            file("d/inner/g", "x"),
        ],
        Refusal::ThroughSymlink,
    );
    // By way of a hard link to the link.
    refused(
        &[
            symlink("link", outside),
            hard_link("other", "link"),
            file("other/new", "x"),
        ],
        Refusal::ThroughSymlink,
    );
    refused(
        &[symlink("dev", "/proc/self/root"), file("dev/tmp/x", "x")],
        Refusal::ThroughSymlink,
    );
}

#[test]
fn files_do_not_go_through_links_that_have_their_name() {
    let bench = Bench::new();
    let secret = bench.outside().join("secret");
    let unpacked = bench
        .unpack(&[
            symlink("link", secret.to_str().unwrap()),
            hard_link("hard", "link"),
            file("hard", "in the layer").mode(0o4777).owner(3, 3),
            file("link", "in the layer").mode(0o4777).owner(3, 3),
            symlink("of-a-directory", bench.outside().to_str().unwrap()),
            directory("of-a-directory").mode(0o777).owner(3, 3),
            file("of-a-directory/new", "in the layer"),
            symlink("whited-out", bench.outside().to_str().unwrap()),
            file(".wh.whited-out", ""),
        ])
        .unwrap();
    for name in ["hard", "link", "of-a-directory/new"] {
        let path = unpacked.path.join(name);
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read_to_string(path).unwrap(), "in the layer");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
    assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(
        fs::metadata(bench.outside()).unwrap().mode() & 0o7777,
        0o755
    );
    assert_eq!(crate::names(&bench.outside()), ["secret"]);
}

#[test]
fn hard_links_that_leave() {
    for target in ["../outside/secret", "/etc/passwd", "d/../../x", "..", "/"] {
        refused(
            &[directory("d"), hard_link("own", target)],
            Refusal::LinkOutside,
        );
    }
    refused(&[hard_link("own", "missing")], Refusal::LinkMissing);
    refused(&[hard_link("own", "missing/below")], Refusal::LinkMissing);
    refused(
        &[file("f", ""), hard_link("own", "f/below")],
        Refusal::LinkMissing,
    );
    refused(
        &[file(".wh.gone", ""), hard_link("own", "gone")],
        Refusal::LinkMissing,
    );
    refused(&[hard_link("own", "own")], Refusal::LinkMissing);
    refused(
        &[directory("d"), hard_link("own", "d")],
        Refusal::LinkToDirectory,
    );
    refused(&[hard_link("own", "./")], Refusal::LinkToDirectory);
    refused(
        &[file("d/f", ""), hard_link("d", "d/f")],
        Refusal::LinkMissing,
    );
}

#[test]
fn what_is_not_a_directory_has_nothing_below() {
    refused(
        &[file("f", "x"), file("f/below", "x")],
        Refusal::NotDirectory,
    );
    refused(
        &[item("p", b'6'), directory("p/below")],
        Refusal::NotDirectory,
    );
    refused(&[file(".wh.a/below", "x")], Refusal::BelowWhiteout);
    for kind in [b'0', b'2', b'1', b'6'] {
        refused(&[item("./", kind)], Refusal::Root);
        refused(&[item("", kind)], Refusal::Root);
    }
}

#[test]
fn whiteouts_of_what_is_no_name() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh...", "./d/.wh."] {
        refused(&[directory("d"), file(name, "")], Refusal::Whiteout);
        refused(&[directory("d"), directory(name)], Refusal::Whiteout);
    }
    refused(&[file("../.wh.outside", "")], Refusal::Parent);
    refused(&[file("/.wh.outside", "")], Refusal::Absolute);
    refused(&[file("../.wh..wh..opq", "")], Refusal::Parent);
}

#[test]
fn names_that_no_file_system_takes() {
    let long = "n".repeat(256);
    refused(&[file(&long, "x")], Refusal::NameTooLong);
    refused(&[file("d/".repeat(2100), "x")], Refusal::NameTooLong);
    refused(&[hard_link("own", &long)], Refusal::LinkOutside);
    refused(&[symlink("s", "t".repeat(5000))], Refusal::LinkTarget);
    refused(&[symlink("s", "")], Refusal::LinkTarget);
    let bench = Bench::new();
    for key in ["path", "linkpath", "GNU.sparse.name"] {
        let error = bench.refuse(&[file("f", "x").pax(key, "a\0b")]);
        let UnpackError::Malformed { reason, .. } = error else {
            panic!("{key}: {error:?}")
        };
        assert_eq!(reason, MalformedReason::Record, "{key}");
    }
    // As deep as names can be: it is made, and removed again.
    let deep = "d/".repeat(2000) + "f";
    let bench = Bench::new();
    bench.unpack(&[file(&deep, "x")]).unwrap();
    let diff_id = bench.layers.list().unwrap().remove(0);
    assert!(bench.layers.remove(&diff_id).unwrap());
    bench.assert_nothing_left();
}

#[test]
fn devices_pipes_and_what_does_not_exist() {
    let refusing = Settings {
        devices: Special::Refused,
        fifos: Special::Refused,
        ..Settings::of_this_process()
    };
    let by = |item: Item, reason| refused_by(refusing.clone(), &[item], reason);
    by(item("sda", b'4').device(8, 0), Refusal::Device);
    by(item("mem", b'3').device(1, 1), Refusal::Device);
    by(item("block", b'4').device(0, 0), Refusal::Device);
    by(item("p", b'6'), Refusal::Fifo);
    for kind in [b'D', b'M', b'V', b'A', b'X', 0xff] {
        refused(&[item("other", kind)], Refusal::Kind);
    }
    if is_root("making devices") {
        let making = Settings {
            devices: Special::Made,
            ..Settings::privileged()
        };
        let huge = item("huge", b'3').device(0x1000, 0);
        refused_by(making.clone(), &[huge], Refusal::DeviceNumber);
        let huge = item("huge", b'3').device(1, 0x10_0000);
        refused_by(making, &[huge], Refusal::DeviceNumber);
    }
}

#[test]
fn owners_that_the_kernel_reads_as_leave_it_as_it_is() {
    for (uid, gid) in [
        (u32::MAX.into(), 0),
        (0, u32::MAX.into()),
        (1 << 32, 0),
        (1 << 40, 0),
    ] {
        refused(
            &[file("f", "x").mode(0o4755).owner(uid, gid)],
            Refusal::Owner,
        );
        refused(&[directory("d").owner(uid, gid)], Refusal::Owner);
        refused(&[symlink("s", "t").owner(uid, gid)], Refusal::Owner);
    }
    refused(&[file("f", "x").pax("uid", "4294967295")], Refusal::Owner);
}

#[test]
fn attributes_that_are_too_large_or_malformed() {
    let large = vec![b'x'; (64 << 10) + 1];
    refused(
        &[file("f", "x").pax("SCHILY.xattr.user.a", &large)],
        Refusal::Xattr,
    );
    let name = "SCHILY.xattr.user.".to_owned() + &"n".repeat(300);
    refused(&[file("f", "x").pax(&name, "x")], Refusal::Xattr);
    refused(
        &[file("f", "x").pax("SCHILY.xattr.user.", "x")],
        Refusal::Xattr,
    );
    if is_root("file capabilities") {
        let capability = file("f", "x").pax("SCHILY.xattr.security.capability", "garbage");
        refused(&[capability], Refusal::Xattr);
    }
    // What together is too much for the file system is its to say.
    let bench = Bench::new();
    let many = (0..100).fold(file("f", "x"), |item, number| {
        item.pax(&format!("SCHILY.xattr.user.{number}"), vec![b'x'; 4000])
    });
    match bench.unpack(&[many]) {
        Ok(_) => println!("this file system takes 400 KB of attributes"),
        Err(UnpackError::Entry { step, entry, .. }) => {
            assert_eq!(
                (step, entry.to_string().as_str()),
                ("set an extended attribute of", "`f`")
            );
            bench.assert_nothing_left();
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn sizes_that_lie() {
    let bench = Bench::new();
    let malformed = |bytes: &[u8]| match bench.refuse_bytes(bytes, bytes) {
        UnpackError::Malformed { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    // A file that says more than there is, in the header and in a record.
    assert_eq!(
        malformed(&file("f", "x").size(1 << 30).bytes()),
        MalformedReason::Truncated
    );
    let record = file("f", "x").pax("size", "1000000000000").bytes();
    assert_eq!(malformed(&record), MalformedReason::Truncated);
    let negative = file("f", "x").size(u64::MAX).bytes();
    assert_eq!(malformed(&negative), MalformedReason::Number);
    let beyond = file("f", "x").pax("size", "18446744073709551615").bytes();
    assert_eq!(malformed(&beyond), MalformedReason::Number);
    let beyond = file("f", "x").pax("size", "99999999999999999999").bytes();
    assert_eq!(malformed(&beyond), MalformedReason::Record);
    // Extended headers and long names of a gigabyte, which would be memory.
    for kind in [b'x', b'g', b'L', b'K'] {
        let huge = file("f", "").kind(kind).size(1 << 30).bytes();
        assert_eq!(
            malformed(&huge),
            MalformedReason::Special,
            "{}",
            kind as char
        );
        let cut = file("f", "").kind(kind).size(1 << 20).bytes();
        assert_eq!(
            malformed(&cut),
            MalformedReason::Truncated,
            "{}",
            kind as char
        );
    }
    // Links and directories have no data, whatever they say: what follows is the next entry.
    let unpacked = Bench::new();
    let found = unpacked
        .unpack(&[
            file("f", "x"),
            hard_link("h", "f").size(512),
            symlink("s", "f").size(1 << 30),
            directory("d").size(1024),
            file("after", "x"),
        ])
        .unwrap();
    assert_eq!(crate::names(&found.path), ["after", "d", "f", "h", "s"]);
}

#[test]
fn sparse_maps_that_lie() {
    let bench = Bench::new();
    let sparse = |map: &str, size: &str, data: &str| {
        let item = file("f", data)
            .pax("GNU.sparse.major", "0")
            .pax("GNU.sparse.minor", "1")
            .pax("GNU.sparse.map", map)
            .pax("GNU.sparse.realsize", size);
        bench.refuse(&[item])
    };
    for (map, size) in [
        ("0,5,3,2", "100"),
        ("5,2,0,5", "100"),
        ("99,7", "100"),
        ("0,6", "100"),
        ("0,8", "100"),
        ("0", "100"),
        ("18446744073709551615,7", "100"),
        ("0,7", "18446744073709551615"),
        ("0,7", "9223372036854775808"),
    ] {
        let error = sparse(map, size, "content");
        let UnpackError::Malformed { reason, .. } = error else {
            panic!("{map}: {error:?}")
        };
        assert_eq!(reason, MalformedReason::Sparse, "{map}");
    }
    let error = sparse("0,7", "9000000000000000000", "content");
    assert!(matches!(
        error,
        UnpackError::Refused {
            reason: Refusal::FileTooLarge,
            ..
        }
    ));
    // A map with its data of which each part is a lie.
    for text in [
        "",
        "x\n",
        "99999999\n",
        "1\n0\n",
        "1\n5\n7\nrest",
        "2\n0\n7\n3\n4\n",
        "-1\n",
    ] {
        let mut data = text.as_bytes().to_vec();
        data.resize(512, 0);
        data.extend(b"content");
        let item = file("f", &data)
            .pax("GNU.sparse.major", "1")
            .pax("GNU.sparse.minor", "0")
            .pax("GNU.sparse.realsize", "10");
        let error = bench.refuse(&[item]);
        let UnpackError::Malformed { reason, .. } = error else {
            panic!("{text}: {error:?}")
        };
        assert_eq!(reason, MalformedReason::Sparse, "{text}");
    }
}

#[test]
fn archives_that_are_none() {
    let bench = Bench::new();
    let good = archive(&[file("f", "content")]);
    let reason = |bytes: &[u8]| match bench.refuse_bytes(bytes, bytes) {
        UnpackError::Malformed { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let mut wrong = good.clone();
    wrong[0] = b'g';
    assert_eq!(reason(&wrong), MalformedReason::Checksum);
    assert_eq!(reason(&good[..100]), MalformedReason::Truncated);
    assert_eq!(reason(&good[..515]), MalformedReason::Truncated);
    assert_eq!(
        reason(&b"text, and no archive at all".repeat(100)),
        MalformedReason::Number
    );
    let lone = [&[0; 512][..], &good].concat();
    assert_eq!(reason(&lone), MalformedReason::LoneZeros);
    for (bytes, name) in [(&b"\xfd7zXZ\0........"[..], "xz"), (b"BZh91AY&SY", "bzip2")] {
        let error = bench.refuse_bytes(bytes, bytes);
        assert!(error.to_string().contains(name), "{error}");
    }
    // An archive without its end, with more than its end, and an empty one.
    for bytes in [
        &good[..1024],
        &[&good[..], b"more"].concat(),
        &[0; 1024],
        &[],
    ] {
        Bench::new().unpack_bytes(bytes, bytes).unwrap();
    }
    let limits = Limits {
        entries: 10,
        ..Limits::default()
    };
    let bench = Bench::with(Settings {
        limits,
        ..Settings::of_this_process()
    });
    // Headers about headers about headers are entries too.
    let endless = file("x", "9 path=a\n").kind(b'x').bytes().repeat(11);
    let error = bench.refuse_bytes(&endless, &endless);
    assert!(matches!(error, UnpackError::TooManyEntries { bound: 10 }));
    let error = bench.refuse(&(0..11).map(|n| file(n.to_string(), "")).collect::<Vec<_>>());
    assert!(matches!(error, UnpackError::TooManyEntries { bound: 10 }));
    // Directories that are only implied are made, so they count.
    let error = bench.refuse(&[file("1/2/3/4/5/6/7/8/9/10/11", "")]);
    assert!(matches!(error, UnpackError::TooManyEntries { bound: 10 }));
}
