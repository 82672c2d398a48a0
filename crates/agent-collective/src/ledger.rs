//! One worker's book of time: every nanosecond of its thread goes to exactly one phase.
//!
//! Each change of phase reads the clock once; the interval since the last change is added to the
//! phase that ends. No phase is computed as "the rest", so a lost or doubly counted interval shows
//! as a sum that differs from the wall time.

use crate::clock::{NEVER_NS, thread_cpu_ns};
use crate::error::TaskError;
use crate::latency::Latency;

/// What a worker does with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Parked, nothing to do.
    Idle,
    /// Looking for work, stealing, bookkeeping.
    Overhead,
    /// Running a task or message of this team.
    Running(usize),
    /// Inside a task of this team that waits.
    Blocked(usize),
}

/// The CPU clock is a system call, so it is read at most once per this many nanoseconds of wall
/// time and the CPU time since is shared out by the wall time of each team's running phases.
const CPU_READ_INTERVAL_NS: u64 = 50_000;

/// What one worker did for one team.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) running_ns: u64,
    pub(crate) blocked_ns: u64,
    pub(crate) queued_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    pub(crate) overdue: u64,
    pub(crate) queued: Latency,
    pub(crate) run: Latency,
    /// Running time whose CPU time has not been read yet.
    unread_ns: u64,
}

/// The book of one worker. Changed by its own thread only; others take a [`snapshot`].
///
/// [`snapshot`]: Ledger::snapshot
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    phase: Phase,
    since_ns: u64,
    pub(crate) idle_ns: u64,
    pub(crate) overhead_ns: u64,
    pub(crate) overhead_cpu_ns: u64,
    pub(crate) rows: Box<[Row]>,
    /// Team and deadline of each unfinished unit, the innermost last.
    open: Vec<(usize, u64)>,
    overhead_unread_ns: u64,
    cpu_read_ns: u64,
    cpu_read_at_ns: u64,
}

/// How one unit of work ended, for the books.
pub(crate) struct Finished<'a> {
    pub(crate) team: usize,
    pub(crate) started_ns: u64,
    pub(crate) error: Option<&'a TaskError>,
    /// The phase to go back to.
    pub(crate) resume: Phase,
}

impl Row {
    pub(crate) fn new(latency: &Latency) -> Self {
        Self {
            running_ns: 0,
            blocked_ns: 0,
            queued_ns: 0,
            cpu_ns: 0,
            completed: 0,
            failed: 0,
            cancelled: 0,
            expired: 0,
            overdue: 0,
            queued: latency.clone(),
            run: latency.clone(),
            unread_ns: 0,
        }
    }

    /// Adds the counts and times of the same team on another worker.
    pub(crate) fn add(&mut self, other: &Self) {
        self.running_ns += other.running_ns;
        self.blocked_ns += other.blocked_ns;
        self.queued_ns += other.queued_ns;
        self.cpu_ns += other.cpu_ns;
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.expired += other.expired;
        self.overdue += other.overdue;
        self.queued.merge(&other.queued);
        self.run.merge(&other.run);
    }

    fn count(&mut self, error: Option<&TaskError>) {
        match error {
            None => self.completed += 1,
            Some(TaskError::Cancelled) => self.cancelled += 1,
            Some(TaskError::DeadlineExceeded { .. }) => self.expired += 1,
            Some(_) => self.failed += 1,
        }
    }
}

impl Ledger {
    /// Starts at `now_ns` in the phase overhead.
    pub(crate) fn new(now_ns: u64, teams: usize, latency: &Latency) -> Self {
        Self {
            phase: Phase::Overhead,
            since_ns: now_ns,
            idle_ns: 0,
            overhead_ns: 0,
            overhead_cpu_ns: 0,
            rows: vec![Row::new(latency); teams].into_boxed_slice(),
            open: Vec::new(),
            overhead_unread_ns: 0,
            cpu_read_ns: 0,
            cpu_read_at_ns: now_ns,
        }
    }

    /// Starts the timeline again at `now_ns`, so that those of all workers begin at one stamp.
    pub(crate) fn open_at(&mut self, now_ns: u64) {
        self.since_ns = now_ns;
        self.cpu_read_at_ns = now_ns;
    }

    /// Starts counting the CPU time of the calling thread, which is the worker's own.
    pub(crate) fn start_cpu(&mut self) {
        self.cpu_read_ns = thread_cpu_ns();
    }

    /// Changes the phase and returns the one that ended.
    pub(crate) fn switch(&mut self, now_ns: u64, next: Phase) -> Phase {
        self.settle(now_ns);
        if now_ns.saturating_sub(self.cpu_read_at_ns) >= CPU_READ_INTERVAL_NS {
            self.read_cpu(now_ns);
        }
        std::mem::replace(&mut self.phase, next)
    }

    /// A unit of work starts; returns the phase it interrupts.
    pub(crate) fn begin(
        &mut self,
        now_ns: u64,
        team: usize,
        queued_ns: u64,
        deadline_ns: u64,
    ) -> Phase {
        let row = &mut self.rows[team];
        row.queued_ns += queued_ns;
        row.queued.record(queued_ns);
        self.open.push((team, deadline_ns));
        self.switch(now_ns, Phase::Running(team))
    }

    /// The unit that began last ends.
    pub(crate) fn end(&mut self, now_ns: u64, unit: &Finished<'_>) {
        self.switch(now_ns, unit.resume);
        let deadline_ns = self
            .open
            .pop()
            .map_or(NEVER_NS, |(_, deadline_ns)| deadline_ns);
        let row = &mut self.rows[unit.team];
        row.run.record(now_ns.saturating_sub(unit.started_ns));
        row.count(unit.error);
        if now_ns > deadline_ns {
            row.overdue += 1;
        }
    }

