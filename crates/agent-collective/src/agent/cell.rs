//! An agent's mailbox, its state, and who may handle its messages at the moment.

use super::reply::Reply;
use super::supervisor::{Place, Supervised, Verdict};
use super::{Agent, AgentConfig};
use crate::clock::{NEVER_NS, duration_ns};
use crate::error::{CollectiveError, Rejection, TaskError};
use crate::gate::Gate;
use crate::guest::Guest;
use crate::lanes::Lane;
use crate::memory::MemoryBudget;
use crate::primitive::{AtomicBool, AtomicU64, Mutex, Ordering, lock};
use crate::queue::{Entry, Work};
use crate::runtime::{RuntimeHandle, Shared};
use crate::task::{Header, Priority, panic_message};
use crate::waiters::{Waiters, wake_all};
use crate::worker::{Worker, drop_quietly};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

/// Messages handled in one turn on a worker before others get theirs.
const MESSAGES_PER_TURN: usize = 32;
/// Messages that the driver takes out of the mailbox at a time, so that senders and driver meet at
/// its lock less often.
const HAND_MAX: usize = 16;

/// One message on its way.
pub(super) struct Letter<A: Agent> {
    pub(super) header: Header,
    pub(super) message: A::Message,
    pub(super) reply: Option<Arc<Reply<A>>>,
}

/// The shared part of an agent.
///
/// Messages are handled by whoever sets `driven`: a worker that took the agent from the queue, or
/// one that waits for an answer or for space in the mailbox. The agent is in the queue at most
/// once (`queued`), and whenever letters are left, it is driven or queued.
pub(super) struct AgentCell<A: Agent> {
    me: Weak<Self>,
    pub(super) runtime: RuntimeHandle,
    pub(super) name: String,
    pub(super) gate: Gate,
    team: usize,
    mailbox: Mutex<Mailbox<A>>,
    body: Mutex<Body<A>>,
    restarts: AtomicU64,
    restarts_max: usize,
    restart_window: Duration,
    pub(super) memory: MemoryBudget,
    runs_on_caller: bool,
    place: Option<Place>,
    /// The supervisor wants it made anew before the next message.
    remake: AtomicBool,
    /// `stop` was called: what the driver has in hand is not handled any more.
    stopping: AtomicBool,
}

struct Mailbox<A: Agent> {
    letters: VecDeque<Letter<A>>,
    queued: bool,
    driven: bool,
    stopped: bool,
    /// Waiting for an answer or for space while somebody else drives.
    drivers: Waiters,
}

impl<A: Agent> Mailbox<A> {
    /// Whether the caller has to queue the agent: keeps the promise that letters imply a driver or
    /// a place in the queue.
    fn take_queueing(&mut self) -> bool {
        let needed = !self.letters.is_empty() && !self.queued && !self.driven;
        self.queued |= needed;
        needed
    }
}

/// Touched only by the driver, and by `stop` when nobody drives.
struct Body<A: Agent> {
    agent: Option<A>,
    factory: Box<dyn FnMut() -> A + Send>,
    restarted_ns: VecDeque<u64>,
}

