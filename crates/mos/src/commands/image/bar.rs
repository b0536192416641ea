//! How a move of images gets on, for whoever watches.

use std::collections::HashMap;
use std::sync::Arc;

use mosaic_image::copy::Outcome;
use mosaic_image::{Descriptor, PlaceError, Progress};
use parking_lot::Mutex;

use crate::progress::Progress as Line;

/// A bar of bytes.
#[derive(Debug)]
pub(super) struct Bar {
    line: Line,
    /// What has passed of each blob, to be taken back should it be moved anew.
    passed: Mutex<HashMap<String, u64>>,
}

impl Bar {
    /// A bar that begins with what is done to which image.
    pub(super) fn new(what: String) -> Arc<Self> {
        Arc::new(Self {
            line: Line::bytes(what),
            passed: Mutex::default(),
        })
    }
}

impl Progress for Bar {
    fn planned(&self, blobs: &[Descriptor]) {
        self.line.expect(blobs.iter().map(Descriptor::size).sum());
    }

    fn advanced(&self, blob: &Descriptor, bytes: u64) {
        self.line.advance(bytes);
        *self
            .passed
            .lock()
            .entry(blob.digest().to_string())
            .or_default() += bytes;
    }

    fn again(&self, blob: &Descriptor, error: &PlaceError) {
        let passed = self.passed.lock().remove(blob.digest().as_ref());
        self.line.take_back(passed.unwrap_or_default());
        self.line.message("trying again");
        tracing::info!("trying again: {error}");
    }

    fn finished(&self, blob: &Descriptor, outcome: Outcome) {
        if outcome != Outcome::Moved {
            self.line.advance(blob.size());
        }
    }
}
