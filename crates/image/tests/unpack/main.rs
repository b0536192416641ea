//! Layers that are unpacked for real. Owners, devices and mounts need root: where they matter and there is none, a test says so
//! and does nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which are to fail where these do"
)]

mod attacks;
mod bounds;
mod fuzz_bodies;
mod layer;
mod places;
mod snapshot;
mod trees;

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use mosaic_image::unpack::{Layers, Settings, UnpackError, Unpacked};
use tempfile::TempDir;

use layer::{Item, archive, describe};

/// A directory of layers, and one beside it that no layer may reach.
struct Bench {
    directory: TempDir,
    layers: Layers,
}

impl Bench {
    fn new() -> Self {
        Self::with(Settings::of_this_process())
    }

    fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "untouched").unwrap();
        let layers = Layers::open(directory.path().join("layers"), settings).unwrap();
        Self { directory, layers }
    }

    fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    fn unpack_bytes(&self, bytes: &[u8], archive: &[u8]) -> Result<Unpacked, UnpackError> {
        let layer = describe(bytes, archive);
        self.layers.unpack(&layer, || Ok(Cursor::new(bytes)))
    }

    /// Unpacks an uncompressed layer of these entries.
    fn unpack(&self, items: &[Item]) -> Result<Unpacked, UnpackError> {
        let bytes = archive(items);
        self.unpack_bytes(&bytes, &bytes)
    }

    /// Unpacks a layer that has to be refused, and makes sure that nothing is left of it, inside or outside.
    fn refuse(&self, items: &[Item]) -> UnpackError {
        let bytes = archive(items);
        self.refuse_bytes(&bytes, &bytes)
    }

    fn refuse_bytes(&self, bytes: &[u8], archive: &[u8]) -> UnpackError {
        let error = self.unpack_bytes(bytes, archive).unwrap_err();
        self.assert_nothing_left();
        error
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.layers.list().unwrap(), [], "a layer counts as there");
        assert_eq!(self.unfinished(), Vec::<PathBuf>::new());
        let outside: Vec<_> = names(&self.outside());
        assert_eq!(outside, ["secret"]);
        let secret = fs::read_to_string(self.outside().join("secret")).unwrap();
        assert_eq!(secret, "untouched");
    }

    fn unfinished(&self) -> Vec<PathBuf> {
        let unpacking = self.layers.path().join("unpacking");
        fs::read_dir(unpacking)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn is_root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: {what} needs root");
    }
    is_root
}
