//! What a person sees while a command waits; nothing if nobody watches.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, if that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for so many objects.
    pub(crate) fn new(total: usize, action: &'static str) -> Self {
        let template = "{spinner} {prefix} {wide_bar} {pos}/{len} {elapsed} {msg}";
        Self::with(total as u64, template, action.into())
    }

    /// A bar of bytes, of which none are known of yet.
    pub(crate) fn bytes(action: String) -> Self {
        let template =
            "{spinner} {prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
        Self::with(0, template, action.into())
    }

    /// Work of which nobody knows how long it takes, and for how long it has.
    pub(crate) fn spinner(action: String) -> Self {
        Self::with(0, "{spinner} {prefix} {elapsed}", action.into())
    }

    fn with(total: u64, template: &str, action: Cow<'static, str>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template(template);
        // The template is constant; should the library refuse it, its default does.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(action);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    /// Shows what is being waited for.
    pub(crate) fn message(&self, text: &str) {
        self.bar
            .set_message(text.chars().take(60).collect::<String>());
    }

    /// So many of so many are done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done.min(total));
    }

    /// Whether nobody sees it.
    pub(crate) fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// One object is done.
    pub(crate) fn step(&self) {
        self.advance(1);
    }

    /// So many more are done.
    pub(crate) fn advance(&self, count: u64) {
        self.bar.inc(count);
    }

    /// So many are not done after all.
    pub(crate) fn take_back(&self, count: u64) {
        let position = self.bar.position();
        self.bar.set_position(position.saturating_sub(count));
    }

    /// So many more are to be done.
    pub(crate) fn expect(&self, count: u64) {
        self.bar.inc_length(count);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
