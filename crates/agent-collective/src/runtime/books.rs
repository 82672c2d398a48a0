//! Adds the books of all workers up to a report.

use super::shared::Shared;
use crate::ledger::{Balance, Row};
use crate::primitive::Ordering;
use crate::report::{Report, TeamReport, WorkerReport};
use std::time::Duration;

impl Shared {
    /// Where the time went until now, or until the threads ended.
    pub(crate) fn report(&self) -> Report {
        let closed_ns = self.closed_ns.load(Ordering::Acquire);
        let now_ns = if closed_ns == 0 {
            self.clock.now_ns()
        } else {
            closed_ns
        };
        let books: Vec<Balance> = self
            .ledgers
            .iter()
            .map(|ledger| ledger.snapshot(now_ns, &self.no_latency))
            .collect();
        let wall_ns = now_ns.saturating_sub(self.opened_ns.load(Ordering::Relaxed));
        let per_worker: Vec<WorkerReport> = books.iter().map(worker_report).collect();
        let sum = |time: fn(&WorkerReport) -> Duration| per_worker.iter().map(time).sum();
        let (running, blocked): (Duration, Duration) = (sum(|w| w.running), sum(|w| w.blocked));
        let (overhead, idle): (Duration, Duration) = (sum(|w| w.overhead), sum(|w| w.idle));
        let accounted = (running + blocked + overhead + idle).as_secs_f64();
        let available = Duration::from_nanos(wall_ns).as_secs_f64() * books.len() as f64;
        let overhead_cpu_ns = books.iter().map(|book| book.overhead_cpu_ns).sum();
        Report {
            wall: Duration::from_nanos(wall_ns),
            workers: books.len(),
            running,
            blocked,
            overhead,
            overhead_cpu: Duration::from_nanos(overhead_cpu_ns),
            idle,
            accounted_fraction: if available > 0.0 {
                accounted / available
            } else {
                1.0
            },
            queue_depth: self.intake.depth(),
            queue_depth_max: self.intake.depth_max(),
            queue_capacity: self.intake.capacity(),
            rejected_unrouted: self.rejected_unrouted.load(Ordering::Relaxed),
            teams: (0..self.teams.len())
                .map(|team| self.team_report(team, &books, now_ns))
                .collect(),
            per_worker,
        }
    }

    fn team_report(&self, index: usize, books: &[Balance], now_ns: u64) -> TeamReport {
        let team = &self.teams[index];
        let mut sum = Row::new(&self.no_latency);
        for book in books {
            sum.add(&book.rows[index]);
        }
        TeamReport {
            name: team.name.clone(),
            submitted: team.submitted(),
            completed: sum.completed,
            failed: sum.failed,
            cancelled: sum.cancelled + team.cancelled.load(Ordering::Relaxed),
            expired: sum.expired,
            overdue: sum.overdue,
            overdue_running: books
                .iter()
                .map(|book| book.overdue_now(index, now_ns))
                .sum(),
            rejected: team.rejected.load(Ordering::Relaxed),
            queue_depth: team.intake.depth(),
            queue_depth_max: team.intake.depth_max(),
            queued: Duration::from_nanos(sum.queued_ns),
            running: Duration::from_nanos(sum.running_ns),
            blocked: Duration::from_nanos(sum.blocked_ns),
            cpu: Duration::from_nanos(sum.cpu_ns),
            queued_latency: sum.queued.quantiles(),
            run_latency: sum.run.quantiles(),
        }
    }
}

fn worker_report(book: &Balance) -> WorkerReport {
    let sum = |time: fn(&Row) -> u64| Duration::from_nanos(book.rows.iter().map(time).sum());
    WorkerReport {
        running: sum(|row| row.running_ns),
        blocked: sum(|row| row.blocked_ns),
        overhead: Duration::from_nanos(book.overhead_ns),
        idle: Duration::from_nanos(book.idle_ns),
    }
}
