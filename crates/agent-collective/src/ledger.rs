//! One worker's book of time: every nanosecond of its thread goes to exactly one phase.
//!
//! Each change of phase reads the clock once; the interval since the last change is added to the
//! phase that ends. No phase is computed as "the rest", so a lost or doubly counted interval shows
//! as a sum that differs from the wall time.
//!
//! A book is written by its worker alone, with plain stores, and copied by anyone: the owner makes
//! the version odd before it changes the times and even afterwards, and a reader that saw the
//! version change reads again (a sequence lock of atomics).

use crate::clock::{NEVER_NS, thread_cpu_ns};
use crate::error::TaskError;
use crate::latency::{Latency, Recorder};
use crate::phase::Phase;
use crate::primitive::{AtomicU64, Mutex, Ordering, fence, lock};

/// The CPU clock is a system call, so it is read at most once per this many nanoseconds that were
/// not idle, and the CPU time since is shared out by the wall time of each team's running phases.
const CPU_READ_INTERVAL_NS: u64 = 100_000;

/// As long as the units of one team follow each other without a pause, nothing is gained by reading
/// more often than this. The reading makes the system look whether this thread has had its share of
/// the processor, and on a busy machine it then loses it between two units, which wait meanwhile.
const CPU_READ_INTERVAL_ONE_TEAM_NS: u64 = 10_000_000;

/// A number that one thread changes and others read.
#[derive(Debug, Default)]
struct Own(AtomicU64);

/// What one worker did for one team, as its worker keeps it.
#[derive(Debug)]
struct LiveRow {
    running_ns: Own,
    blocked_ns: Own,
    queued_ns: Own,
    cpu_ns: Own,
    completed: Own,
    failed: Own,
    cancelled: Own,
    expired: Own,
    overdue: Own,
    /// Running time whose CPU time has not been read yet.
    unread_ns: Own,
    queued: Recorder,
    run: Recorder,
}

/// A copy of what one or more workers did for one team.
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
}

/// The book of one worker. Changed by its own thread only; others take a [`snapshot`].
///
/// [`snapshot`]: Ledger::snapshot
#[derive(Debug)]
pub(crate) struct Ledger {
    version: AtomicU64,
    phase: AtomicU64,
    since_ns: Own,
    idle_ns: Own,
    overhead_ns: Own,
    overhead_cpu_ns: Own,
    overhead_unread_ns: Own,
    cpu_read_ns: Own,
    /// Time since that reading in all phases but idle.
    busy_unread_ns: Own,
    /// One more than the team that ran last; 0 before the first.
    last_team: Own,
    /// 1 while another thread than the worker's own writes, whose CPU clock is another.
    guest: Own,
    /// CPU time of guests that has not been shared out.
    guest_cpu_ns: Own,
    rows: Box<[LiveRow]>,
    /// Team and deadline of each unfinished unit that has one, the innermost last.
    open: Mutex<Vec<(usize, u64)>>,
}

/// What a book held when a guest came.
pub(crate) struct GuestEntry {
    running_ns: u64,
}

/// A consistent copy of a [`Ledger`].
#[derive(Clone, Debug)]
pub(crate) struct Balance {
    pub(crate) idle_ns: u64,
    pub(crate) overhead_ns: u64,
    pub(crate) overhead_cpu_ns: u64,
    pub(crate) rows: Box<[Row]>,
    open: Vec<(usize, u64)>,
}

/// How one unit of work ended, for the books.
pub(crate) struct Finished<'a> {
    pub(crate) team: usize,
    pub(crate) started_ns: u64,
    pub(crate) deadline_ns: u64,
    pub(crate) error: Option<&'a TaskError>,
    /// The phase to go back to.
    pub(crate) resume: Phase,
}

impl Own {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn add(&self, value: u64) {
        self.set(self.get() + value);
    }
}

impl LiveRow {
    fn new(latency: &Latency) -> Self {
        Self {
            running_ns: Own::default(),
            blocked_ns: Own::default(),
            queued_ns: Own::default(),
            cpu_ns: Own::default(),
            completed: Own::default(),
            failed: Own::default(),
            cancelled: Own::default(),
            expired: Own::default(),
            overdue: Own::default(),
            unread_ns: Own::default(),
            queued: Recorder::new(latency),
            run: Recorder::new(latency),
        }
    }

