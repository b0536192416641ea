//! What a layer may cost, and that its bytes are the ones that were named.

use std::io::{self, Cursor, Read};

use mosaic_image::digest::sha256;
use mosaic_image::unpack::{Limits, Settings, UnpackError};

use crate::{
    Bench,
    layer::{archive, describe, file, gzip, zstd},
};

fn bounded(limits: Limits) -> Bench {
    Bench::with(Settings {
        limits,
        ..Settings::of_this_process()
    })
}

/// The most memory that this process had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() * 1024
}

#[test]
fn bombs_end_where_the_bound_is() {
    // Eight gigabytes of zeros in one file, as a stream that nobody has to hold.
    const SIZE: u64 = 8 << 30;
    let head = file("zeros", "").size(SIZE).bytes();
    let bomb = |encoded: &mut dyn io::Write| {
        encoded.write_all(&head).unwrap();
        let zeros = vec![0; 1 << 20];
        // A quarter of a gigabyte is enough to be beyond every bound here.
        for _ in 0..256 {
            encoded.write_all(&zeros).unwrap();
        }
    };
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb(&mut gz);
    let mut zst = zstd::Encoder::new(Vec::new(), 1).unwrap();
    bomb(&mut zst);
    let before = peak_memory();
    for bytes in [gz.finish().unwrap(), zst.finish().unwrap()] {
        let bench = bounded(Limits {
            ratio_from: 1 << 20,
            ..Limits::default()
        });
        let error = bench.refuse_bytes(&bytes, b"");
        assert!(
            matches!(error, UnpackError::Bomb { ratio: 200 }),
            "{error:?}"
        );
        let bench = bounded(Limits {
            bytes: 64 << 20,
            ..Limits::default()
        });
        let error = bench.refuse_bytes(&bytes, b"");
        assert!(matches!(error, UnpackError::TooLarge { bound } if bound == 64 << 20));
        let bench = bounded(Limits {
            file_bytes: SIZE - 1,
            ..Limits::default()
        });
        let error = bench.refuse_bytes(&bytes, b"");
        assert!(error.to_string().contains("`zeros`"), "{error}");
    }
    // Other tests run in this process too; none of them needs the bomb's size either.
    assert!(peak_memory() - before < 200 << 20);
}

#[test]
fn windows_beyond_the_bound_are_refused() {
    let bytes = archive(&[file("f", vec![7; 4 << 20])]);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(24).unwrap();
    io::Write::write_all(&mut encoder, &bytes).unwrap();
    let compressed = encoder.finish().unwrap();
    let bench = bounded(Limits {
        zstd_window_log: 20,
        ..Limits::default()
    });
    let error = bench.refuse_bytes(&compressed, &bytes);
    assert!(
        matches!(
            error,
            UnpackError::Decompress {
                compression: "zstd",
                ..
            }
        ),
        "{error:?}"
    );
    Bench::new().unpack_bytes(&compressed, &bytes).unwrap();
}

#[test]
fn every_way_of_compressing_gives_the_same_layer() {
    let bytes = archive(&[file("f", "content".repeat(100_000)), file("g", "")]);
    let (head, tail) = bytes.split_at(1000);
    let several = [gzip(head), gzip(tail)].concat();
    let frames = [
        zstd(head),
        b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec(),
        zstd(tail),
    ]
    .concat();
    let first = [b"\x5f\x2a\x4d\x18\x04\0\0\0skip".to_vec(), zstd(&bytes)].concat();
    for compressed in [
        bytes.clone(),
        gzip(&bytes),
        zstd(&bytes),
        several,
        frames,
        first,
    ] {
        let bench = Bench::new();
        let unpacked = bench.unpack_bytes(&compressed, &bytes).unwrap();
        assert_eq!(unpacked.report.bytes, 700_000);
        assert_eq!(bench.layers.list().unwrap(), [sha256(&bytes)]);
    }
}

#[test]
fn bytes_that_were_not_named_are_refused() {
    let bytes = archive(&[file("f", "content".repeat(100_000))]);
    for compressed in [bytes.clone(), gzip(&bytes), zstd(&bytes)] {
        let bench = Bench::new();
        let layer = describe(&compressed, &bytes);
        let attempt = |layer: &_, bytes: &[u8]| {
            let error = bench
                .layers
                .unpack(layer, || Ok(Cursor::new(bytes)))
                .unwrap_err();
            bench.assert_nothing_left();
            error
        };
        let content = |error: &UnpackError, which: &str| matches!(error, UnpackError::Content { of, .. } if *of == which);
        // Cut short anywhere.
        for len in [0, 1, 100, compressed.len() / 2, compressed.len() - 1] {
            let error = attempt(&layer, &compressed[..len]);
            assert!(content(&error, "content"), "{len}: {error:?}");
        }
        // Longer than declared.
        let error = attempt(&layer, &[&compressed[..], b"x"].concat());
        assert!(content(&error, "content"), "{error:?}");
        // Others than declared, and right ones that decompress to something else.
        let mut other = layer.clone();
        other.digest = sha256(b"other");
        let error = attempt(&other, &compressed);
        assert!(content(&error, "content"), "{error:?}");
        let mut other = layer.clone();
        other.diff_id = sha256(b"other");
        let error = attempt(&other, &compressed);
        assert!(content(&error, "diff id"), "{error:?}");
        // One bit.
        let mut changed = compressed.clone();
        changed[compressed.len() / 2] ^= 1;
        attempt(&layer, &changed);
        // A source that fails.
        let failing = Cursor::new(&compressed[..compressed.len() / 2]).chain(Failing);
        let error = bench.layers.unpack(&layer, || Ok(failing)).unwrap_err();
        assert!(matches!(error, UnpackError::Read(_)), "{error:?}");
        bench.assert_nothing_left();
        let error = bench
            .layers
            .unpack(&layer, || Err::<Failing, _>(io::Error::other("no")))
            .unwrap_err();
        assert!(matches!(error, UnpackError::Read(_)), "{error:?}");
        bench.assert_nothing_left();
        // And after all that, the right ones.
        bench
            .layers
            .unpack(&layer, || Ok(Cursor::new(&compressed)))
            .unwrap();
    }
    // Garbage behind a stream is not the stream.
    let garbage = [gzip(&bytes), b"garbage".to_vec()].concat();
    let error = Bench::new().refuse_bytes(&garbage, &bytes);
    assert!(
        matches!(
            error,
            UnpackError::Decompress {
                compression: "gzip",
                ..
            }
        ),
        "{error:?}"
    );
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the line is cut"))
    }
}
