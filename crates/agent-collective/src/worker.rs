//! A worker thread: finds entries, runs them, books its time.

use crate::clock::OnTime;
use crate::error::TaskError;
use crate::lanes::Lane;
use crate::ledger::{Finished, Ledger};
use crate::park::{Choice, Parker, Patience, Punctuality};
use crate::phase::Phase;
use crate::primitive::Ordering;
use crate::queue::Entry;
use crate::runtime::{RuntimeHandle, Shared};
use crate::task::{Header, Priority, TaskContext, task_error};
use crossbeam_deque::Worker as Deque;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// Every so many entries a worker looks at the shared queue before its own deque.
const NORMAL_FIRST_EVERY: u32 = 61;
/// Every so many entries a worker looks for one of low priority first.
const LOW_FIRST_EVERY: u32 = 64;
/// A worker takes at most so many entries from the shared queue at a time...
const BATCH_MAX: u64 = 32;
/// ... and no more than it runs in about so many nanoseconds, by the tasks it ran before: what
/// lies on its deque waits for it unless somebody steals it.
const BATCH_NS: u64 = 20_000;

/// A worker keeps about so many entries on its own deque at most; further ones go to the shared
/// queue, from which all workers take batches. A deque that grows to thousands is copied and
/// returned to the system again and again, which took a quarter of the time of small tasks.
const OWN_MAX: u32 = 512;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// What a search ended with.
enum Search {
    Found(Entry),
    /// Nothing worth looking any longer.
    Nothing,
    /// The runtime is closed and all work done.
    Ended,
}

/// One unit of work on the stack of a worker.
struct Frame {
    address: usize,
    team: usize,
    depth: u16,
    agent: bool,
}

/// The state that only one thread touches: the worker's own, or that of a guest in its seat.
pub(crate) struct Worker {
    runtime: RuntimeHandle,
    index: usize,
    /// None for a guest, who looks for no work.
    deque: Option<Deque<Entry>>,
    frames: RefCell<Vec<Frame>>,
    ticks: Cell<u32>,
    random: Cell<u64>,
    patience: Patience,
    punctuality: Punctuality,
    /// About how many entries the own deque holds: what others steal is not seen, what comes in
    /// batches is not counted, and it begins anew when the deque is empty.
    own: Cell<u32>,
    /// Moving average of the time that a unit takes.
    unit_ns: Cell<u64>,
}