    fn count(&self, error: Option<&TaskError>) {
        let counter = match error {
            None => &self.completed,
            Some(TaskError::Cancelled) => &self.cancelled,
            Some(TaskError::DeadlineExceeded { .. }) => &self.expired,
            Some(_) => &self.failed,
        };
        counter.add(1);
    }

    /// The numbers; the latencies come from `Recorder::snapshot`.
    fn copy(&self, latency: &Latency) -> Row {
        Row {
            running_ns: self.running_ns.get(),
            blocked_ns: self.blocked_ns.get(),
            queued_ns: self.queued_ns.get(),
            cpu_ns: self.cpu_ns.get(),
            completed: self.completed.get(),
            failed: self.failed.get(),
            cancelled: self.cancelled.get(),
            expired: self.expired.get(),
            overdue: self.overdue.get(),
            queued: latency.clone(),
            run: latency.clone(),
        }
    }
}

impl Row {
    pub(crate) fn new(latency: &Latency) -> Self {
        LiveRow::new(latency).copy(latency)
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
}

impl Ledger {
    /// Starts at `now_ns` in the phase overhead.
    pub(crate) fn new(now_ns: u64, teams: usize, latency: &Latency) -> Self {
        let ledger = Self {
            version: AtomicU64::new(0),
            phase: AtomicU64::new(Phase::Overhead.word()),
            since_ns: Own::default(),
            idle_ns: Own::default(),
            overhead_ns: Own::default(),
            overhead_cpu_ns: Own::default(),
            overhead_unread_ns: Own::default(),
            cpu_read_ns: Own::default(),
            busy_unread_ns: Own::default(),
            last_team: Own::default(),
            guest: Own::default(),
            guest_cpu_ns: Own::default(),
            rows: (0..teams).map(|_| LiveRow::new(latency)).collect(),
            open: Mutex::new(Vec::new()),
        };
        ledger.open_at(now_ns);
        ledger
    }

    /// Starts the timeline again at `now_ns`, so that those of all workers begin at one stamp.
    pub(crate) fn open_at(&self, now_ns: u64) {
        self.since_ns.set(now_ns);
        self.busy_unread_ns.set(0);
    }

    /// Starts counting the CPU time of the calling thread, which is the worker's own.
    pub(crate) fn start_cpu(&self) {
        self.cpu_read_ns.set(thread_cpu_ns());
    }

    /// Runs `change` so that no reader takes a half-changed book for a whole one.
    fn write<R>(&self, change: impl FnOnce() -> R) -> R {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let result = change();
        self.version.store(version + 2, Ordering::Release);
        result
    }

    /// Runs `copy` until nothing changed meanwhile.
    fn read<R>(&self, copy: impl Fn() -> R) -> R {
        loop {
            let before = self.version.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let result = copy();
                fence(Ordering::Acquire);
                if self.version.load(Ordering::Relaxed) == before {
                    return result;
                }
            }
            std::hint::spin_loop();
        }
    }

    /// Changes the phase and returns the one that ended.
    pub(crate) fn switch(&self, now_ns: u64, next: Phase) -> Phase {
        let before = self.write(|| self.change_phase(now_ns, next));
        self.read_cpu_if_due(next);
        before
    }

    fn change_phase(&self, now_ns: u64, next: Phase) -> Phase {
        let ending = Phase::from_word(self.phase.load(Ordering::Relaxed));
        let ns = now_ns.saturating_sub(self.since_ns.get());
        self.since_ns.set(self.since_ns.get().max(now_ns));
        if ending != Phase::Idle {
            self.busy_unread_ns.add(ns);
        }
        match ending {
            Phase::Idle => self.idle_ns.add(ns),
            Phase::Overhead => {
                self.overhead_ns.add(ns);
                self.overhead_unread_ns.add(ns);
            }
            Phase::Running(team) => {
                self.rows[team].running_ns.add(ns);
                self.rows[team].unread_ns.add(ns);
            }
            Phase::Blocked(team) => self.rows[team].blocked_ns.add(ns),
        }
        self.phase.store(next.word(), Ordering::Relaxed);
        ending
    }

