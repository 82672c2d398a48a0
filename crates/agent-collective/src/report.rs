//! Reports: where the time of all workers went.

use crate::latency::Quantiles;
use std::fmt;
use std::time::Duration;

/// Where the time of a runtime went, from its start to now (or to its end).
///
/// `running + blocked + overhead + idle` is measured interval by interval and comes to
/// `workers * wall`; [`accounted_fraction`](Self::accounted_fraction) is the ratio of the two.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Time since the runtime opened.
    pub wall: Duration,
    /// Number of worker threads.
    pub workers: usize,
    /// Sum over all workers and teams: time inside tasks and messages that did not wait.
    pub running: Duration,
    /// Sum over all workers and teams: time inside tasks and messages that waited.
    pub blocked: Duration,
    /// Sum over all workers: finding, stealing and handing over work, bookkeeping.
    pub overhead: Duration,
    /// CPU time of the overhead. Like every CPU time here it does not include a task that is still
    /// running, and what a busy worker used in the last 10 ms at most.
    pub overhead_cpu: Duration,
    /// Sum over all workers: parked because there was nothing to do.
    pub idle: Duration,
    /// `(running + blocked + overhead + idle) / (workers * wall)`; 1.0 when the books are right.
    pub accounted_fraction: f64,
    /// Tasks in the queues now.
    pub queue_depth: usize,
    /// The most tasks that ever were in the queues at one time.
    pub queue_depth_max: usize,
    /// The most tasks that may be in the queues.
    pub queue_capacity: usize,
    /// Rejections that concern no team: unknown capability, shutdown, delegation too deep.
    pub rejected_unrouted: u64,
    /// One row per team, in the order in which they were configured.
    pub teams: Vec<TeamReport>,
    /// One row per worker.
    pub per_worker: Vec<WorkerReport>,
}

/// One team's share of a [`Report`]. A message to an agent of the team counts as one task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TeamReport {
    /// Name of the team.
    pub name: String,
    /// Accepted tasks and messages.
    pub submitted: u64,
    /// Those that returned a value.
    pub completed: u64,
    /// Those that panicked.
    pub failed: u64,
    /// Those that were cancelled before they returned.
    pub cancelled: u64,
    /// Those whose deadline passed before they started or at a checkpoint.
    pub expired: u64,
    /// Those that ended after their deadline, whatever the outcome.
    pub overdue: u64,
    /// Those that run now and are past their deadline.
    pub overdue_running: u64,
    /// Submissions turned away.
    pub rejected: u64,
    /// Tasks in the queue now.
    pub queue_depth: usize,
    /// The most tasks that ever were in the queue at one time.
    pub queue_depth_max: usize,
    /// Sum of the times between acceptance and start, or cancellation.
    pub queued: Duration,
    /// Sum of the time on workers without waiting.
    pub running: Duration,
    /// Sum of the time on workers spent waiting: [`blocking`](crate::TaskContext::blocking),
    /// joins, full mailboxes.
    pub blocked: Duration,
    /// CPU time of tasks that ended.
    pub cpu: Duration,
    /// Distribution of the times between acceptance and start, or cancellation.
    pub queued_latency: Quantiles,
    /// Distribution of the times between start and end, waiting included.
    pub run_latency: Quantiles,
}

/// One worker's share of a [`Report`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Time inside tasks that did not wait.
    pub running: Duration,
    /// Time inside tasks that waited.
    pub blocked: Duration,
    /// Finding and handing over work, bookkeeping.
    pub overhead: Duration,
    /// Parked.
    pub idle: Duration,
}

impl Report {
    /// The row of the team called `name`.
    pub fn team(&self, name: &str) -> Option<&TeamReport> {
        self.teams.iter().find(|team| team.name == name)
    }
}

impl TeamReport {
    /// Accepted tasks and messages that have ended, whatever the outcome.
    pub fn finished(&self) -> u64 {
        self.completed + self.failed + self.cancelled + self.expired
    }
}

impl fmt::Display for Report {
    /// A table: the split of the time, then one line per team.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.wall.as_secs_f64() * self.workers as f64;
        let share = |time: Duration| 100.0 * time.as_secs_f64() / total.max(f64::MIN_POSITIVE);
        writeln!(
            f,
            "wall {:.3} s, {} workers: running {:.2} %, blocked {:.2} %, overhead {:.2} %, \
             idle {:.2} %, accounted {:.2} %",
            self.wall.as_secs_f64(),
            self.workers,
            share(self.running),
            share(self.blocked),
            share(self.overhead),
            share(self.idle),
            100.0 * self.accounted_fraction,
        )?;
        writeln!(
            f,
            "{:<16} {:>10} {:>10} {:>8} {:>8} {:>10} {:>10} {:>10} {:>11} {:>11} {:>11} {:>11}",
            "team",
            "submitted",
            "completed",
            "failed",
            "rejected",
            "running s",
            "blocked s",
            "cpu s",
            "queued p50",
            "queued p99",
            "run p50",
            "run p99",
        )?;
        for team in &self.teams {
            writeln!(
                f,
                "{:<16} {:>10} {:>10} {:>8} {:>8} {:>10.3} {:>10.3} {:>10.3} {:>11.1?} {:>11.1?} \
                 {:>11.1?} {:>11.1?}",
                team.name,
                team.submitted,
                team.completed,
                team.failed,
                team.rejected,
                team.running.as_secs_f64(),
                team.blocked.as_secs_f64(),
                team.cpu.as_secs_f64(),
                team.queued_latency.p50,
                team.queued_latency.p99,
                team.run_latency.p50,
                team.run_latency.p99,
            )?;
        }
        Ok(())
    }
}
