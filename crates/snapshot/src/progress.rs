//! A bar on stderr for long work: size, speed, time left. Nothing where stderr is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar with this word in front.
    pub fn new(what: &'static str) -> Bar {
        let bar = ProgressBar::new(0).with_message(what);
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        );
        bar.set_style(style.expect("a template that is read"));
        bar.enable_steady_tick(Duration::from_millis(250));
        Bar(bar)
    }

    /// So many bytes have come, and so many are left.
    pub fn of(&self, left: u64, came: u64) {
        self.0.inc(came);
        if self.0.length() == Some(0) {
            self.0.set_length(left + came);
        }
    }

    /// Takes it away.
    pub fn done(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.done();
    }
}
