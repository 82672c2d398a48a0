//! Lanes: the parallel strands of one map, each with a book of its time.

use crate::clock::{Clock, duration_ns, thread_cpu_ns};
use crate::error::CollectiveError;
use crate::runtime::RuntimeHandle;
use crate::task::{Capability, Task, TaskContext};
use std::fmt;
use std::time::Duration;

/// A lane reads its CPU clock, a system call after which the system may give the processor to
/// others, at most once per this many nanoseconds, and at its end.
const CPU_READ_INTERVAL_NS: u64 = 5_000_000;

/// Where the time of the lanes of a map or of a stage went.
///
/// `running + overhead + idle` is measured interval by interval on each lane; `available` is what
/// the caller's clock says the lanes had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneTimes {
    /// Number of lanes: runtime tasks, or threads of a validation stage.
    pub lanes: usize,
    /// From the start of the lanes to the end of the last one.
    pub wall: Duration,
    /// Sum over all lanes of the time from their start to the end of the last one.
    pub available: Duration,
    /// Sum over all lanes: inside the caller's code, its waiting included.
    pub running: Duration,
    /// Sum over all lanes: starting, taking items, handing results over, bookkeeping.
    pub overhead: Duration,
    /// Sum over all lanes: nothing to do, or waiting for a slower lane.
    pub idle: Duration,
    /// CPU time of all lanes, overhead included.
    pub cpu: Duration,
    /// Sum over all items of the time from the start of the lanes to the item's own start.
    pub queued: Duration,
}

impl LaneTimes {
    /// `(running + overhead + idle) / available`; 1.0 when the books are right, also when there
    /// were no lanes at all.
    pub fn accounted_fraction(&self) -> f64 {
        if self.available.is_zero() {
            return 1.0;
        }
        let booked = self.running + self.overhead + self.idle;
        booked.as_secs_f64() / self.available.as_secs_f64()
    }

    /// The wall time that `part` of the lanes' time stands for.
    pub(crate) fn wall_share(&self, part: Duration) -> Duration {
        if self.available.is_zero() {
            return Duration::ZERO;
        }
        let fraction = part.as_secs_f64() / self.available.as_secs_f64();
        Duration::from_secs_f64(self.wall.as_secs_f64() * fraction)
    }

    /// Adds lanes that ran after these.
    pub(crate) fn add(&mut self, later: &Self) {
        self.lanes = self.lanes.max(later.lanes);
        self.wall += later.wall;
        self.available += later.available;
        self.running += later.running;
        self.overhead += later.overhead;
        self.idle += later.idle;
        self.cpu += later.cpu;
        self.queued += later.queued;
    }

    /// Adds the book of one lane.
    pub(crate) fn add_book(&mut self, book: &LaneBook) {
        self.lanes += 1;
        self.running += Duration::from_nanos(book.running_ns);
        self.overhead += Duration::from_nanos(book.overhead_ns);
        self.idle += Duration::from_nanos(book.idle_ns);
        self.cpu += Duration::from_nanos(book.cpu_ns);
        self.queued += Duration::from_nanos(book.queued_ns);
    }
}

/// What a lane does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LanePhase {
    Running,
    Overhead,
    Idle,
}

/// The book of one lane: each interval between two readings of the clock goes to one phase.
#[derive(Clone, Debug)]
pub(crate) struct LaneBook {
    clock: Clock,
    opened_ns: u64,
    since_ns: u64,
    phase: LanePhase,
    running_ns: u64,
    overhead_ns: u64,
    idle_ns: u64,
    queued_ns: u64,
    cpu_ns: u64,
    cpu_read_ns: u64,
    cpu_read_at_ns: u64,
}

impl LaneBook {
    /// Opens in the phase overhead.
    pub(crate) fn new(clock: Clock, opened_ns: u64) -> Self {
        Self {
            clock,
            opened_ns,
            since_ns: opened_ns,
            phase: LanePhase::Overhead,
            running_ns: 0,
            overhead_ns: 0,
            idle_ns: 0,
            queued_ns: 0,
            cpu_ns: 0,
            cpu_read_ns: 0,
            cpu_read_at_ns: opened_ns,
        }
    }

    /// Starts counting the CPU time of the calling thread.
    pub(crate) fn start_cpu(&mut self) {
        self.cpu_read_ns = thread_cpu_ns();
    }

