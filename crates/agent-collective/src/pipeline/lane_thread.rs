//! What a thread of a validation stage does: takes items, polls their futures, brings verdicts.

use super::context::{ItemContext, cut_of};
use super::lane::Shared;
use super::lane_state::{Job, Slot, State};
use super::verdict::Stop;
use crate::batch::lanes::LanePhase;
use crate::clock::duration_ns;
use crate::task::{Interruption, panic_message};
use crate::worker::drop_quietly;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

/// What a thread does next.
enum Step<I, O> {
    Start(Fresh<I>),
    Resume(Box<Job<O>>),
}

/// An item that starts.
struct Fresh<I> {
    slot: usize,
    index: usize,
    item: I,
    started_ns: u64,
}

/// How a step ended.
enum Stepped<O> {
    Ended(Result<O, Stop>, u64),
    Pending(Box<Job<O>>),
}

impl<I: Send + 'static, O: Send + 'static> Shared<I, O> {
    /// A thread of the stage.
    pub(super) fn serve(self: &Arc<Self>, seat: usize) {
        let mut state = self.lock();
        state.seats[seat].book.start_cpu();
        state.seats[seat].thread = Some(std::thread::current());
        loop {
            let Some(step) = self.next_step(&mut state, seat) else {
                // The stage may be over as soon as the lock is free: the book is left complete.
                state.seats[seat].book.finish();
                if state.needs_no_more() {
                    let now_ns = self.clock.now_ns();
                    (state.seats[seat].left, state.seats[seat].closed_ns) = (true, now_ns);
                    return;
                }
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.seats[seat].book.switch(LanePhase::Overhead);
                continue;
            };
            drop(state);
            let slot = match &step {
                Step::Start(fresh) => fresh.slot,
                Step::Resume(job) => job.slot,
            };
            let stepped = self.step(step);
            state = self.lock();
            if state.seats[seat].abandoned {
                drop(state);
                drop_quietly(stepped);
                self.abandoned.fetch_sub(1, Ordering::AcqRel);
                return;
            }
            state.seats[seat].book.switch(LanePhase::Overhead);
            state.seats[seat].polls = None;
            match stepped {
                Stepped::Ended(result, waited_ns) => {
                    state.waiting_ns += waited_ns;
                    state.end(slot, result);
                }
                Stepped::Pending(job) => state.put_back(slot, job),
            }
            if state.unfinished == 0 {
                // Those that wait for work leave; so does this one, as nothing is left.
                self.work.notify_all();
                self.timers.poke();
            }
        }
    }

    /// Takes a woken item before a fresh one, so that what has started ends.
    fn next_step(&self, state: &mut State<I, O>, seat: usize) -> Option<Step<I, O>> {
        if state.unfinished == 0 {
            return None;
        }
        let slot = match state.ready.pop_front() {
            Some(slot) => slot,
            None if state.next < state.slots.len()
                && state.in_flight < self.settings.in_flight_max =>
            {
                state.next += 1;
                state.next - 1
            }
            None => return None,
        };
        let taken = std::mem::replace(&mut state.slots[slot], Slot::Polling { woken: false });
        let book = &mut state.seats[seat].book;
        let (step, started_ns, deadline_ns) = match taken {
            Slot::Fresh(item) => {
                let started_ns = book.start_items(1, self.begun_ns);
                let deadline_ns = started_ns + duration_ns(self.settings.deadline);
                let index = state.indexes[slot];
                state.in_flight += 1;
                state.deadlines.push_back((deadline_ns, slot));
                let fresh = Fresh {
                    slot,
                    index,
                    item,
                    started_ns,
                };
                (Step::Start(fresh), started_ns, deadline_ns)
            }
            Slot::Ready(job) => {
                let deadline_ns = job.context.deadline_ns;
                (
                    Step::Resume(job),
                    book.switch(LanePhase::Running),
                    deadline_ns,
                )
            }
            _ => unreachable!("only fresh and woken items are queued, each once"),
        };
        state.seats[seat].polls = Some((slot, deadline_ns, started_ns));
        Some(step)
    }

