//! Futures as tasks: each poll is one unit of work of a team, queued by the waker.

use super::handle::RuntimeHandle;
use super::shared::Shared;
use crate::clock::NEVER_NS;
use crate::error::{Rejected, Rejection, TaskError};
use crate::lanes::Lane;
use crate::latch::Latch;
use crate::park::park_until;
use crate::primitive::{AtomicBool, AtomicU8, AtomicU64, Mutex, Ordering, lock};
use crate::queue::{Entry, Work};
use crate::task::{Awaited, Capability, Header, JoinHandle, Priority};
use crate::waiters::{Waiters, wake_all};
use crate::worker::{Worker, drop_quietly};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

/// Most futures that live in one runtime at a time: bounds memory.
const FUTURES_MAX: usize = 1 << 16;

/// Waits for its waker.
const IDLE: u8 = 0;
/// In the queue, or about to be.
const QUEUED: u8 = 1;
/// Being polled.
const RUNNING: u8 = 2;
/// Being polled, and woken meanwhile.
const WOKEN: u8 = 3;
/// Ready, failed or cancelled.
const OVER: u8 = 4;

/// The futures of a runtime, for a shutdown that cancels those that wait.
#[derive(Default)]
pub(crate) struct Futures {
    next_key: u64,
    list: HashMap<u64, Weak<dyn Cancel>>,
}

trait Cancel: Send + Sync {
    fn cancel_idle(&self);
}

struct FutureCell<F: Future> {
    me: Weak<Self>,
    key: u64,
    runtime: RuntimeHandle,
    team: usize,
    state: AtomicU8,
    cancelled: AtomicBool,
    woken_ns: AtomicU64,
    future: Mutex<Option<Pin<Box<F>>>>,
    outcome: Mutex<Option<Result<F::Output, TaskError>>>,
    latch: Latch,
    /// Workers that wait for the future and would poll it.
    drivers: Mutex<Waiters>,
}

impl RuntimeHandle {
    /// Runs a future as a task of a team with `capability`. Each poll is one unit of work: it is
    /// counted and its time booked, and between polls the future occupies no worker. Wakers of any
    /// kind work, with and without tokio; what needs a reactor needs that reactor running.
    ///
    /// A future holds no place in the queue; at most 65,536 live in a runtime at a time. A shutdown
    /// waits for them, [`shutdown_now`](crate::Runtime::shutdown_now) drops them.
    ///
    /// ```
    /// use agent_collective::Runtime;
    ///
    /// let runtime = Runtime::builder().workers(2).build()?;
    /// let answer = runtime.spawn_future("think", async { 6 * 7 })?;
    /// assert_eq!(answer.join()?, 42);
    /// # Ok::<(), agent_collective::CollectiveError>(())
    /// ```
    ///
    /// # Errors
    /// The future comes back with [`Rejection::NoTeam`], [`Rejection::ShuttingDown`], or
    /// [`Rejection::QueueFull`] if too many live.
    pub fn spawn_future<F>(
        &self,
        capability: impl Into<Capability>,
        future: F,
    ) -> Result<JoinHandle<F::Output>, Rejected<F>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let shared = self.shared();
        let worker = Worker::current_of(shared.id);
        let team = match shared.route_agent(&capability.into()) {
            Ok(team) => team,
            Err(reason) => return Err(Rejected::new(reason, future)),
        };
        if !shared.announce(worker.is_some()) {
            return Err(Rejected::new(Rejection::ShuttingDown, future));
        }
        let cell = {
            let mut futures = lock(&shared.futures);
            let depth = futures.list.len();
            if depth >= FUTURES_MAX {
                drop(futures);
                shared.end_one(Lane::Outside);
                let capacity = FUTURES_MAX;
                return Err(Rejected::new(
                    Rejection::QueueFull { depth, capacity },
                    future,
                ));
            }
            futures.next_key += 1;
            let key = futures.next_key;
            let cell = FutureCell::new(self.clone(), key, team, future);
            let weak: Weak<dyn Cancel> = cell.me.clone();
            futures.list.insert(key, weak);
            cell
        };
        cell.queue(worker.as_deref());
        // Between the announcement and the list a stop may have passed by.
        if shared.census.is_stopping() {
            cell.cancel_idle();
        }
        Ok(JoinHandle::new(cell))
    }
}

impl Shared {
    /// Drops the futures that wait, because the runtime stops.
    pub(super) fn cancel_futures(&self) {
        let waiting: Vec<_> = lock(&self.futures).list.values().cloned().collect();
        for cell in waiting.iter().filter_map(Weak::upgrade) {
            cell.cancel_idle();
        }
    }
}

