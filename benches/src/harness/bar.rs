//! How far a run is, as its user sees it.

use super::results::Execution;
use super::runner::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on the terminal, and a line for each execution that ended.
pub(super) struct Bar {
    pub(super) bar: ProgressBar,
    pub(super) left_out: u32,
}

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed_precise} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, left_out: 0 }
    }
}

impl Progress for Bar {
    fn begins(&mut self, at: usize, of: usize, label: &str) {
        self.bar.set_length(of as u64);
        self.bar.set_position(at as u64);
        self.bar.set_message(label.to_owned());
    }

    fn tick(&mut self) {
        self.bar.tick();
    }

    fn ended(&mut self, execution: &Execution) {
        let (label, round, wall_s) = (&execution.label, execution.round, execution.wall_s);
        let (rows, outcome) = (execution.rows.len(), execution.outcome.words());
        self.bar.suspend(|| {
            eprintln!("{label}, run {round}: {rows} rows in {wall_s:.1} s, {outcome}");
        });
    }

    fn left_out(&mut self, label: &str, round: u32) {
        self.left_out += 1;
        self.bar.suspend(|| {
            eprintln!("{label}, run {round}: left out for the budget");
        });
    }
}
