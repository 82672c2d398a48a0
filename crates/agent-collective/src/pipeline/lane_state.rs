//! The items and threads of a validation stage; all of it lies under one lock (`lane.rs`).

use super::context::ItemContext;
use super::lane::Work;
use super::verdict::Stop;
use crate::batch::lanes::LaneBook;
use std::collections::VecDeque;
use std::task::Waker;
use std::thread::Thread;

/// One item that has started.
pub(super) struct Job<O> {
    pub(super) slot: usize,
    pub(super) work: Work<O>,
    pub(super) context: ItemContext,
    pub(super) waker: Waker,
    pub(super) started_ns: u64,
    pub(super) polled_ns: u64,
}

pub(super) enum Slot<I, O> {
    Fresh(I),
    /// On a thread; `woken`: to be polled again when that poll is over.
    Polling {
        woken: bool,
    },
    Waiting(Box<Job<O>>),
    Ready(Box<Job<O>>),
    Ended(Result<O, Stop>),
}

/// One thread.
pub(super) struct Seat {
    pub(super) book: LaneBook,
    pub(super) opened_ns: u64,
    /// Slot, deadline and start of the poll that is going on.
    pub(super) polls: Option<(usize, u64, u64)>,
    pub(super) abandoned: bool,
    /// It found nothing more to do; its thread may serve others by now.
    pub(super) left: bool,
    pub(super) thread: Option<Thread>,
    /// When it was abandoned or left, else when the stage ended.
    pub(super) closed_ns: u64,
}

impl Seat {
    pub(super) fn serves(&self) -> bool {
        !self.abandoned && !self.left
    }
}

pub(super) struct State<I, O> {
    pub(super) indexes: Vec<usize>,
    pub(super) slots: Vec<Slot<I, O>>,
    /// The next fresh slot.
    pub(super) next: usize,
    pub(super) ready: VecDeque<usize>,
    /// Deadlines of items that have started, in order.
    pub(super) deadlines: VecDeque<(u64, usize)>,
    pub(super) in_flight: usize,
    pub(super) unfinished: usize,
    pub(super) seats: Vec<Seat>,
    /// The run was cancelled at this stamp.
    pub(super) cancelled_ns: Option<u64>,
    pub(super) waiting_ns: u64,
}

impl<I, O> State<I, O> {
    /// An item has its verdict.
    pub(super) fn end(&mut self, slot: usize, result: Result<O, Stop>) {
        self.slots[slot] = Slot::Ended(result);
        self.in_flight -= 1;
        self.unfinished -= 1;
    }

    /// A poll ended without a result.
    pub(super) fn put_back(&mut self, slot: usize, job: Box<Job<O>>) {
        let woken = matches!(self.slots[slot], Slot::Polling { woken: true });
        // Overdue or cancelled meanwhile: the watching thread has passed it and will not come back.
        if woken || job.context.is_cancelled() {
            self.slots[slot] = Slot::Ready(job);
            self.ready.push_back(slot);
        } else {
            self.slots[slot] = Slot::Waiting(job);
        }
    }

    /// Whether every unfinished item is on a thread of its own, which goes on with it.
    pub(super) fn needs_no_more(&self) -> bool {
        let polling = self.seats.iter().filter(|seat| seat.polls.is_some());
        self.unfinished <= polling.count()
    }

    /// The future of this slot can go on.
    pub(super) fn wake(&mut self, slot: usize) {
        match &mut self.slots[slot] {
            Slot::Polling { woken } => *woken = true,
            waiting @ Slot::Waiting(_) => {
                let taken = std::mem::replace(waiting, Slot::Polling { woken: false });
                if let Slot::Waiting(job) = taken {
                    *waiting = Slot::Ready(job);
                    self.ready.push_back(slot);
                }
            }
            _ => {}
        }
    }
}