    /// Reads the CPU clock before another team runs and before this thread waits, or after a while.
    fn read_cpu_if_due(&self, next: Phase) {
        let interval_ns = match next {
            Phase::Idle | Phase::Blocked(_) => CPU_READ_INTERVAL_NS,
            Phase::Overhead => CPU_READ_INTERVAL_ONE_TEAM_NS,
            Phase::Running(team) => {
                let (before, now) = (self.last_team.get(), team as u64 + 1);
                self.last_team.set(now);
                if before == now {
                    CPU_READ_INTERVAL_ONE_TEAM_NS
                } else {
                    CPU_READ_INTERVAL_NS
                }
            }
        };
        if self.busy_unread_ns.get() >= interval_ns && self.guest.get() == 0 {
            self.read_cpu();
        }
    }

    /// Another thread writes on the sleeping worker's behalf from now on.
    pub(crate) fn admit_guest(&self) -> GuestEntry {
        self.guest.set(1);
        GuestEntry {
            running_ns: self.unread_running_ns(),
        }
    }

    /// That thread has used `cpu_ns` of CPU time; if it has not measured that, what ran in the
    /// meantime is taken for it.
    pub(crate) fn dismiss_guest(&self, entry: &GuestEntry, cpu_ns: Option<u64>) {
        let ran_ns = self.unread_running_ns().saturating_sub(entry.running_ns);
        self.guest_cpu_ns.add(cpu_ns.unwrap_or(ran_ns));
        self.guest.set(0);
        if self.busy_unread_ns.get() >= CPU_READ_INTERVAL_NS {
            self.busy_unread_ns.set(0);
            self.share_cpu(0);
        }
    }

    fn unread_running_ns(&self) -> u64 {
        self.rows.iter().map(|row| row.unread_ns.get()).sum()
    }

    /// A unit of work starts; returns the phase it interrupts.
    pub(crate) fn begin(
        &self,
        now_ns: u64,
        team: usize,
        queued_ns: u64,
        deadline_ns: u64,
    ) -> Phase {
        let row = &self.rows[team];
        row.queued.record(queued_ns);
        if deadline_ns != NEVER_NS {
            lock(&self.open).push((team, deadline_ns));
        }
        let interrupted = self.write(|| {
            row.queued_ns.add(queued_ns);
            self.change_phase(now_ns, Phase::Running(team))
        });
        self.read_cpu_if_due(Phase::Running(team));
        interrupted
    }

    /// The unit that began last ends.
    pub(crate) fn end(&self, now_ns: u64, unit: &Finished<'_>) {
        let row = &self.rows[unit.team];
        if unit.deadline_ns != NEVER_NS {
            lock(&self.open).pop();
        }
        row.run.record(now_ns.saturating_sub(unit.started_ns));
        self.write(|| {
            self.change_phase(now_ns, unit.resume);
            row.count(unit.error);
            if now_ns > unit.deadline_ns {
                row.overdue.add(1);
            }
        });
        self.read_cpu_if_due(unit.resume);
    }

    /// A share of a bulk job ends: `count` items, begun together, of which some failed.
    pub(crate) fn end_many(&self, now_ns: u64, unit: &Finished<'_>, count: u64, failed: u64) {
        let row = &self.rows[unit.team];
        if unit.deadline_ns != NEVER_NS {
            lock(&self.open).pop();
        }
        let each_ns = now_ns.saturating_sub(unit.started_ns) / count.max(1);
        row.run.record_many(each_ns, count);
        self.write(|| {
            self.change_phase(now_ns, unit.resume);
            row.completed.add(count.saturating_sub(failed));
            row.failed.add(failed);
            if now_ns > unit.deadline_ns {
                row.overdue.add(count);
            }
        });
        self.read_cpu_if_due(unit.resume);
    }

    /// The items of a share of a bulk job start.
    pub(crate) fn begin_many(
        &self,
        now_ns: u64,
        team: usize,
        (queued_ns, count): (u64, u64),
        deadline_ns: u64,
    ) -> Phase {
        let row = &self.rows[team];
        row.queued.record_many(queued_ns, count);
        if deadline_ns != NEVER_NS {
            lock(&self.open).push((team, deadline_ns));
        }
        let interrupted = self.write(|| {
            row.queued_ns.add(queued_ns.saturating_mul(count));
            self.change_phase(now_ns, Phase::Running(team))
        });
        self.read_cpu_if_due(Phase::Running(team));
        interrupted
    }

    /// Units ended without being run.
    pub(crate) fn refuse(&self, team: usize, queued_ns: u64, error: &TaskError, count: u64) {
        let row = &self.rows[team];
        row.queued.record_many(queued_ns, count);
        self.write(|| {
            row.queued_ns.add(queued_ns.saturating_mul(count));
            for _ in 0..count {
                row.count(Some(error));
            }
        });
    }

