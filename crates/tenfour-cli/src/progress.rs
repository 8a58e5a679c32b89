//! A line on a terminal for what takes its time.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// A line that looks like `template`, as indicatif words it; of `length` steps if that is known. Hidden where nobody
/// looks.
pub fn progress(length: Option<u64>, template: &str) -> ProgressBar {
    let progress = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
    if output::is_terminal(&std::io::stderr()) {
        progress.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    }
    // Templates are constants; a mistake in one would only cost the looks.
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
    progress
}

/// For what lasts so long; its position is in milliseconds.
pub fn progress_of_time(length: Duration) -> ProgressBar {
    progress(Some(length.as_millis() as u64), "{bar:40} {msg}")
}