impl Worker {
    pub(crate) fn new(runtime: RuntimeHandle, index: usize, deque: Option<Deque<Entry>>) -> Self {
        let random = Cell::new((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let frames = RefCell::new(Vec::new());
        Self {
            runtime,
            index,
            deque,
            frames,
            ticks: Cell::new(0),
            random,
            patience: Patience::new(),
            punctuality: Punctuality::new(),
            own: Cell::new(0),
            unit_ns: Cell::new(BATCH_NS),
        }
    }

    /// The worker whose thread this is.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
    }

    /// Whether the calling thread is no worker.
    pub(crate) fn is_outside() -> bool {
        CURRENT
            .try_with(|current| current.borrow().is_none())
            .unwrap_or(false)
    }

    /// Says which worker the calling thread is from now on.
    pub(crate) fn set_current(worker: Option<Rc<Self>>) {
        CURRENT.set(worker);
    }

    /// The worker whose thread this is, if it belongs to `runtime`.
    pub(crate) fn current_of(runtime: u64) -> Option<Rc<Self>> {
        Self::current().filter(|worker| worker.shared().id == runtime)
    }

    pub(crate) fn runtime(&self) -> &RuntimeHandle {
        &self.runtime
    }

    pub(crate) fn shared(&self) -> &Shared {
        self.runtime.shared()
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The body of the worker's thread: runs entries until the runtime has shut down.
    pub(crate) fn main(self, parker: &Parker) {
        let _guard = AbortOnUnwind;
        let _on_time = OnTime::begin();
        let worker = Rc::new(self);
        CURRENT.set(Some(Rc::clone(&worker)));
        worker.shared().wait_for_opening(worker.index);
        while let Some(entry) = worker.next_entry(parker) {
            worker.run_entry(entry);
        }
        worker.ledger().close(worker.shared().clock.now_ns());
        CURRENT.set(None);
        worker.shared().note_exit();
    }

    /// Queues an entry that this worker made: on its own deque, unless priority or affinity say
    /// otherwise. Says whom to wake.
    pub(crate) fn push(&self, entry: Entry) -> Choice {
        let own = entry.preferred().is_none_or(|worker| worker == self.index);
        match &self.deque {
            Some(deque)
                if entry.priority() == Priority::Normal && own && self.own.get() < OWN_MAX =>
            {
                self.own.set(self.own.get() + 1);
                deque.push(entry);
                Choice::Any
            }
            _ => self.shared().queues.push(entry),
        }
    }

    fn next_entry(&self, parker: &Parker) -> Option<Entry> {
        if let Some(entry) = self.take_near() {
            return Some(entry);
        }
        let shared = self.shared();
        shared.sleepers.start_search();
        loop {
            match self.search() {
                Search::Found(entry) => {
                    shared.sleepers.stop_search(|| !shared.queues.is_empty());
                    return Some(entry);
                }
                Search::Ended => {
                    shared.sleepers.stop_search(|| false);
                    // Whoever sleeps has to see it too.
                    shared.sleepers.wake_all();
                    return None;
                }
                Search::Nothing => self.sleep(parker),
            }
        }
    }

    /// Looks through all queues, again and again while that is likely to be shorter than a sleep.
    fn search(&self) -> Search {
        let shared = self.shared();
        let mut watch = self.patience.watch();
        loop {
            if shared.delays.is_due() {
                shared.delays.run_due();
            }
            if !shared.queues.is_empty()
                && let Some(entry) = self.take_anywhere()
            {
                self.patience.found(&watch);
                return Search::Found(entry);
            }
            if shared.census.is_closed() && shared.census.has_ended() {
                return Search::Ended;
            }
            let alone = shared.sleepers.searching() <= 1;
            if !watch.goes_on(|| shared.clock.now_ns(), alone) {
                if !alone || !self.awaits_delay() {
                    return Search::Nothing;
                }
                std::hint::spin_loop();
            }
        }
    }

    /// Whether a delay is over so soon that a sleep would end late.
    fn awaits_delay(&self) -> bool {
        let shared = self.shared();
        let due_ns = shared.delays.next_hint_ns();
        due_ns.is_some_and(|due_ns| self.punctuality.stays_up(shared.clock.now_ns(), due_ns))
    }

    fn sleep(&self, parker: &Parker) {
        let shared = self.shared();
        let from_ns = shared.clock.now_ns();
        self.ledger().switch(from_ns, Phase::Idle);
        let ready = || !shared.queues.is_empty() || shared.census.has_ended();
        // One of the sleepers sleeps only until the next delay is over: what waits for that can go
        // on right there, without a thread that only keeps the time and has to wake a worker first.
        let watched = shared.delays.begin_watch();
        match watched {
            None => shared.sleepers.sleep(self.index, parker, ready),
            Some(due_ns) => {
                let time_ns = self.punctuality.set_out(from_ns, due_ns);
                let time = Duration::from_nanos(time_ns);
                let slept = shared.sleepers.sleep_for(self.index, parker, time, ready);
                if slept {
                    let late_ns = shared.clock.now_ns().saturating_sub(from_ns + time_ns);
                    self.punctuality.came_late(late_ns);
                }
            }
        }
        let until_ns = shared.clock.now_ns();
        self.ledger().switch(until_ns, Phase::Overhead);
        if watched.is_some() {
            shared.delays.end_watch();
        }
        self.patience.slept(until_ns.saturating_sub(from_ns));
    }

    /// Moving average of the time that a unit takes, in nanoseconds.
    pub(crate) fn unit_ns(&self) -> u64 {
        self.unit_ns.get()
    }

    pub(crate) fn set_unit_ns(&self, ns: u64) {
        self.unit_ns.set(ns);
    }

    /// How many entries to take from the shared queue at a time.
    fn batch(&self) -> usize {
        let fitting = BATCH_NS / self.unit_ns.get().max(1);
        usize::try_from(fitting.clamp(1, BATCH_MAX)).unwrap_or(1)
    }

    /// Takes the time of `count` units into the average.
    fn note_unit(&self, ns: u64, count: u64) {
        let each_ns = ns / count.max(1);
        self.unit_ns
            .set((self.unit_ns.get() * 7 + each_ns.min(1 << 40)) / 8);
    }

    /// Takes what can be had without robbing other workers.
    fn take_near(&self) -> Option<Entry> {
        let queues = &self.shared().queues;
        let tick = self.ticks.get().wrapping_add(1);
        self.ticks.set(tick);
        if tick.is_multiple_of(LOW_FIRST_EVERY)
            && let Some(entry) = queues.take_low()
        {
            return Some(entry);
        }
        if let Some(entry) = queues.take_high() {
            return Some(entry);
        }
        if tick.is_multiple_of(NORMAL_FIRST_EVERY)
            && let Some(entry) = queues.take_normal()
        {
            return Some(entry);
        }
        self.pop()
            .or_else(|| queues.take_inbox(self.index))
            .or_else(|| queues.take_normal_batch(self.deque.as_ref()?, self.batch()))
    }

    fn pop(&self) -> Option<Entry> {
        let popped = self.deque.as_ref()?.pop();
        self.own.set(match &popped {
            Some(_) => self.own.get().saturating_sub(1),
            None => 0,
        });
        popped
    }

    fn take_anywhere(&self) -> Option<Entry> {
        let queues = &self.shared().queues;
        self.take_near()
            .or_else(|| {
                let deque = self.deque.as_ref()?;
                queues.steal(self.index, self.next_random(), deque, self.batch())
            })
            .or_else(|| queues.take_low())
    }

    /// xorshift64, Marsaglia 2003.
    fn next_random(&self) -> usize {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        usize::try_from(x >> 33).unwrap_or(0)
    }

    /// Runs `body` with `worker` as that of this thread.
    pub(crate) fn with_current<R>(worker: &Rc<Self>, body: impl FnOnce() -> R) -> R {
        let before = CURRENT.replace(Some(Rc::clone(worker)));
        let result = body();
        CURRENT.set(before);
        result
    }

    pub(crate) fn run_entry(&self, entry: Entry) {
        let shared = self.shared();
        shared.took_out(&entry, self.lane());
        let team = entry.team();
        // User code is caught where it runs; what is left are destructors of values that nobody
        // joined.
        let ended = catch_unwind(AssertUnwindSafe(|| entry.run(self)));
        if let Err(payload) = ended {
            drop_quietly(payload);
        }
        shared.end_turn(team);
    }

    /// Which lane of a count this worker writes.
    pub(crate) fn lane(&self) -> Lane {
        Lane::Worker(self.index)
    }

    /// A task or message that ran on this worker has ended.
    pub(crate) fn end_one(&self) {
        self.shared().end_one(self.lane());
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.shared().ledgers[self.index]
    }

    fn switch(&self, next: Phase) -> Phase {
        self.ledger().switch(self.shared().clock.now_ns(), next)
    }

    /// Runs `wait` with its time booked as blocked.
    pub(crate) fn blocked<R>(&self, wait: impl FnOnce() -> R) -> R {
        struct Resume<'w>(&'w Worker, Phase);
        impl Drop for Resume<'_> {
            fn drop(&mut self) {
                self.0.switch(self.1);
            }
        }
        let team = self.frames.borrow().last().map(|frame| frame.team);
        let _resume = team.map(|team| Resume(self, self.switch(Phase::Blocked(team))));
        wait()
    }