    /// The worker's thread ends: its CPU clock is read a last time and it counts as idle from now.
    pub(crate) fn close(&self, now_ns: u64) {
        self.switch(now_ns, Phase::Idle);
        self.read_cpu();
    }

    /// A copy with the phase that is going on included up to `now_ns`. The latencies may hold a
    /// unit more than the counts, or a few if the worker is busy.
    pub(crate) fn snapshot(&self, now_ns: u64, latency: &Latency) -> Balance {
        let mut balance = self.read(|| {
            let mut balance = Balance {
                idle_ns: self.idle_ns.get(),
                overhead_ns: self.overhead_ns.get(),
                overhead_cpu_ns: self.overhead_cpu_ns.get(),
                rows: self.rows.iter().map(|row| row.copy(latency)).collect(),
                open: Vec::new(),
            };
            let phase = Phase::from_word(self.phase.load(Ordering::Relaxed));
            balance.add_current(phase, now_ns.saturating_sub(self.since_ns.get()));
            balance
        });
        balance.open.clone_from(&lock(&self.open));
        for (row, live) in balance.rows.iter_mut().zip(&self.rows) {
            row.queued = live.queued.snapshot();
            row.run = live.run.snapshot();
        }
        balance
    }

    /// Shares out the CPU time since the last reading.
    fn read_cpu(&self) {
        let cpu_ns = thread_cpu_ns();
        let used_ns = cpu_ns.saturating_sub(self.cpu_read_ns.get());
        self.cpu_read_ns.set(cpu_ns);
        self.busy_unread_ns.set(0);
        self.share_cpu(used_ns);
    }

    /// Shares CPU time of the worker and that of its guests out by unread running and overhead time.
    fn share_cpu(&self, used_ns: u64) {
        let used_ns = u128::from(used_ns + self.guest_cpu_ns.get());
        self.guest_cpu_ns.set(0);
        let overhead_ns = self.overhead_unread_ns.get();
        let unread_ns = overhead_ns + self.unread_running_ns();
        self.write(|| {
            let mut left_ns = used_ns;
            for row in self.rows.iter().filter(|row| row.unread_ns.get() > 0) {
                let share_ns = used_ns * u128::from(row.unread_ns.get()) / u128::from(unread_ns);
                row.cpu_ns.add(u64::try_from(share_ns).unwrap_or(0));
                left_ns -= share_ns;
                row.unread_ns.set(0);
            }
            self.overhead_cpu_ns
                .add(u64::try_from(left_ns).unwrap_or(0));
            self.overhead_unread_ns.set(0);
        });
    }
}

impl Balance {
    fn add_current(&mut self, phase: Phase, ns: u64) {
        match phase {
            Phase::Idle => self.idle_ns += ns,
            Phase::Overhead => self.overhead_ns += ns,
            Phase::Running(team) => self.rows[team].running_ns += ns,
            Phase::Blocked(team) => self.rows[team].blocked_ns += ns,
        }
    }

    /// How many unfinished units of `team` are past their deadline.
    pub(crate) fn overdue_now(&self, team: usize, now_ns: u64) -> u64 {
        let late = |&&(of, deadline_ns): &&(usize, u64)| of == team && now_ns > deadline_ns;
        self.open.iter().filter(late).count() as u64
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    fn latency() -> Latency {
        Latency::new().unwrap()
    }

    fn ledger() -> Ledger {
        Ledger::new(100, 2, &latency())
    }

    fn total_ns(balance: &Balance) -> u64 {
        let rows = balance
            .rows
            .iter()
            .map(|row| row.running_ns + row.blocked_ns)
            .sum::<u64>();
        rows + balance.idle_ns + balance.overhead_ns
    }

    fn finished(
        team: usize,
        started_ns: u64,
        deadline_ns: u64,
        resume: Phase,
    ) -> Finished<'static> {
        Finished {
            team,
            started_ns,
            deadline_ns,
            error: None,
            resume,
        }
    }

