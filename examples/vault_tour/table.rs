//! The table of what happened.

use std::{
    io::{self, Write as _},
    time::Instant,
};

/// Rows in the order of the steps.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(&'static str, String, f64)>,
}

impl Table {
    /// Adds a step that began at `start` and ends now.
    pub(crate) fn row(&mut self, step: &'static str, what: String, start: Instant) {
        self.rows
            .push((step, what, start.elapsed().as_secs_f64() * 1000.0));
    }

    /// Prints all rows.
    pub(crate) fn print(&self) -> io::Result<()> {
        let width = self
            .rows
            .iter()
            .map(|(_, what, _)| what.len())
            .max()
            .unwrap_or(0);
        let mut out = io::stdout().lock();
        writeln!(out, "{:<14}{:<width$}{:>10}", "step", "what happened", "ms")?;
        for (step, what, ms) in &self.rows {
            writeln!(out, "{step:<14}{what:<width$}{ms:>10.1}")?;
        }
        Ok(())
    }
}