    /// Changes the phase and returns the stamp of the change.
    pub(crate) fn switch(&mut self, next: LanePhase) -> u64 {
        let now_ns = self.clock.now_ns();
        self.settle(now_ns);
        self.phase = next;
        if now_ns.saturating_sub(self.cpu_read_at_ns) >= CPU_READ_INTERVAL_NS {
            self.read_cpu(now_ns);
        }
        now_ns
    }

    /// Starts on `items` items, which have waited since the lanes began.
    pub(crate) fn start_items(&mut self, items: usize, begun_ns: u64) -> u64 {
        let now_ns = self.switch(LanePhase::Running);
        let waited_ns = now_ns.saturating_sub(begun_ns);
        self.queued_ns += waited_ns.saturating_mul(items as u64);
        now_ns
    }

    /// The lane has no more to do; called on its own thread.
    pub(crate) fn finish(&mut self) {
        let now_ns = self.switch(LanePhase::Idle);
        self.read_cpu(now_ns);
    }

    /// Books the phase that is going on up to `now_ns`, and returns how long the lane was open.
    pub(crate) fn close(&mut self, now_ns: u64) -> u64 {
        self.settle(now_ns);
        now_ns.saturating_sub(self.opened_ns)
    }

    fn settle(&mut self, now_ns: u64) {
        let ns = now_ns.saturating_sub(self.since_ns);
        self.since_ns = self.since_ns.max(now_ns);
        match self.phase {
            LanePhase::Running => self.running_ns += ns,
            LanePhase::Overhead => self.overhead_ns += ns,
            LanePhase::Idle => self.idle_ns += ns,
        }
    }

    fn read_cpu(&mut self, now_ns: u64) {
        let cpu_ns = thread_cpu_ns();
        self.cpu_ns += cpu_ns.saturating_sub(self.cpu_read_ns);
        (self.cpu_read_ns, self.cpu_read_at_ns) = (cpu_ns, now_ns);
    }
}

/// What lanes have left.
pub(crate) struct Ran<V> {
    pub(crate) values: V,
    pub(crate) times: LaneTimes,
    /// Where their time ends.
    pub(crate) ended_ns: u64,
}

/// Runs one closure on several lanes.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<'a> {
    /// Without one, the only lane is the calling thread.
    pub(crate) runtime: Option<&'a RuntimeHandle>,
    pub(crate) capability: &'a Capability,
    pub(crate) count: usize,
}