    /// Runs user code: makes or polls a future, or drops it if its time is over.
    fn step(self: &Arc<Self>, step: Step<I, O>) -> Stepped<O> {
        let mut job = match step {
            Step::Resume(job) => job,
            Step::Start(fresh) => match self.start(fresh) {
                Ok(job) => job,
                Err(stop) => return Stepped::Ended(Err(stop), 0),
            },
        };
        let entered_ns = self.clock.now_ns();
        let result = match job.context.interruption() {
            Some(interruption) => Some(Err(self.stop(interruption))),
            None => self.poll(&mut job),
        };
        let now_ns = self.clock.now_ns();
        job.polled_ns += now_ns - entered_ns;
        let Some(result) = result else {
            return Stepped::Pending(job);
        };
        let waited_ns = now_ns.saturating_sub(job.started_ns + job.polled_ns);
        let late = job.context.deadline_ns < now_ns;
        drop_quietly(job);
        match result {
            Ok(value) if late => {
                drop_quietly(value);
                Stepped::Ended(Err(self.timed_out()), waited_ns)
            }
            Err(Stop::Failed(_)) if late => Stepped::Ended(Err(self.timed_out()), waited_ns),
            result => Stepped::Ended(result, waited_ns),
        }
    }

    fn start(self: &Arc<Self>, fresh: Fresh<I>) -> Result<Box<Job<O>>, Stop> {
        let Fresh {
            slot,
            index,
            item,
            started_ns,
        } = fresh;
        if self.token.is_cancelled() {
            drop_quietly(item);
            return Err(Stop::Cancelled);
        }
        let context = ItemContext {
            index,
            deadline_ns: started_ns + duration_ns(self.settings.deadline),
            clock: self.clock.clone(),
            token: self.token.clone(),
            timers: Arc::clone(&self.timers),
        };
        let target: Weak<dyn Requeue + Send + Sync> = {
            let shared: Arc<dyn Requeue + Send + Sync> = Arc::clone(self) as _;
            Arc::downgrade(&shared)
        };
        let made = catch_unwind(AssertUnwindSafe(|| (self.make)(item, context.clone())));
        let work = made.map_err(|payload| self.unwound(payload))?;
        Ok(Box::new(Job {
            slot,
            work,
            context,
            waker: Waker::from(Arc::new(JobWaker { slot, target })),
            started_ns,
            polled_ns: 0,
        }))
    }

    fn poll(&self, job: &mut Job<O>) -> Option<Result<O, Stop>> {
        let mut context = Context::from_waker(&job.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| job.work.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(Ok(value))) => Some(Ok(value)),
            // What an item says after it was told to stop is not its verdict.
            Ok(Poll::Ready(Err(error))) => Some(Err(match job.context.interruption() {
                Some(interruption) => self.stop(interruption),
                None => Stop::Failed(error),
            })),
            Err(payload) => Some(Err(self.unwound(payload))),
        }
    }

    fn unwound(&self, payload: Box<dyn Any + Send>) -> Stop {
        match cut_of(&*payload) {
            Some(interruption) => self.stop(interruption),
            None => Stop::Panicked {
                message: panic_message(payload),
            },
        }
    }

    fn stop(&self, interruption: Interruption) -> Stop {
        match interruption {
            Interruption::DeadlineExceeded { .. } => self.timed_out(),
            Interruption::Cancelled => Stop::Cancelled,
        }
    }

    fn timed_out(&self) -> Stop {
        Stop::TimedOut {
            deadline: self.settings.deadline,
        }
    }
}

/// The part of the stage that wakers know.
trait Requeue {
    fn requeue(&self, slot: usize);
}

impl<I: Send + 'static, O: Send + 'static> Requeue for Shared<I, O> {
    fn requeue(&self, slot: usize) {
        let mut state = self.lock();
        if slot < state.slots.len() {
            state.wake(slot);
        }
        drop(state);
        self.work.notify_one();
    }
}

struct JobWaker {
    slot: usize,
    target: Weak<dyn Requeue + Send + Sync>,
}

impl Wake for JobWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(target) = self.target.upgrade() {
            target.requeue(self.slot);
        }
    }
}
