//! Benchmark mode: the same work in every mode, results compared, times side by side.

use super::config::{BatchConfig, Mode};
use super::map::Batch;
use super::outcome::{ItemError, Mapped};
use crate::error::CollectiveError;
use std::fmt;
use std::time::Duration;

/// How the modes of a batch compare on the same items.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModeComparison {
    /// Number of items.
    pub items: usize,
    /// How often each mode ran; the fastest run counts.
    pub repeats: usize,
    /// Sequential first, then by number of workers, then all workers.
    pub rows: Vec<ModeRow>,
}

/// One mode of a [`ModeComparison`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ModeRow {
    /// The mode.
    pub mode: Mode,
    /// Number of lanes it ran on.
    pub workers: usize,
    /// Wall time of the fastest run.
    pub wall: Duration,
    /// Wall time of the sequential mode over this one.
    pub speedup: f64,
    /// `speedup / workers`.
    pub efficiency: f64,
    /// Whether every run gave the same results as the first sequential one.
    pub identical: bool,
}

impl ModeComparison {
    /// Whether all runs of all modes gave the same results.
    pub fn all_identical(&self) -> bool {
        self.rows.iter().all(|row| row.identical)
    }
}

/// Runs of one mode so far.
struct Runs {
    config: BatchConfig,
    workers: usize,
    wall: Duration,
    identical: bool,
}

impl Batch<'_> {
    /// Runs `call` over the items sequentially, on each number of workers (1, 2, 4, ... and all),
    /// and in parallel, `repeats` times in turn, and compares results and times. The mode of this
    /// batch does not count.
    ///
    /// ```
    /// use agent_collective::Runtime;
    /// use agent_collective::batch::{Batch, BatchConfig};
    ///
    /// let runtime = Runtime::builder().workers(2).build()?;
    /// let batch = Batch::new(&runtime, BatchConfig::default().repeats(1))?;
    /// let items: Vec<u64> = (0..100).collect();
    /// let modes = batch.benchmark(&items, |_| 1, |item| Ok::<u64, String>(item * item))?;
    /// assert!(modes.all_identical() && modes.rows.len() == 4);
    /// print!("{modes}");
    /// # Ok::<(), agent_collective::CollectiveError>(())
    /// ```
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn benchmark<I, O, E>(
        &self,
        items: &[I],
        weight: impl Fn(&I) -> u64,
        call: impl Fn(&I) -> Result<O, E> + Sync,
    ) -> Result<ModeComparison, CollectiveError>
    where
        I: Sync,
        O: Send + PartialEq,
        E: Send + PartialEq,
    {
        let mut modes: Vec<Runs> = self.modes();
        let mut first: Option<Vec<Result<O, ItemError<E>>>> = None;
        for _ in 0..self.config.repeats {
            for runs in &mut modes {
                let batch = Batch {
                    config: runs.config.clone(),
                    ..self.clone()
                };
                let Mapped { results, report } = batch.map_weighted(items, &weight, &call)?;
                runs.wall = runs.wall.min(report.times.wall);
                runs.workers = report.times.lanes;
                match &first {
                    Some(first) => runs.identical &= *first == results,
                    None => first = Some(results),
                }
            }
        }
        Ok(self.compare(items.len(), &modes))
    }

    fn modes(&self) -> Vec<Runs> {
        let all = self.runtime.workers();
        let mut counts: Vec<usize> = (0..)
            .map(|power| 1 << power)
            .take_while(|&lanes| lanes < all)
            .collect();
        counts.push(all);
        let modes = [Mode::Sequential]
            .into_iter()
            .chain(counts.into_iter().map(Mode::Workers))
            .chain([Mode::Parallel]);
        modes
            .map(|mode| Runs {
                config: self.config.clone().mode(mode),
                workers: 1,
                wall: Duration::MAX,
                identical: true,
            })
            .collect()
    }

    fn compare(&self, items: usize, modes: &[Runs]) -> ModeComparison {
        let sequential = modes.first().map_or(Duration::ZERO, |runs| runs.wall);
        let row = |runs: &Runs| {
            let speedup = sequential.as_secs_f64() / runs.wall.as_secs_f64().max(f64::MIN_POSITIVE);
            ModeRow {
                mode: runs.config.mode,
                workers: runs.workers,
                wall: runs.wall,
                speedup,
                efficiency: speedup / count(runs.workers),
                identical: runs.identical,
            }
        };
        ModeComparison {
            items,
            repeats: self.config.repeats,
            rows: modes.iter().map(row).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 1,024 workers")]
fn count(workers: usize) -> f64 {
    workers.max(1) as f64
}

impl fmt::Display for ModeComparison {
    /// A table with one line per mode.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:>7} {:>12} {:>8} {:>10} {:>9}",
            "mode", "workers", "wall ms", "speed-up", "efficiency", "results"
        )?;
        for row in &self.rows {
            let mode = match row.mode {
                Mode::Sequential => "sequential".to_owned(),
                Mode::Parallel => "parallel".to_owned(),
                Mode::Workers(lanes) => format!("workers {lanes}"),
            };
            writeln!(
                f,
                "{mode:<12} {:>7} {:>12.3} {:>8.2} {:>8.1} % {:>9}",
                row.workers,
                row.wall.as_secs_f64() * 1e3,
                row.speedup,
                100.0 * row.efficiency,
                if row.identical { "identical" } else { "DIFFER" },
            )?;
        }
        Ok(())
    }
}
