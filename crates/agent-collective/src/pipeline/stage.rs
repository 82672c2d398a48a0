//! What all stages have in common: items in, items and verdicts out, time booked.

use super::verdict::Stop;
use crate::batch::LaneTimes;
use crate::batch::lanes::{Grain, LaneBook, LanePhase, Lanes, Ran};
use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::error::CollectiveError;
use crate::runtime::RuntimeHandle;
use crate::task::{Capability, TaskContext, panic_message};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One step of a [`Pipeline`](super::Pipeline), a value of its own: it can be made, stored and
/// passed around before it is put into one.
///
/// Implemented by the stages of this module; not to be implemented elsewhere.
pub trait Stage<I>: sealed::Sealed {
    /// What the items become.
    type Output;
    /// Name in verdicts and reports.
    fn name(&self) -> &str;
    /// Takes all items that got here, gives those that go on, and notes why the others do not.
    #[doc(hidden)]
    fn run(
        &self,
        items: Items<I>,
        run: &StageRun<'_>,
    ) -> Result<Items<Self::Output>, CollectiveError>;
}

pub(super) mod sealed {
    /// Keeps [`Stage`](super::Stage) to this crate.
    pub trait Sealed {}
}

/// Items with their index in the input, in ascending order.
#[expect(unreachable_pub, reason = "named by a hidden method of a public trait")]
pub type Items<I> = Vec<(usize, I)>;

/// Items with what became of them in a stage.
pub(super) type Ended<O> = Vec<(usize, Result<O, Stop>)>;

/// One stage's view of the run.
#[derive(Debug)]
pub struct StageRun<'a> {
    runtime: &'a RuntimeHandle,
    capability: &'a Capability,
    token: &'a CancelToken,
    clock: Clock,
    mark_ns: Cell<u64>,
    serial_ns: Cell<u64>,
    waiting_ns: Cell<u64>,
    times: RefCell<LaneTimes>,
    stopped: RefCell<Vec<(usize, Stop)>>,
}

/// What a stage leaves besides the items that go on.
pub(super) struct StageBooks {
    pub(super) ended_ns: u64,
    pub(super) serial: Duration,
    pub(super) waiting: Duration,
    pub(super) times: LaneTimes,
    pub(super) stopped: Vec<(usize, Stop)>,
}

impl<'a> StageRun<'a> {
    /// The stage starts at `started_ns`.
    pub(super) fn new(
        runtime: &'a RuntimeHandle,
        capability: &'a Capability,
        token: &'a CancelToken,
        clock: Clock,
        started_ns: u64,
    ) -> Self {
        Self {
            runtime,
            capability,
            token,
            clock,
            mark_ns: Cell::new(started_ns),
            serial_ns: Cell::new(0),
            waiting_ns: Cell::new(0),
            times: RefCell::new(LaneTimes::default()),
            stopped: RefCell::new(Vec::new()),
        }
    }

    /// The stage ends now.
    pub(super) fn finish(self) -> StageBooks {
        let ended_ns = self.leave_serial();
        StageBooks {
            ended_ns,
            serial: Duration::from_nanos(self.serial_ns.get()),
            waiting: Duration::from_nanos(self.waiting_ns.get()),
            times: self.times.into_inner(),
            stopped: self.stopped.into_inner(),
        }
    }

    pub(super) fn token(&self) -> &CancelToken {
        self.token
    }

    /// An item ends here.
    pub(super) fn stop(&self, index: usize, stop: Stop) {
        self.stopped.borrow_mut().push((index, stop));
    }

    pub(super) fn add_waiting(&self, ns: u64) {
        self.waiting_ns.set(self.waiting_ns.get() + ns);
    }

    /// Keeps what passed and stops the rest.
    pub(super) fn sort_out<O>(&self, ended: Ended<O>) -> Items<O> {
        let mut passing = Vec::with_capacity(ended.len());
        for (index, result) in ended {
            match result {
                Ok(value) => passing.push((index, value)),
                Err(stop) => self.stop(index, stop),
            }
        }
        passing
    }

    /// Runs a part of the stage whose time the lanes book, from the stamp that it is given to the
    /// one that it returns.
    pub(super) fn parallel<R>(
        &self,
        part: impl FnOnce(Clock, u64) -> Result<Ran<R>, CollectiveError>,
    ) -> Result<R, CollectiveError> {
        let begun_ns = self.leave_serial();
        let ran = part(self.clock.clone(), begun_ns)?;
        self.times.borrow_mut().add(&ran.times);
        self.mark_ns.set(ran.ended_ns);
        Ok(ran.values)
    }

    /// Calls `call` for each item on the workers of the runtime; results in order of the items.
    pub(super) fn each<I: Send, O: Send>(
        &self,
        items: Items<I>,
        call: impl Fn(I) -> Result<O, Stop> + Sync,
    ) -> Result<Ended<O>, CollectiveError> {
        let count = items.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let indexes: Vec<usize> = items.iter().map(|(index, _)| *index).collect();
        let lanes = Lanes {
            runtime: Some(self.runtime),
            capability: self.capability,
            count: self.runtime.workers().min(count),
        };
        let source = Source {
            items: items
                .into_iter()
                .map(|item| Mutex::new(Some(item.1)))
                .collect(),
            next: AtomicUsize::new(0),
            grain_max: count / lanes.count / 8,
            token: self.token,
        };
        let parts = self.parallel(|clock, begun_ns| {
            lanes.run_from(clock, begun_ns, &|book, begun_ns, context| {
                source.work_off(book, begun_ns, context, &call)
            })
        })?;
        let mut ended: Vec<Result<O, Stop>> = Vec::new();
        ended.resize_with(count, || Err(Stop::Cancelled));
        for (position, result) in parts.into_iter().flatten() {
            ended[position] = result;
        }
        Ok(indexes.into_iter().zip(ended).collect())
    }

    fn leave_serial(&self) -> u64 {
        let now_ns = self.clock.now_ns();
        let serial_ns = now_ns.saturating_sub(self.mark_ns.get());
        self.serial_ns.set(self.serial_ns.get() + serial_ns);
        now_ns
    }
}

/// Items that lanes take away.
struct Source<'a, I> {
    items: Vec<Mutex<Option<I>>>,
    next: AtomicUsize,
    grain_max: usize,
    token: &'a CancelToken,
}

impl<I> Source<'_, I> {
    fn work_off<O>(
        &self,
        book: &mut LaneBook,
        begun_ns: u64,
        context: Option<&TaskContext<'_>>,
        call: &impl Fn(I) -> Result<O, Stop>,
    ) -> Ended<O> {
        let over = || self.token.is_cancelled() || context.is_some_and(TaskContext::is_cancelled);
        let mut grain = Grain::new(self.grain_max);
        let mut done = Vec::new();
        while !over() {
            let first = self.next.fetch_add(grain.items(), Ordering::Relaxed);
            if first >= self.items.len() {
                break;
            }
            let end = (first + grain.items()).min(self.items.len());
            let started_ns = book.start_items(end - first, begun_ns);
            for position in first..end {
                if position > first && over() {
                    break;
                }
                let slot = &self.items[position];
                let item = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(item) = item else { continue };
                done.push((position, guarded(|| call(item))));
            }
            grain.note(book.switch(LanePhase::Overhead) - started_ns);
        }
        done
    }
}

/// Calls user code; a panic stops the item.
pub(super) fn guarded<O>(call: impl FnOnce() -> Result<O, Stop>) -> Result<O, Stop> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        Err(Stop::Panicked {
            message: panic_message(payload),
        })
    })
}