impl Lanes<'_> {
    /// Calls `body` on each lane and waits for all of them. The bodies share the work among
    /// themselves, so a lane that the runtime rejects is made up for by the others.
    ///
    /// # Errors
    /// The rejection, if every lane was rejected; the failure of the last lane, if none ran to
    /// its end.
    pub(crate) fn run<T: Send>(
        &self,
        body: &(impl Fn(&mut LaneBook, u64, Option<&TaskContext<'_>>) -> T + Sync),
    ) -> Result<(Vec<T>, LaneTimes), CollectiveError> {
        let clock = Clock::new();
        let begun_ns = clock.now_ns();
        let ran = self.run_from(clock, begun_ns, body)?;
        Ok((ran.values, ran.times))
    }

    /// As [`run`](Self::run), from a stamp that the caller has taken; gives the last one, too.
    pub(crate) fn run_from<T: Send>(
        &self,
        clock: Clock,
        begun_ns: u64,
        body: &(impl Fn(&mut LaneBook, u64, Option<&TaskContext<'_>>) -> T + Sync),
    ) -> Result<Ran<Vec<T>>, CollectiveError> {
        let lane = |context: Option<&TaskContext<'_>>| {
            let mut book = LaneBook::new(clock.clone(), begun_ns);
            book.start_cpu();
            let value = body(&mut book, begun_ns, context);
            book.finish();
            (value, book)
        };
        let ended = match self.runtime {
            None => vec![lane(None)],
            Some(runtime) => self.submit(runtime, &lane)?,
        };
        let ended_ns = clock.now_ns();
        let mut times = LaneTimes {
            wall: Duration::from_nanos(ended_ns - begun_ns),
            ..LaneTimes::default()
        };
        let mut values = Vec::with_capacity(ended.len());
        for (value, mut book) in ended {
            book.close(ended_ns);
            times.add_book(&book);
            values.push(value);
        }
        let lanes = u32::try_from(times.lanes).unwrap_or(u32::MAX);
        times.available = times.wall.saturating_mul(lanes);
        Ok(Ran {
            values,
            times,
            ended_ns,
        })
    }

    fn submit<T: Send>(
        &self,
        runtime: &RuntimeHandle,
        lane: &(impl Fn(Option<&TaskContext<'_>>) -> (T, LaneBook) + Sync),
    ) -> Result<Vec<(T, LaneBook)>, CollectiveError> {
        let (mut ended, mut failure) = (Vec::with_capacity(self.count), None);
        runtime.scope(|scope| {
            let mut handles = Vec::with_capacity(self.count);
            for _ in 0..self.count {
                let task = Task::new(self.capability, |context: &TaskContext<'_>| {
                    lane(Some(context))
                });
                match scope.submit(task) {
                    Ok(handle) => handles.push(handle),
                    Err(rejected) => failure = Some(CollectiveError::from(rejected)),
                }
            }
            for handle in handles {
                match handle.join() {
                    Ok(done) => ended.push(done),
                    Err(error) => failure = Some(error.into()),
                }
            }
        })?;
        match failure {
            Some(error) if ended.is_empty() => Err(error),
            _ => Ok(ended),
        }
    }
}

impl fmt::Debug for Lanes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// How many items a lane takes at a time: one, and more while they turn out to be small.
#[derive(Debug)]
pub(crate) struct Grain {
    items: usize,
    items_max: usize,
}

/// Below this time per take, taking costs more than a few per cent; the grain doubles.
const TAKE_NS_MIN: u64 = 20_000;
/// Above this time per take, lanes would end too far apart; the grain halves.
const TAKE_NS_MAX: u64 = 200_000;

impl Grain {
    /// `items_max`: the most items of one take.
    pub(crate) fn new(items_max: usize) -> Self {
        Self {
            items: 1,
            items_max: items_max.max(1),
        }
    }

    pub(crate) fn items(&self) -> usize {
        self.items
    }

    /// The last take was worked off in `took_ns`.
    pub(crate) fn note(&mut self, took_ns: u64) {
        if took_ns < TAKE_NS_MIN {
            self.items = (self.items * 2).min(self.items_max);
        } else if took_ns > TAKE_NS_MAX {
            self.items = (self.items / 2).max(1);
        }
    }
}

/// The limit for a wait of a setting: zero is illegal, and so is what the clock cannot hold.
pub(crate) fn check_duration(
    operation: &'static str,
    name: &'static str,
    value: Duration,
) -> Result<(), CollectiveError> {
    if value.is_zero() || duration_ns(value) > DURATION_NS_MAX {
        return Err(CollectiveError::InvalidSetting {
            operation,
            name,
            value: format!("{value:?}"),
            allowed: "more than zero, at most 366 days".to_owned(),
        });
    }
    Ok(())
}

/// Sums of stamps and settings stay far below the range of the clock.
const DURATION_NS_MAX: u64 = 366 * 86_400 * 1_000_000_000;

pub(crate) fn check_range(
    operation: &'static str,
    name: &'static str,
    value: usize,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<(), CollectiveError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(CollectiveError::InvalidSetting {
        operation,
        name,
        value: value.to_string(),
        allowed: format!("{}..={}", allowed.start(), allowed.end()),
    })
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_phases_of_a_lane_partition_its_time() {
        let clock = Clock::new();
        let mut book = LaneBook::new(clock.clone(), clock.now_ns());
        book.start_items(3, book.opened_ns);
        std::thread::sleep(Duration::from_millis(2));
        book.switch(LanePhase::Overhead);
        book.finish();
        std::thread::sleep(Duration::from_millis(1));
        let open_ns = book.close(clock.now_ns());
        let booked_ns = book.running_ns + book.overhead_ns + book.idle_ns;
        assert_eq!(booked_ns, open_ns);
        assert!(book.running_ns >= 2_000_000 && book.idle_ns >= 1_000_000);
    }

    #[test]
    fn small_items_are_taken_in_larger_and_larger_numbers() {
        let mut grain = Grain::new(5);
        assert_eq!(grain.items(), 1);
        grain.note(TAKE_NS_MIN - 1);
        grain.note(TAKE_NS_MIN);
        assert_eq!(grain.items(), 2);
        grain.note(0);
        grain.note(0);
        assert_eq!(grain.items(), 5);
        grain.note(TAKE_NS_MAX + 1);
        grain.note(TAKE_NS_MAX + 1);
        grain.note(TAKE_NS_MAX + 1);
        assert_eq!(grain.items(), 1);
        assert_eq!(Grain::new(0).items_max, 1);
    }
}