impl<A: Agent> AgentCell<A> {
    pub(super) fn spawn(
        runtime: RuntimeHandle,
        config: AgentConfig,
        mut factory: Box<dyn FnMut() -> A + Send>,
        place: Option<Place>,
    ) -> Result<Arc<Self>, CollectiveError> {
        config.validate()?;
        let team = runtime.shared().route_agent(&config.capability)?;
        let agent = catch_unwind(AssertUnwindSafe(&mut factory)).map_err(|payload| {
            let message = panic_message(payload);
            CollectiveError::AgentStart {
                agent: config.name.clone(),
                message,
            }
        })?;
        let mailbox = Mailbox {
            letters: VecDeque::new(),
            queued: false,
            driven: false,
            stopped: false,
            drivers: Waiters::default(),
        };
        let body = Body {
            agent: Some(agent),
            factory,
            restarted_ns: VecDeque::new(),
        };
        let memory = MemoryBudget::new(&config.name, config.memory_bytes_max);
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            runtime,
            name: config.name,
            gate: Gate::new(config.mailbox_capacity),
            team,
            mailbox: Mutex::new(mailbox),
            body: Mutex::new(body),
            restarts: AtomicU64::new(0),
            restarts_max: config.restarts_max,
            restart_window: config.restart_window,
            memory,
            runs_on_caller: config.runs_on_caller,
            place,
            remake: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }))
    }

    fn shared(&self) -> &Shared {
        self.runtime.shared()
    }

    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(&self.mailbox).addr()
    }

    pub(super) fn belongs_to(&self, worker: &Worker) -> bool {
        self.shared().id == worker.shared().id
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.mailbox).stopped
    }

    /// Takes a place in the mailbox and announces the message.
    pub(super) fn admit(&self, worker: Option<&Worker>) -> Result<(), Rejection> {
        if !self.shared().announce(worker.is_some()) {
            return Err(Rejection::ShuttingDown);
        }
        self.gate.try_enter().map_err(|depth| {
            self.shared().end_one(Lane::Outside);
            let capacity = self.gate.capacity();
            Rejection::MailboxFull {
                agent: self.name.clone(),
                depth,
                capacity,
            }
        })
    }

    /// Puts an admitted message into the mailbox; gives it back if the agent has stopped.
    pub(super) fn deliver(
        &self,
        message: A::Message,
        reply: Option<Arc<Reply<A>>>,
        worker: Option<&Worker>,
    ) -> Result<(), A::Message> {
        let header = self.header(reply.as_deref());
        let awaited = reply.is_some();
        let mut mailbox = lock(&self.mailbox);
        if mailbox.stopped {
            drop(mailbox);
            self.gate.leave();
            self.shared().end_one(Lane::Outside);
            return Err(message);
        }
        self.shared().teams[self.team].accept_extra(1);
        mailbox.letters.push_back(Letter {
            header,
            message,
            reply,
        });
        let queueing = mailbox.take_queueing();
        drop(mailbox);
        if queueing {
            self.enqueue(worker, awaited);
        }
        Ok(())
    }

    fn header(&self, reply: Option<&Reply<A>>) -> Header {
        Header {
            runtime: self.shared().id,
            team: self.team,
            priority: Priority::Normal,
            preferred: None,
            depth: 0,
            accepted_ns: self.shared().clock.now_ns(),
            deadline_ns: NEVER_NS,
            token: reply.map(|reply| reply.token().clone()),
            cancelled: AtomicBool::new(false),
        }
    }

    pub(super) fn count_rejection(&self) {
        self.shared().teams[self.team]
            .rejected
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Puts the agent into the queue after [`Mailbox::take_queueing`] said so, without the lock of
    /// the mailbox: whoever is woken by it takes that lock next.
    fn enqueue(&self, worker: Option<&Worker>, awaited: bool) {
        if let Some(me) = self.me.upgrade() {
            match worker {
                None if awaited => self.shared().enqueue_awaited(Entry::Shared(me)),
                _ => self.shared().enqueue(Entry::Shared(me), worker, true),
            }
        }
    }

    /// Handles up to `letters_max` messages on this worker, until `enough`. False if somebody else
    /// does or there are none.
    pub(super) fn drive(
        &self,
        worker: &Worker,
        letters_max: usize,
        enough: &dyn Fn() -> bool,
    ) -> bool {
        {
            let mut mailbox = lock(&self.mailbox);
            if mailbox.driven || mailbox.letters.is_empty() {
                return false;
            }
            mailbox.driven = true;
        }
        let mut hand = VecDeque::new();
        let mut left = letters_max;
        while left > 0 && !enough() {
            let Some(letter) = hand
                .pop_front()
                .or_else(|| self.take_letters(&mut hand, left))
            else {
                break;
            };
            left -= 1;
            if self.stopping.load(Ordering::Acquire) {
                self.cancel_letters([letter], &self.stopped_error());
            } else {
                self.gate.leave();
                self.handle(worker, letter);
            }
        }
        if !hand.is_empty() {
            let mut mailbox = lock(&self.mailbox);
            while let Some(letter) = hand.pop_back() {
                mailbox.letters.push_front(letter);
            }
        }
        self.end_driving(worker);
        true
    }

    /// Takes the next letter, and further ones into the empty `hand`.
    fn take_letters(&self, hand: &mut VecDeque<Letter<A>>, left: usize) -> Option<Letter<A>> {
        let mut mailbox = lock(&self.mailbox);
        let first = mailbox.letters.pop_front()?;
        let more = mailbox.letters.len().min(HAND_MAX.min(left) - 1);
        hand.extend(mailbox.letters.drain(..more));
        Some(first)
    }

    /// Handles one message on this worker at once, if the agent is idle and its mailbox empty;
    /// otherwise gives it back.
    pub(super) fn handle_here(
        &self,
        worker: &Worker,
        message: A::Message,
    ) -> Result<Result<A::Reply, TaskError>, A::Message> {
        self.handle_at_once(worker, message, true)
    }

    /// Handles one message on the calling thread, which is no worker, in the seat of a worker that
    /// sleeps, if there is one, nothing else is queued, the team has a turn, the agent is idle and
    /// its mailbox empty; otherwise gives it back.
    pub(super) fn handle_on_caller(
        &self,
        message: A::Message,
    ) -> Result<Result<A::Reply, TaskError>, A::Message> {
        if !self.runs_on_caller {
            return Err(message);
        }
        let Some(guest) = Guest::sit_down(&self.runtime) else {
            return Err(message);
        };
        if !self.shared().teams[self.team].try_turn() {
            return Err(message);
        }
        let handled = self.handle_at_once(guest.worker(), message, false);
        self.shared().end_turn(self.team);
        handled
    }

    fn handle_at_once(
        &self,
        worker: &Worker,
        message: A::Message,
        from_task: bool,
    ) -> Result<Result<A::Reply, TaskError>, A::Message> {
        if worker.check_nesting().is_err() {
            return Err(message);
        }
        {
            let mut mailbox = lock(&self.mailbox);
            if mailbox.driven || mailbox.stopped || !mailbox.letters.is_empty() {
                return Err(message);
            }
            mailbox.driven = true;
        }
        if !self.shared().announce(from_task) {
            self.end_driving(worker);
            return Err(message);
        }
        self.shared().teams[self.team].accept_extra(1);
        let result = self.handle_message(worker, &self.header(None), message);
        worker.end_one();
        self.end_driving(worker);
        Ok(result)
    }

    fn end_driving(&self, worker: &Worker) {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.stopped {
            // Still the driver, so nobody else touches the body.
            drop(mailbox);
            drop_quietly(lock(&self.body).agent.take());
            mailbox = lock(&self.mailbox);
        }
        mailbox.driven = false;
        let queueing = mailbox.take_queueing();
        let left = !mailbox.letters.is_empty();
        let drivers = left.then(|| mailbox.drivers.take_all());
        drop(mailbox);
        if queueing {
            self.enqueue(Some(worker), false);
        }
        if let Some(drivers) = drivers {
            wake_all(drivers);
        }
    }

    fn handle(&self, worker: &Worker, letter: Letter<A>) {
        let Letter {
            header,
            message,
            reply,
        } = letter;
        let result = self.handle_message(worker, &header, message);
        match reply {
            Some(reply) => reply.resolve(result),
            None => drop_quietly(result),
        }
        worker.end_one();
    }

    fn handle_message(
        &self,
        worker: &Worker,
        header: &Header,
        message: A::Message,
    ) -> Result<A::Reply, TaskError> {
        let mut body = lock(&self.body);
        if self.remake.load(Ordering::Relaxed) && self.remake.swap(false, Ordering::AcqRel) {
            self.make(&mut body);
        }
        let result = match body.agent.as_mut() {
            Some(agent) => worker.run_unit(header, self.address(), true, |context| {
                agent.handle(message, &context.with_memory(&self.memory))
            }),
            None => {
                drop_quietly(message);
                let error = self.stopped_error();
                worker.book_refusal(header, &TaskError::Cancelled, 1);
                Err(error)
            }
        };
        if matches!(result, Err(TaskError::Panicked { .. })) {
            self.restart(&mut body);
        }
        result
    }

    /// Makes the agent anew, or stops it when that happens too often.
    fn restart(&self, body: &mut Body<A>) {
        drop_quietly(body.agent.take());
        if self.place.is_some() {
            self.ask_supervisor(body);
            return;
        }
        let window_ns = duration_ns(self.restart_window);
        loop {
            let now_ns = self.shared().clock.now_ns();
            let recent = |&&at: &&u64| now_ns.saturating_sub(at) < window_ns;
            let old = body.restarted_ns.len() - body.restarted_ns.iter().filter(recent).count();
            body.restarted_ns.drain(..old);
            if body.restarted_ns.len() >= self.restarts_max {
                self.give_up();
                return;
            }
            body.restarted_ns.push_back(now_ns);
            self.restarts.fetch_add(1, Ordering::Relaxed);
            if self.try_make(body) {
                return;
            }
        }
    }

    fn give_up(&self) {
        tracing::warn!(target: "agent_collective", agent = %self.name, "agent stopped");
        lock(&self.mailbox).stopped = true;
        self.gate.space().wake_all();
    }

    fn try_make(&self, body: &mut Body<A>) -> bool {
        match catch_unwind(AssertUnwindSafe(&mut body.factory)) {
            Ok(agent) => {
                body.agent = Some(agent);
                true
            }
            Err(payload) => {
                drop_quietly(payload);
                false
            }
        }
    }

    /// Makes the agent anew because the supervisor wants it; a factory that panics is a failure
    /// like that of a message.
    fn make(&self, body: &mut Body<A>) {
        drop_quietly(body.agent.take());
        self.restarts.fetch_add(1, Ordering::Relaxed);
        if !self.try_make(body) {
            self.restart(body);
        }
    }

    /// A supervised agent has failed: the supervisor says who is made anew.
    fn ask_supervisor(&self, body: &mut Body<A>) {
        while let Some(place) = &self.place {
            match place.failed(self.shared().clock.now_ns()) {
                Verdict::Stop => {
                    self.give_up();
                    return;
                }
                Verdict::Restart => {
                    self.restarts.fetch_add(1, Ordering::Relaxed);
                    self.remake.store(false, Ordering::Relaxed);
                    if self.try_make(body) {
                        return;
                    }
                }
            }
        }
    }

    /// Ready when this agent has messages that nobody handles.
    pub(super) fn poll_drivable(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<()> {
        let mut mailbox = lock(&self.mailbox);
        if !mailbox.driven && !mailbox.letters.is_empty() {
            return Poll::Ready(());
        }
        mailbox.drivers.register(key, waker);
        Poll::Pending
    }

    pub(super) fn forget_driver(&self, key: Option<u64>) {
        if let Some(key) = key {
            lock(&self.mailbox).drivers.remove(key);
        }
    }

    pub(super) fn stopped_error(&self) -> TaskError {
        TaskError::AgentStopped {
            agent: self.name.clone(),
        }
    }

    /// Refuses further messages and answers the waiting ones with `AgentStopped`. The message
    /// that is being handled is finished.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let letters = {
            let mut mailbox = lock(&self.mailbox);
            mailbox.stopped = true;
            std::mem::take(&mut mailbox.letters)
        };
        self.cancel_letters(letters, &self.stopped_error());
        self.gate.space().wake_all();
        let idle = {
            let mut mailbox = lock(&self.mailbox);
            let idle = !mailbox.driven;
            mailbox.driven |= idle;
            idle
        };
        if idle {
            drop_quietly(lock(&self.body).agent.take());
            lock(&self.mailbox).driven = false;
        }
    }

    fn cancel_letters(&self, letters: impl IntoIterator<Item = Letter<A>>, error: &TaskError) {
        for letter in letters {
            self.gate.leave();
            drop_quietly(letter.message);
            self.shared().teams[self.team]
                .cancelled
                .fetch_add(1, Ordering::Relaxed);
            if let Some(reply) = letter.reply {
                reply.resolve(Err(error.clone()));
            }
            self.shared().end_one(Lane::Outside);
        }
    }
}

impl<A: Agent> Supervised for AgentCell<A> {
    fn remake(&self) {
        self.remake.store(true, Ordering::Release);
    }

    fn halt(&self) {
        self.stop();
    }
}

impl<A: Agent> Work for AgentCell<A> {
    fn team(&self) -> usize {
        self.team
    }

    fn priority(&self) -> Priority {
        Priority::Normal
    }

    fn preferred(&self) -> Option<u16> {
        None
    }

    fn holds_place(&self) -> bool {
        false
    }

    fn run(&self, worker: &Worker) {
        lock(&self.mailbox).queued = false;
        self.drive(worker, MESSAGES_PER_TURN, &|| false);
    }

    /// If somebody drives, the letters stay: he cancels them one by one, because the runtime stops.
    fn discard(&self, _: &Shared) {
        let letters = {
            let mut mailbox = lock(&self.mailbox);
            mailbox.queued = false;
            if mailbox.driven {
                VecDeque::new()
            } else {
                std::mem::take(&mut mailbox.letters)
            }
        };
        self.cancel_letters(letters, &TaskError::Cancelled);
    }
}
