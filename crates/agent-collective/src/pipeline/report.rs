//! Where the time of a run went, stage by stage.

use crate::batch::LaneTimes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where the time of one run went.
///
/// Stages run one after the other, so their wall times and what lies between them come to the wall
/// time of the run; within a stage, the lanes' books come to the lanes' time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PipelineReport {
    /// Name of the pipeline.
    pub name: Arc<str>,
    /// From the call to its return.
    pub wall: Duration,
    /// Outside all stages, measured: taking the items in, putting verdicts in order.
    pub between: Duration,
    /// Items that went in.
    pub items: usize,
    /// Items that went through all stages.
    pub passed: usize,
    /// Whether the run was cancelled before its end.
    pub cancelled: bool,
    /// One row per stage, in order.
    pub stages: Vec<StageReport>,
}

/// One stage of a [`PipelineReport`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StageReport {
    /// Name of the stage.
    pub name: Arc<str>,
    /// Items that came in.
    pub items: usize,
    /// Items that went on.
    pub passed: usize,
    /// Of those that did not, how many were cut at their deadline.
    pub timed_out: usize,
    /// How many were left behind with their thread.
    pub abandoned: usize,
    /// How many panicked.
    pub panicked: usize,
    /// From the start of the stage to its end.
    pub wall: Duration,
    /// On the calling thread alone, measured: handing out, merging, comparing keys.
    pub serial: Duration,
    /// The parallel part.
    pub times: LaneTimes,
    /// Sum over all items of the time between start and end of the item when no thread was
    /// running it: what waiting futures wait. It is not part of the wall time's sum.
    pub waiting: Duration,
}

impl StageReport {
    /// The share of the wall time that the books name, as wall time.
    fn accounted(&self) -> Duration {
        let times = &self.times;
        self.serial + times.wall_share(times.running + times.overhead + times.idle)
    }

    /// `(serial + lanes) / wall`; 1.0 when the books are right.
    pub fn accounted_fraction(&self) -> f64 {
        ratio(self.accounted(), self.wall)
    }
}

impl PipelineReport {
    /// `(between + all stages' serial and lane times) / wall`; 1.0 when the books are right.
    pub fn accounted_fraction(&self) -> f64 {
        let stages: Duration = self.stages.iter().map(StageReport::accounted).sum();
        ratio(self.between + stages, self.wall)
    }

    /// The row of the stage called `name`.
    pub fn stage(&self, name: &str) -> Option<&StageReport> {
        self.stages.iter().find(|stage| &*stage.name == name)
    }
}

fn ratio(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() {
        return 1.0;
    }
    part.as_secs_f64() / whole.as_secs_f64()
}

impl fmt::Display for PipelineReport {
    /// A table: one line per stage, in per cent of the run's wall time, and the sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: Duration| 100.0 * ratio(part, self.wall);
        writeln!(
            f,
            "{:<20} {:>6} {:>6} {:>10} {:>10} {:>11} {:>5} {:>9} {:>8} {:>9} {:>7} {:>7}",
            self.name,
            "in",
            "passed",
            "wall ms",
            "cpu ms",
            "queued ms",
            "lanes",
            "running %",
            "serial %",
            "overhd %",
            "idle %",
            "sum %",
        )?;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        for stage in &self.stages {
            let times = &stage.times;
            let share = |part: Duration| percent(times.wall_share(part));
            writeln!(
                f,
                "{:<20} {:>6} {:>6} {:>10.3} {:>10.3} {:>11.3} {:>5} {:>9.2} {:>8.2} {:>9.2} {:>7.2} {:>7.2}",
                stage.name,
                stage.items,
                stage.passed,
                ms(stage.wall),
                ms(times.cpu),
                ms(times.queued),
                times.lanes,
                share(times.running),
                percent(stage.serial),
                share(times.overhead),
                share(times.idle),
                percent(stage.accounted()),
            )?;
        }
        writeln!(
            f,
            "{:<20} {:>6} {:>6} {:>10.3} {:>77.2}",
            "between stages",
            "",
            "",
            ms(self.between),
            percent(self.between),
        )?;
        writeln!(
            f,
            "{:<20} {:>6} {:>6} {:>10.3} {:>77.2}",
            "whole run",
            self.items,
            self.passed,
            ms(self.wall),
            100.0 * self.accounted_fraction(),
        )
    }
}
