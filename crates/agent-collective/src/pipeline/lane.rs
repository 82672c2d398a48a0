//! The threads of a validation stage.
//!
//! A validation may never return, so it does not run on the runtime's workers but on threads that
//! can be left behind. Every item is a future (a blocking function is one that ends at its first
//! poll). A thread takes the next item, or one whose future was woken, polls it once, and takes
//! the next. The calling thread watches: it fires timers, makes overdue futures due for dropping,
//! and where a poll itself does not return within deadline and grace time, it gives the item its
//! verdict, leaves the thread behind and starts another in its place, as long as no more than
//! `threads_max + abandoned_max` threads of the stage work. A thread left behind is free when its
//! poll returns, and what it brings is dropped. Threads that are free sleep until the next run
//! (`crew.rs`); one that finds every unfinished item on a thread of its own leaves the run.

use super::context::ItemContext;
use super::crew::Crew;
use super::lane_state::{Seat, Slot, State};
use super::stage::{Ended, Items};
use super::timers::Timers;
use super::verdict::{BoxError, Stop};
use crate::batch::LaneTimes;
use crate::batch::lanes::{LaneBook, Ran};
use crate::cancel::CancelToken;
use crate::clock::{Clock, NEVER_NS, OnTime, duration_ns};
use crate::error::CollectiveError;
use crate::worker::drop_quietly;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How often the watching thread looks at the cancellation token, which cannot wake it.
const TOKEN_LOOK_NS: u64 = 2_000_000;

/// How far the clocks of two threads may differ. An item is passed as overdue only this long after
/// its deadline, so that every thread that then looks at it finds it overdue, too.
const CLOCK_SKEW_NS: u64 = 1_000;

/// Checked settings of a stage.
#[derive(Clone, Debug)]
pub(super) struct LaneSettings {
    pub(super) threads_max: usize,
    pub(super) in_flight_max: usize,
    pub(super) deadline: Duration,
    pub(super) grace: Duration,
    pub(super) abandoned_max: usize,
    pub(super) stack_bytes: usize,
}

impl LaneSettings {
    /// The most threads that may exist, those left behind included.
    fn threads_in_all(&self) -> usize {
        self.threads_max + self.abandoned_max
    }
}

pub(super) type Work<O> = Pin<Box<dyn Future<Output = Result<O, BoxError>> + Send>>;
pub(super) type Make<I, O> = Arc<dyn Fn(I, ItemContext) -> Work<O> + Send + Sync>;

/// What a stage gives back.
pub(super) struct LaneOutcome<O> {
    pub(super) ended: Ended<O>,
    pub(super) waiting_ns: u64,
}

pub(super) struct Shared<I, O> {
    pub(super) make: Make<I, O>,
    pub(super) settings: LaneSettings,
    pub(super) token: CancelToken,
    pub(super) clock: Clock,
    pub(super) begun_ns: u64,
    pub(super) timers: Arc<Timers>,
    /// Threads of this stage, of all runs, that are left behind and still run.
    pub(super) abandoned: Arc<AtomicUsize>,
    pub(super) state: Mutex<State<I, O>>,
    pub(super) work: Condvar,
}

/// Validates all items and waits.
pub(super) fn validate<I, O>(
    stage: &str,
    items: Items<I>,
    make: &Make<I, O>,
    (settings, crew): (&LaneSettings, &Arc<Crew>),
    token: &CancelToken,
    abandoned: &Arc<AtomicUsize>,
    (clock, begun_ns): (Clock, u64),
) -> Result<Ran<LaneOutcome<O>>, CollectiveError>
where
    I: Send + 'static,
    O: Send + 'static,
{
    let unfinished = items.len();
    let (indexes, slots) = items
        .into_iter()
        .map(|(index, item)| (index, Slot::Fresh(item)))
        .unzip();
    let shared = Arc::new(Shared {
        make: Arc::clone(make),
        settings: settings.clone(),
        token: token.clone(),
        clock,
        begun_ns,
        timers: Arc::default(),
        abandoned: Arc::clone(abandoned),
        state: Mutex::new(State {
            indexes,
            slots,
            next: 0,
            ready: VecDeque::new(),
            deadlines: VecDeque::new(),
            in_flight: 0,
            unfinished,
            seats: Vec::new(),
            cancelled_ns: None,
            waiting_ns: 0,
        }),
        work: Condvar::new(),
    });
    // No thread is in user code for this run afterwards, except those left behind.
    shared.watch(stage, crew)?;
    shared.work.notify_all();
    Ok(shared.close())
}

