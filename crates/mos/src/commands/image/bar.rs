//! How a move of images gets on, for whoever watches.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mosaic_image::copy::Outcome;
use mosaic_image::{Descriptor, PlaceError, Progress};
use parking_lot::Mutex;

use std::collections::HashMap;

/// A bar of bytes on standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    /// What has passed of each blob, to be taken back should it be moved anew.
    passed: Mutex<HashMap<String, u64>>,
}

impl Bar {
    /// A bar that begins with what is done to which image.
    pub(super) fn new(what: String) -> Arc<Self> {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template(
            "{spinner} {prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
        );
        // The template is constant; should the library refuse it, its default does.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Arc::new(Self {
            bar,
            passed: Mutex::default(),
        })
    }
}

impl Progress for Bar {
    fn planned(&self, blobs: &[Descriptor]) {
        self.bar
            .inc_length(blobs.iter().map(Descriptor::size).sum());
    }

    fn advanced(&self, blob: &Descriptor, bytes: u64) {
        self.bar.inc(bytes);
        *self
            .passed
            .lock()
            .entry(blob.digest().to_string())
            .or_default() += bytes;
    }

    fn again(&self, blob: &Descriptor, error: &PlaceError) {
        let passed = self.passed.lock().remove(blob.digest().as_ref());
        let position = self.bar.position();
        self.bar
            .set_position(position.saturating_sub(passed.unwrap_or_default()));
        self.bar.set_message("trying again");
        tracing::info!("trying again: {error}");
    }

    fn finished(&self, blob: &Descriptor, outcome: Outcome) {
        if outcome != Outcome::Moved {
            self.bar.inc(blob.size());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