    #[test]
    fn phases_partition_the_time_also_when_units_nest() {
        let book = ledger();
        let outer = book.begin(110, 0, 7, 150);
        assert_eq!(outer, Phase::Overhead);
        let waiting = book.switch(120, Phase::Blocked(0));
        let inner = book.begin(125, 1, 3, NEVER_NS);
        assert_eq!(inner, Phase::Blocked(0));
        let failed = TaskError::Panicked {
            message: String::new(),
        };
        let mut unit = finished(1, 125, NEVER_NS, inner);
        unit.error = Some(&failed);
        book.end(145, &unit);
        book.switch(150, waiting);
        assert_eq!(book.snapshot(155, &latency()).overdue_now(0, 155), 1);
        book.end(160, &finished(0, 110, 150, outer));
        book.switch(170, Phase::Idle);
        let seen = book.snapshot(200, &latency());

        assert_eq!(total_ns(&seen), 100);
        assert_eq!((seen.idle_ns, seen.overhead_ns), (30, 20));
        assert_eq!((seen.rows[0].running_ns, seen.rows[0].blocked_ns), (20, 10));
        assert_eq!((seen.rows[1].running_ns, seen.rows[1].blocked_ns), (20, 0));
        assert_eq!((seen.rows[0].completed, seen.rows[0].overdue), (1, 1));
        assert_eq!((seen.rows[1].failed, seen.rows[1].overdue), (1, 0));
        assert_eq!(seen.overdue_now(0, 200), 0);
    }

    #[test]
    fn shares_of_a_bulk_job_count_each_item() {
        let book = ledger();
        let resume = book.begin_many(110, 1, (4, 10), NEVER_NS);
        book.end_many(210, &finished(1, 110, NEVER_NS, resume), 10, 3);
        book.refuse(1, 5, &TaskError::Cancelled, 2);
        let seen = book.snapshot(210, &latency());
        let row = &seen.rows[1];
        assert_eq!((row.completed, row.failed, row.cancelled), (7, 3, 2));
        assert_eq!((row.queued_ns, row.running_ns), (50, 100));
        assert_eq!(row.run.quantiles().count, 10);
        assert_eq!(row.run.quantiles().max.as_nanos(), 10);
        assert_eq!(row.queued.quantiles().count, 12);
        assert_eq!(total_ns(&seen), 110);
    }

    #[test]
    fn a_snapshot_leaves_the_book_alone() {
        let book = ledger();
        book.switch(150, Phase::Idle);
        assert_eq!(total_ns(&book.snapshot(500, &latency())), 400);
        assert_eq!(total_ns(&book.snapshot(150, &latency())), 50);
    }

    #[test]
    fn a_snapshot_beside_a_busy_owner_adds_up() {
        let book = ledger();
        let now = AtomicU64::new(100);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..50_000u64 {
                    let phase = [Phase::Idle, Phase::Running(1), Phase::Blocked(0)];
                    book.switch(100 + 3 * round, phase[(round % 3) as usize]);
                    now.store(100 + 3 * round, Ordering::Release);
                }
            });
            for _ in 0..200 {
                let at = now.load(Ordering::Acquire) + 1_000_000;
                assert_eq!(total_ns(&book.snapshot(at, &latency())), at - 100);
            }
        });
    }

    #[test]
    fn cpu_time_goes_to_whoever_ran() {
        let book = ledger();
        book.open_at(0);
        book.start_cpu();
        let spend = |ns: u64| {
            let (from_ns, mut value) = (thread_cpu_ns(), 1u64);
            while thread_cpu_ns() < from_ns + ns {
                value = std::hint::black_box(value.wrapping_mul(3));
            }
        };
        let resume = book.begin(0, 0, 0, NEVER_NS);
        spend(2_000_000);
        book.end(2_000_000, &finished(0, 0, NEVER_NS, resume));
        // Read before the unit of another team, so that each team gets what it used.
        let resume = book.begin(2_000_000, 1, 0, NEVER_NS);
        let seen = book.snapshot(2_000_000, &latency());
        assert!(seen.rows[0].cpu_ns >= 2_000_000);
        assert_eq!(seen.rows[1].cpu_ns, 0);
        spend(1_000_000);
        book.end(3_000_000, &finished(1, 2_000_000, NEVER_NS, resume));
        // Read before the worker sleeps.
        book.switch(3_000_000, Phase::Idle);
        let after = book.snapshot(3_000_000, &latency());
        assert_eq!(after.rows[0].cpu_ns, seen.rows[0].cpu_ns);
        assert!(after.rows[1].cpu_ns >= 1_000_000);
    }
}