    /// Whether the unit with this address is on the stack of this worker.
    pub(crate) fn is_running(&self, address: usize) -> bool {
        self.frames
            .borrow()
            .iter()
            .any(|frame| frame.address == address)
    }

    /// Whether a message handler of an agent is on the stack of this worker.
    pub(crate) fn is_in_agent(&self) -> bool {
        self.frames.borrow().iter().any(|frame| frame.agent)
    }

    /// Delegation depth of a task submitted now: one more than the running one's.
    pub(crate) fn depth_of_child(&self) -> usize {
        self.frames
            .borrow()
            .last()
            .map_or(0, |frame| usize::from(frame.depth) + 1)
    }

    /// Whether one more unit may be nested on this worker.
    pub(crate) fn check_nesting(&self) -> Result<(), TaskError> {
        let depth = self.frames.borrow().len();
        let depth_max = self.shared().settings.depth_max;
        if depth < depth_max {
            Ok(())
        } else {
            Err(TaskError::NestedTooDeep { depth, depth_max })
        }
    }

    /// Runs one task or message with its books; `body` does not run if it was cancelled or missed
    /// its deadline. Catches panics.
    pub(crate) fn run_unit<R>(
        &self,
        header: &Header,
        address: usize,
        agent: bool,
        body: impl FnOnce(&TaskContext<'_>) -> R,
    ) -> Result<R, TaskError> {
        let shared = self.shared();
        let team = header.team;
        let started_ns = shared.clock.now_ns();
        let queued_ns = started_ns.saturating_sub(header.accepted_ns);
        if let Some(error) = shared.refusal(header, started_ns) {
            drop_quietly(body);
            self.ledger().refuse(team, queued_ns, &error, 1);
            return Err(error);
        }
        shared.note_wait(queued_ns);
        shared.teams[team].note_running();
        let resume = self
            .ledger()
            .begin(started_ns, team, queued_ns, header.deadline_ns);
        self.frames.borrow_mut().push(Frame {
            address,
            team,
            depth: header.depth,
            agent,
        });
        let result = {
            let name = shared.teams[team].name.as_str();
            let _span = tracing::trace_span!(target: "agent_collective", "task", team = name);
            let _entered = _span.enter();
            catch_unwind(AssertUnwindSafe(|| body(&TaskContext::new(self, header))))
        };
        self.frames.borrow_mut().pop();
        let result = result.map_err(task_error);
        let unit = Finished {
            team,
            started_ns,
            deadline_ns: header.deadline_ns,
            error: result.as_ref().err(),
            resume,
        };
        let ended_ns = shared.clock.now_ns();
        self.ledger().end(ended_ns, &unit);
        self.note_unit(ended_ns.saturating_sub(started_ns), 1);
        shared.teams[team].note_ended();
        result
    }

    /// Runs a share of a bulk job, `count` items begun together, with its books. `body` says how
    /// many of them failed.
    pub(crate) fn run_share(
        &self,
        header: &Header,
        address: usize,
        started_ns: u64,
        count: u64,
        body: impl FnOnce(&TaskContext<'_>) -> u64,
    ) {
        let shared = self.shared();
        let team = header.team;
        let queued_ns = started_ns.saturating_sub(header.accepted_ns);
        shared.note_wait(queued_ns);
        shared.teams[team].note_running();
        let deadline_ns = header.deadline_ns;
        let resume = self
            .ledger()
            .begin_many(started_ns, team, (queued_ns, count), deadline_ns);
        self.frames.borrow_mut().push(Frame {
            address,
            team,
            depth: header.depth,
            agent: false,
        });
        let failed = {
            let name = shared.teams[team].name.as_str();
            let _span =
                tracing::trace_span!(target: "agent_collective", "share", team = name, count);
            let _entered = _span.enter();
            body(&TaskContext::new(self, header))
        };
        self.frames.borrow_mut().pop();
        let unit = Finished {
            team,
            started_ns,
            deadline_ns,
            error: None,
            resume,
        };
        let ended_ns = shared.clock.now_ns();
        self.ledger().end_many(ended_ns, &unit, count, failed);
        self.note_unit(ended_ns.saturating_sub(started_ns), count);
        shared.teams[team].note_ended();
    }

    /// Books a unit that was cancelled through its handle while it was queued.
    pub(crate) fn book_refusal(&self, header: &Header, error: &TaskError, count: u64) {
        let queued_ns = self
            .shared()
            .clock
            .now_ns()
            .saturating_sub(header.accepted_ns);
        self.ledger().refuse(header.team, queued_ns, error, count);
    }
}

/// Panics of tasks are caught where they run. One that gets out of a worker is a defect of this
/// crate; without the worker, others would wait for ever, so the process ends instead.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

impl Shared {
    /// Why a unit must not start.
    pub(crate) fn refusal(&self, header: &Header, now_ns: u64) -> Option<TaskError> {
        if self.census.is_stopping() || header.is_cancelled() {
            return Some(TaskError::Cancelled);
        }
        let late = Duration::from_nanos(now_ns.saturating_sub(header.deadline_ns));
        (now_ns > header.deadline_ns).then_some(TaskError::DeadlineExceeded { late })
    }

    /// Keeps the last queue wait for the age limit.
    pub(crate) fn note_wait(&self, queued_ns: u64) {
        if self.settings.queue_age_max.is_some() {
            self.wait_ns.store(queued_ns, Ordering::Relaxed);
        }
    }
}

/// Drops a value of the user's; a panic of its destructor ends here. A second panic, from
/// dropping the first one's payload, is avoided by leaking that payload.
pub(crate) fn drop_quietly<V>(value: V) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        std::mem::forget(payload);
    }
}
