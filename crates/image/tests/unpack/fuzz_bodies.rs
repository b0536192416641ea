//! The bodies of the fuzz targets, on a bounded number of made-up inputs.

use proptest::{collection, prelude::*};

use crate::layer::{archive, directory, file, hard_link, item, symlink};

#[expect(unreachable_pub, reason = "the fuzz targets are crates of their own")]
#[path = "../../../../fuzz/src/images.rs"]
mod images;

/// An archive of about everything, to be damaged.
fn whole() -> Vec<u8> {
    archive(&[
        directory("d"),
        file("d/f", "content".repeat(100)).pax("SCHILY.xattr.user.a", "b"),
        file("n".repeat(200), "x").pax("mtime", "1.5"),
        hard_link("h", "d/f"),
        symlink("s", "t".repeat(150)),
        file("sparse", "content")
            .pax("GNU.sparse.major", "0")
            .pax("GNU.sparse.minor", "1")
            .pax("GNU.sparse.map", "0,3,100,4")
            .pax("GNU.sparse.realsize", "200"),
        item("old", b'S').size(7),
        file("long", "name").kind(b'L'),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn archives(damage in collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20), cut in any::<prop::sample::Index>()) {
        let mut bytes = whole();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        images::archive(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        images::archive(&bytes);
    }

    #[test]
    fn layers(data in collection::vec(any::<u8>(), 0..160)) {
        images::layer(&data);
    }

    #[test]
    fn names(text in "([a-z]{1,3}|[:/@._-]|[A-Z]|sha256:|localhost|[0-9]){0,12}") {
        images::image_name(text.as_bytes());
    }
}

#[test]
fn documents() {
    for text in [
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
        r#"{"schemaVersion":2}"#,
        r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
        "",
    ] {
        images::document(text.as_bytes());
        images::image_config(text.as_bytes());
    }
}