impl<I: Send + 'static, O: Send + 'static> Shared<I, O> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<I, O>> {
        // No user code runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts threads and keeps the clock until every item has its verdict.
    fn watch(self: &Arc<Self>, stage: &str, crew: &Arc<Crew>) -> Result<(), CollectiveError> {
        let _on_time = OnTime::begin();
        loop {
            let timer_ns = self.timers.fire(self.clock.now_ns());
            let mut refused = self.seat_threads(crew).err();
            let mut state = self.lock();
            if state.unfinished == 0 {
                return Ok(());
            }
            let now_ns = self.clock.now_ns();
            self.look_at_token(&mut state, now_ns);
            self.end_overdue(&mut state, now_ns);
            let stuck_ns = self.abandon_stuck(&mut state, now_ns);
            if state.unfinished > 0 && !state.seats.iter().any(Seat::serves) {
                if let Some(source) = refused.take() {
                    return Err(CollectiveError::StageThread {
                        stage: stage.to_owned(),
                        source,
                    });
                }
                let left_behind = self.abandoned.load(Ordering::Acquire);
                if left_behind >= self.settings.threads_in_all() {
                    let dropped = self.give_up(&mut state, left_behind);
                    drop(state);
                    dropped.into_iter().for_each(drop_quietly);
                    return Ok(());
                }
                continue;
            }
            let deadline_ns = state
                .deadlines
                .front()
                .map(|(deadline_ns, _)| *deadline_ns + CLOCK_SKEW_NS + 1);
            drop(state);
            // An item that starts during the wait has its deadline after it.
            let next_ns = [timer_ns, deadline_ns, stuck_ns]
                .into_iter()
                .flatten()
                .fold(now_ns + duration_ns(self.settings.deadline), u64::min)
                .min(now_ns + TOKEN_LOOK_NS);
            let left_ns = next_ns.saturating_sub(self.clock.now_ns());
            if left_ns > 0 {
                self.timers.wait(Duration::from_nanos(left_ns));
            }
        }
    }

    /// Starts as many threads as there are items for, replacements included.
    fn seat_threads(self: &Arc<Self>, crew: &Arc<Crew>) -> Result<(), std::io::Error> {
        loop {
            let mut state = self.lock();
            let serving = state.seats.iter().filter(|seat| seat.serves()).count();
            let wanted = self.settings.threads_max.min(state.unfinished);
            let left_behind = self.abandoned.load(Ordering::Acquire);
            if serving >= wanted || serving + left_behind >= self.settings.threads_in_all() {
                return Ok(());
            }
            let now_ns = self.clock.now_ns();
            let seat = state.seats.len();
            state.seats.push(Seat {
                book: LaneBook::new(self.clock.clone(), now_ns),
                opened_ns: now_ns,
                polls: None,
                abandoned: false,
                left: false,
                thread: None,
                closed_ns: NEVER_NS,
            });
            drop(state);
            let shared = Arc::clone(self);
            let body = move || {
                // User code is caught where it runs. What gets out is a defect of this crate,
                // and without the thread the stage would wait for ever.
                if catch_unwind(AssertUnwindSafe(|| shared.serve(seat))).is_err() {
                    std::process::abort();
                }
                // Perhaps the last to know the caller's function, whose destructor may panic.
                drop_quietly(shared);
            };
            let settings = &self.settings;
            if let Err(error) = crew.run(settings.stack_bytes, settings.threads_max, body) {
                self.lock().seats.pop();
                return Err(error);
            }
        }
    }