    /// A unit ended without being run.
    pub(crate) fn refuse(&mut self, team: usize, queued_ns: u64, error: &TaskError) {
        let row = &mut self.rows[team];
        row.queued_ns += queued_ns;
        row.queued.record(queued_ns);
        row.count(Some(error));
    }

    /// The worker's thread ends: its CPU clock is read a last time and it counts as idle from now.
    pub(crate) fn close(&mut self, now_ns: u64) {
        self.switch(now_ns, Phase::Idle);
        self.read_cpu(now_ns);
    }

    /// A copy with the phase that is going on included up to `now_ns`.
    pub(crate) fn snapshot(&self, now_ns: u64) -> Self {
        let mut copy = self.clone();
        copy.settle(now_ns);
        copy
    }

    /// How many unfinished units of `team` are past their deadline.
    pub(crate) fn overdue_now(&self, team: usize, now_ns: u64) -> u64 {
        let late = |&&(of, deadline_ns): &&(usize, u64)| of == team && now_ns > deadline_ns;
        self.open.iter().filter(late).count() as u64
    }

    fn settle(&mut self, now_ns: u64) {
        let ns = now_ns.saturating_sub(self.since_ns);
        self.since_ns = self.since_ns.max(now_ns);
        match self.phase {
            Phase::Idle => self.idle_ns += ns,
            Phase::Overhead => {
                self.overhead_ns += ns;
                self.overhead_unread_ns += ns;
            }
            Phase::Running(team) => {
                self.rows[team].running_ns += ns;
                self.rows[team].unread_ns += ns;
            }
            Phase::Blocked(team) => self.rows[team].blocked_ns += ns,
        }
    }

    /// Shares the CPU time since the last reading out by unread running and overhead time.
    fn read_cpu(&mut self, now_ns: u64) {
        let cpu_ns = thread_cpu_ns();
        let used_ns = u128::from(cpu_ns.saturating_sub(self.cpu_read_ns));
        (self.cpu_read_ns, self.cpu_read_at_ns) = (cpu_ns, now_ns);
        let unread_ns =
            self.overhead_unread_ns + self.rows.iter().map(|row| row.unread_ns).sum::<u64>();
        let mut left_ns = used_ns;
        for row in self.rows.iter_mut().filter(|row| row.unread_ns > 0) {
            let share_ns = used_ns * u128::from(row.unread_ns) / u128::from(unread_ns);
            row.cpu_ns += u64::try_from(share_ns).unwrap_or(0);
            left_ns -= share_ns;
            row.unread_ns = 0;
        }
        self.overhead_cpu_ns += u64::try_from(left_ns).unwrap_or(0);
        self.overhead_unread_ns = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(100, 2, &Latency::new().unwrap())
    }

    fn total_ns(ledger: &Ledger) -> u64 {
        let rows = ledger
            .rows
            .iter()
            .map(|row| row.running_ns + row.blocked_ns)
            .sum::<u64>();
        rows + ledger.idle_ns + ledger.overhead_ns
    }

    #[test]
    fn phases_partition_the_time_also_when_units_nest() {
        let mut book = ledger();
        let outer = book.begin(110, 0, 7, 150);
        assert_eq!(outer, Phase::Overhead);
        let waiting = book.switch(120, Phase::Blocked(0));
        let inner = book.begin(125, 1, 3, NEVER_NS);
        assert_eq!(inner, Phase::Blocked(0));
        let failed = TaskError::Panicked {
            message: String::new(),
        };
        let unit = Finished {
            team: 1,
            started_ns: 125,
            error: Some(&failed),
            resume: inner,
        };
        book.end(145, &unit);
        book.switch(150, waiting);
        assert_eq!(book.overdue_now(0, 155), 1);
        book.end(
            160,
            &Finished {
                team: 0,
                started_ns: 110,
                error: None,
                resume: outer,
            },
        );
        book.switch(170, Phase::Idle);
        let seen = book.snapshot(200);

        assert_eq!(total_ns(&seen), 100);
        assert_eq!((seen.idle_ns, seen.overhead_ns), (30, 20));
        assert_eq!((seen.rows[0].running_ns, seen.rows[0].blocked_ns), (20, 10));
        assert_eq!((seen.rows[1].running_ns, seen.rows[1].blocked_ns), (20, 0));
        assert_eq!((seen.rows[0].completed, seen.rows[0].overdue), (1, 1));
        assert_eq!((seen.rows[1].failed, seen.rows[1].overdue), (1, 0));
        assert_eq!(seen.overdue_now(0, 200), 0);
    }

    #[test]
    fn a_snapshot_leaves_the_book_alone() {
        let mut book = ledger();
        book.switch(150, Phase::Idle);
        assert_eq!(total_ns(&book.snapshot(500)), 400);
        assert_eq!(total_ns(&book), 50);
    }

    #[test]
    fn cpu_time_goes_to_whoever_ran() {
        let mut book = ledger();
        book.open_at(0);
        book.start_cpu();
        let resume = book.begin(0, 0, 0, NEVER_NS);
        let mut value = 1u64;
        while thread_cpu_ns() < book.cpu_read_ns + 2_000_000 {
            value = std::hint::black_box(value.wrapping_mul(3));
        }
        book.end(
            2_000_000,
            &Finished {
                team: 0,
                started_ns: 0,
                error: None,
                resume,
            },
        );
        assert!(book.rows[0].cpu_ns >= 2_000_000);
        assert_eq!(book.rows[1].cpu_ns, 0);
    }
}