impl<F> FutureCell<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn new(runtime: RuntimeHandle, key: u64, team: usize, future: F) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            key,
            runtime,
            team,
            state: AtomicU8::new(IDLE),
            cancelled: AtomicBool::new(false),
            woken_ns: AtomicU64::new(0),
            future: Mutex::new(Some(Box::pin(future))),
            outcome: Mutex::new(None),
            latch: Latch::new(),
            drivers: Mutex::new(Waiters::default()),
        })
    }

    fn shared(&self) -> &Shared {
        self.runtime.shared()
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Makes sure that the future is polled after this call.
    fn queue(&self, worker: Option<&Worker>) {
        loop {
            if self.change(IDLE, QUEUED) {
                self.enqueue(worker);
                return;
            }
            if self.change(RUNNING, WOKEN) {
                return;
            }
            match self.state.load(Ordering::Acquire) {
                QUEUED | WOKEN | OVER => return,
                _ => std::hint::spin_loop(),
            }
        }
    }

    fn enqueue(&self, worker: Option<&Worker>) {
        let shared = self.shared();
        self.woken_ns
            .store(shared.clock.now_ns(), Ordering::Relaxed);
        if let Some(me) = self.me.upgrade() {
            shared.enqueue(Entry::Shared(me), worker, true);
        }
        let drivers = lock(&self.drivers).take_all();
        wake_all(drivers);
    }

    /// Polls the future on this worker if it is queued.
    fn run_queued(&self, worker: &Worker) -> bool {
        if !self.change(QUEUED, RUNNING) {
            return false;
        }
        let shared = self.shared();
        let header = Header {
            runtime: shared.id,
            accepted_ns: self.woken_ns.load(Ordering::Relaxed),
            deadline_ns: NEVER_NS,
            token: None,
            team: self.team,
            depth: 0,
            preferred: None,
            priority: Priority::Normal,
            cancelled: AtomicBool::new(self.cancelled.load(Ordering::Acquire)),
        };
        shared.teams[self.team].accept_extra(1);
        let waker = self.me.upgrade().map(Waker::from);
        let polled = {
            let mut future = lock(&self.future);
            let (Some(pinned), Some(waker)) = (future.as_mut(), waker) else {
                return true;
            };
            let polled = worker.run_unit(&header, self.address(), false, |_| {
                pinned.as_mut().poll(&mut Context::from_waker(&waker))
            });
            if !matches!(polled, Ok(Poll::Pending)) {
                drop_quietly(future.take());
            }
            polled
        };
        match polled {
            Ok(Poll::Pending) => {
                if !self.change(RUNNING, IDLE) {
                    // Woken meanwhile.
                    self.state.store(QUEUED, Ordering::Release);
                    self.enqueue(None);
                } else if self.cancelled.load(Ordering::Acquire) || shared.census.is_stopping() {
                    self.queue(Some(worker));
                }
            }
            Ok(Poll::Ready(value)) => self.end(Ok(value), worker.lane()),
            Err(error) => self.end(Err(error), worker.lane()),
        }
        true
    }

    fn end(&self, result: Result<F::Output, TaskError>, lane: Lane) {
        self.state.store(OVER, Ordering::Release);
        lock(&self.shared().futures).list.remove(&self.key);
        *lock(&self.outcome) = Some(result);
        self.latch.set();
        self.shared().end_one(lane);
    }

    fn discard_queued(&self) {
        if self.change(QUEUED, RUNNING) {
            let future = lock(&self.future).take();
            drop_quietly(future);
            self.shared().teams[self.team].accept_extra(1);
            self.shared().teams[self.team]
                .cancelled
                .fetch_add(1, Ordering::Relaxed);
            self.end(Err(TaskError::Cancelled), Lane::Outside);
        }
    }
}

impl<F> Cancel for FutureCell<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn cancel_idle(&self) {
        if self.change(IDLE, QUEUED) {
            self.discard_queued();
        }
    }
}

impl<F> Wake for FutureCell<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let worker = Worker::current_of(self.shared().id);
        self.queue(worker.as_deref());
        // A waker that comes while the runtime stops may find nobody left to poll.
        if self.shared().census.is_stopping() {
            self.discard_queued();
        }
    }
}

impl<F> Work for FutureCell<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
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
        self.run_queued(worker);
    }

    fn discard(&self, _: &Shared) {
        self.discard_queued();
    }
}

impl<F> Awaited<F::Output> for FutureCell<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn latch(&self) -> &Latch {
        &self.latch
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(&self.state).addr()
    }

    fn take(&self) -> Option<Result<F::Output, TaskError>> {
        lock(&self.outcome).take()
    }

    /// The next poll, which this brings about, finds it cancelled.
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        let worker = Worker::current_of(self.shared().id);
        self.queue(worker.as_deref());
    }

    /// Polls the future here whenever it is woken.
    fn wait_on(&self, worker: &Worker) -> Result<(), TaskError> {
        if worker.shared().id != self.shared().id {
            worker.blocked(|| self.latch.wait());
            return Ok(());
        }
        while !self.latch.is_set() {
            if worker.is_running(self.address()) {
                return Err(TaskError::WouldDeadlock);
            }
            worker.check_nesting()?;
            if self.run_queued(worker) {
                continue;
            }
            let (mut answer, mut woken) = (None, None);
            worker.blocked(|| {
                park_until(|waker| match self.latch.poll(&mut answer, waker) {
                    Poll::Pending => self.poll_queued(&mut woken, waker),
                    ready @ Poll::Ready(()) => ready,
                });
            });
            self.latch.forget(answer);
            if let Some(key) = woken {
                lock(&self.drivers).remove(key);
            }
        }
        Ok(())
    }
}

impl<F: Future> FutureCell<F> {
    /// Ready when the future waits in the queue.
    fn poll_queued(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<()> {
        lock(&self.drivers).register(key, waker);
        if self.state.load(Ordering::Acquire) == QUEUED {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