    /// The first time that it finds the run cancelled: nothing fresh starts any more, waiting
    /// futures are dropped, blocking waits end.
    fn look_at_token(&self, state: &mut State<I, O>, now_ns: u64) {
        if state.cancelled_ns.is_some() || !self.token.is_cancelled() {
            return;
        }
        state.cancelled_ns = Some(now_ns);
        for slot in 0..state.slots.len() {
            match &state.slots[slot] {
                // The item is dropped by a thread, like every value of the user's.
                Slot::Fresh(_) => state.ready.push_back(slot),
                Slot::Waiting(_) => state.wake(slot),
                _ => {}
            }
        }
        state.next = state.slots.len();
        let polling = state.seats.iter().filter(|seat| seat.polls.is_some());
        polling
            .filter_map(|seat| seat.thread.as_ref())
            .for_each(Thread::unpark);
        self.work.notify_all();
    }

    /// Makes futures that wait past their deadline due for dropping.
    fn end_overdue(&self, state: &mut State<I, O>, now_ns: u64) {
        while let Some(&(deadline_ns, slot)) = state.deadlines.front()
            && deadline_ns + CLOCK_SKEW_NS < now_ns
        {
            state.deadlines.pop_front();
            if matches!(state.slots[slot], Slot::Waiting(_)) {
                state.wake(slot);
                self.work.notify_one();
            }
        }
    }

    /// Leaves threads behind whose poll does not return; when to look again.
    fn abandon_stuck(&self, state: &mut State<I, O>, now_ns: u64) -> Option<u64> {
        let grace_ns = duration_ns(self.settings.grace);
        let mut look_ns: Option<u64> = None;
        for seat in 0..state.seats.len() {
            let Some((slot, deadline_ns, since_ns)) = state.seats[seat].polls else {
                continue;
            };
            let cancelled_ns = state.cancelled_ns.unwrap_or(NEVER_NS);
            let stop_ns = deadline_ns.min(cancelled_ns).max(since_ns);
            let cut_ns = stop_ns.saturating_add(grace_ns);
            if now_ns < cut_ns {
                look_ns = Some(look_ns.map_or(cut_ns, |look_ns| look_ns.min(cut_ns)));
                continue;
            }
            let left = &mut state.seats[seat];
            left.abandoned = true;
            left.polls = None;
            left.closed_ns = now_ns;
            left.book.close(now_ns);
            self.abandoned.fetch_add(1, Ordering::AcqRel);
            let settings = &self.settings;
            state.end(
                slot,
                Err(Stop::Abandoned {
                    deadline: settings.deadline,
                    grace: settings.grace,
                }),
            );
            // A replacement may be due at once.
            look_ns = Some(now_ns);
        }
        look_ns
    }

    /// No thread is left and none may be started: everything that is unfinished ends.
    fn give_up(&self, state: &mut State<I, O>, abandoned: usize) -> Vec<Slot<I, O>> {
        let mut dropped = Vec::new();
        for slot in 0..state.slots.len() {
            if !matches!(state.slots[slot], Slot::Ended(_)) {
                let ended = Slot::Ended(Err(Stop::NotRun { abandoned }));
                dropped.push(std::mem::replace(&mut state.slots[slot], ended));
            }
        }
        state.unfinished = 0;
        dropped
    }

    /// Verdicts and times, when all threads have ended or are left behind.
    fn close(&self) -> Ran<LaneOutcome<O>> {
        let mut state = self.lock();
        let ended_ns = self.clock.now_ns();
        let mut times = LaneTimes {
            wall: Duration::from_nanos(ended_ns - self.begun_ns),
            ..LaneTimes::default()
        };
        for seat in &mut state.seats {
            let closed_ns = seat.closed_ns.min(ended_ns);
            seat.book.close(closed_ns);
            times.add_book(&seat.book);
            times.available += Duration::from_nanos(closed_ns - seat.opened_ns);
        }
        times.lanes = times.lanes.min(self.settings.threads_max);
        let indexes = std::mem::take(&mut state.indexes);
        let slots = std::mem::take(&mut state.slots);
        let ended = indexes
            .into_iter()
            .zip(slots)
            .filter_map(|(index, slot)| match slot {
                Slot::Ended(result) => Some((index, result)),
                _ => None,
            });
        let values = LaneOutcome {
            ended: ended.collect(),
            waiting_ns: state.waiting_ns,
        };
        Ran {
            values,
            times,
            ended_ns,
        }
    }
}
