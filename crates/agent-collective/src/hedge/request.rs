//! Requests that are tried a second time, and what is learnt from them.

use super::HedgeConfig;
use crate::cancel::CancelToken;
use crate::clock::{Clock, duration_ns};
use crate::error::{CollectiveError, Rejected, TaskError};
use crate::latch::Latch;
use crate::latency::Latency;
use crate::primitive::{AtomicU64, Mutex, Ordering, lock};
use crate::runtime::RuntimeHandle;
use crate::task::{Capability, JoinHandle, Priority, Task, TaskContext, task_error, unwind_with};
use crate::worker::{Worker, drop_quietly};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The delay is computed anew after so many requests.
const RENEWED_EVERY: u64 = 64;
/// A timer that comes later than this part of the delay says that the machine stood still.
const LATE_PARTS: u32 = 4;
/// `no delay known yet`.
const UNKNOWN: u64 = 0;

/// When to try a second time, learnt from the requests so far. Share one among all requests of a
/// kind: it can be cloned, and clones learn together.
///
/// ```
/// use agent_collective::{Hedge, HedgeConfig, Runtime, Task};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let hedge = Hedge::new(HedgeConfig::default())?;
/// let handle = runtime.submit_hedged(&hedge, Task::repeatable("fetch", |_| 6 * 7))?;
/// assert_eq!(handle.join()?, 42);
/// assert_eq!(hedge.stats().requests, 1);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
#[derive(Clone)]
pub struct Hedge {
    state: Arc<State>,
}

struct State {
    config: HedgeConfig,
    clock: Clock,
    delay_ns: AtomicU64,
    requests: AtomicU64,
    second_tries: AtomicU64,
    second_wins: AtomicU64,
    /// Second tries that have not ended.
    seconds_open: AtomicU64,
    /// Time spent in first and in second tries that have ended.
    spent_ns: [AtomicU64; 2],
    latency: Mutex<Latency>,
}

/// What a [`Hedge`] has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HedgeStats {
    /// Requests.
    pub requests: u64,
    /// Those that were tried a second time.
    pub second_tries: u64,
    /// Those that the second try answered.
    pub second_wins: u64,
    /// How long a request runs before it is tried again; none before enough is known.
    pub delay: Option<Duration>,
}

/// Waits for a hedged request. Also a [`Future`]. Dropping it lets the request go on.
#[must_use = "dropping the handle detaches the request; join it"]
pub struct HedgedHandle<T> {
    race: Arc<Race<T>>,
    first: JoinHandle<()>,
    waiter: Option<u64>,
}

/// Two tries, of which the first answer counts.
struct Race<T> {
    outcome: Mutex<Outcome<T>>,
    latch: Latch,
    tokens: [CancelToken; 2],
    started_ns: u64,
    hedge: Hedge,
}

struct Outcome<T> {
    result: Option<Result<T, TaskError>>,
    /// Tries that may still answer.
    open: u32,
}

/// One try; counts as failed if it is dropped without an answer.
struct Try<T> {
    race: Option<Arc<Race<T>>>,
    number: usize,
}

impl Hedge {
    /// Knows nothing yet.
    ///
    /// # Errors
    /// [`CollectiveError::InvalidConfig`].
    pub fn new(config: HedgeConfig) -> Result<Self, CollectiveError> {
        config.validate()?;
        Ok(Self {
            state: Arc::new(State {
                config,
                clock: Clock::new(),
                delay_ns: AtomicU64::new(UNKNOWN),
                requests: AtomicU64::new(0),
                second_tries: AtomicU64::new(0),
                second_wins: AtomicU64::new(0),
                seconds_open: AtomicU64::new(0),
                spent_ns: std::array::from_fn(|_| AtomicU64::new(0)),
                latency: Mutex::new(Latency::new()?),
            }),
        })
    }

    /// What it has done so far.
    pub fn stats(&self) -> HedgeStats {
        let state = &self.state;
        HedgeStats {
            requests: state.requests.load(Ordering::Relaxed),
            second_tries: state.second_tries.load(Ordering::Relaxed),
            second_wins: state.second_wins.load(Ordering::Relaxed),
            delay: self.delay(),
        }
    }

    fn delay(&self) -> Option<Duration> {
        let delay_ns = self.state.delay_ns.load(Ordering::Relaxed);
        (delay_ns != UNKNOWN).then(|| Duration::from_nanos(delay_ns))
    }

    /// How long a second try may take.
    fn second_limit(&self) -> Option<Duration> {
        let delays = self.state.config.second_max?;
        self.delay().map(|delay| delay.mul_f64(delays))
    }

    /// One more second try, if the budget has it.
    fn take_second_try(&self) -> bool {
        let state = &self.state;
        if !self.has_time() {
            return false;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of requests stay far below 2^52"
        )]
        let allowed = |tries: u64| {
            let requests = state.requests.load(Ordering::Relaxed) as f64;
            (tries + 1) as f64 <= requests * state.config.extra_max
        };
        let more = |tries: u64| allowed(tries).then_some(tries + 1);
        state
            .second_tries
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Whether the time budget has one more second try, if there is one.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of times, of which the last bits do not matter"
    )]
    fn has_time(&self) -> bool {
        let state = &self.state;
        let Some(share) = state.config.extra_time_max else {
            return true;
        };
        let [first_ns, second_ns] = &state.spent_ns;
        let tries = state.seconds_open.load(Ordering::Relaxed) + 1;
        let reserved_ns = tries * state.delay_ns.load(Ordering::Relaxed);
        let second_ns = second_ns.load(Ordering::Relaxed) + reserved_ns;
        second_ns as f64 <= first_ns.load(Ordering::Relaxed) as f64 * share
    }

    /// A try has taken `ns`.
    fn spend(&self, number: usize, ns: u64) {
        if let Some(spent_ns) = self.state.spent_ns.get(number) {
            spent_ns.fetch_add(ns, Ordering::Relaxed);
        }
    }

    /// A request was answered after `ns`. Of one that the second try answered it is known only that
    /// the first takes longer than this.
    fn learn(&self, ns: u64) {
        let state = &self.state;
        let mut latency = lock(&state.latency);
        latency.record(ns, 1);
        let count = latency.count();
        let known = state.delay_ns.load(Ordering::Relaxed) != UNKNOWN;
        if count < state.config.requests_min || (known && !count.is_multiple_of(RENEWED_EVERY)) {
            return;
        }
        if let Some(usual) = latency.quantile(state.config.quantile) {
            let delay_ns = duration_ns(usual.mul_f64(state.config.factor));
            state.delay_ns.store(delay_ns.max(1), Ordering::Relaxed);
        }
    }
}

impl<T> Race<T> {
    /// A try has ended. The first answer counts; a failure counts when no other try is open.
    fn end(&self, number: usize, result: Result<T, TaskError>) {
        if number == 1 {
            let open = &self.hedge.state.seconds_open;
            open.fetch_sub(1, Ordering::Relaxed);
        }
        let mut outcome = lock(&self.outcome);
        outcome.open = outcome.open.saturating_sub(1);
        if outcome.result.is_some() || (result.is_err() && outcome.open > 0) {
            drop(outcome);
            drop_quietly(result);
            return;
        }
        let answered = result.is_ok();
        outcome.result = Some(result);
        drop(outcome);
        if answered {
            let now_ns = self.hedge.state.clock.now_ns();
            self.hedge.learn(now_ns.saturating_sub(self.started_ns));
            if number == 1 {
                self.hedge.state.second_wins.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(loser) = self.tokens.get(1 - number) {
            loser.cancel();
        }
        self.latch.set();
    }

    /// Opens a second try, unless the request has been answered.
    fn open_second(&self) -> bool {
        let mut outcome = lock(&self.outcome);
        let open = outcome.result.is_none() && outcome.open > 0;
        if open {
            outcome.open += 1;
        }
        open
    }

    /// Cancels the second try if the first may still answer.
    fn give_up_second(&self) {
        let outcome = lock(&self.outcome);
        if outcome.result.is_none() && outcome.open > 1 {
            self.tokens[1].cancel();
        }
    }
}

impl<T> Try<T> {
    fn run<F>(mut self, job: &F, context: &TaskContext<'_>)
    where
        F: Fn(&TaskContext<'_>) -> T,
    {
        let hedge = self.race.as_ref().map(|race| race.hedge.clone());
        let from_ns = hedge.as_ref().map_or(0, |hedge| hedge.state.clock.now_ns());
        let result = catch_unwind(AssertUnwindSafe(|| job(context))).map_err(task_error);
        let error = result.as_ref().err().cloned();
        if let Some(hedge) = hedge {
            let now_ns = hedge.state.clock.now_ns();
            hedge.spend(self.number, now_ns.saturating_sub(from_ns));
        }
        if let Some(race) = self.race.take() {
            race.end(self.number, result);
        }
        if let Some(error) = error {
            unwind_with(error);
        }
    }
}

impl<T> Drop for Try<T> {
    fn drop(&mut self) {
        if let Some(race) = self.race.take() {
            race.end(self.number, Err(TaskError::Cancelled));
        }
    }
}

impl RuntimeHandle {
    /// Submits a request that is tried a second time when it takes longer than `hedge` has seen
    /// most requests take. The first answer counts, and the other try is cancelled: it never starts
    /// or sees itself cancelled. A try that fails counts when no other is open.
    ///
    /// The job must be fit to run twice; [`Task::repeatable`] makes the task. A second try is submitted without waiting: where the queue
    /// is full there is none. A cancellation token of the task ends both tries.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_hedged<F, T>(
        &self,
        hedge: &Hedge,
        task: Task<F>,
    ) -> Result<HedgedHandle<T>, Rejected<Task<Arc<F>>>>
    where
        F: Fn(&TaskContext<'_>) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        let task = task.replace_job(Arc::new);
        let token = || match &task.token {
            Some(parent) => parent.child(),
            None => CancelToken::new(),
        };
        let race = Arc::new(Race {
            outcome: Mutex::new(Outcome {
                result: None,
                open: 1,
            }),
            latch: Latch::new(),
            tokens: [token(), token()],
            started_ns: hedge.state.clock.now_ns(),
            hedge: hedge.clone(),
        });
        let second = Second {
            capability: task.capability.clone(),
            job: Arc::clone(&task.job),
            priority: task.priority,
            deadline: task.deadline,
        };
        let conditions = second.first(task.affinity, race.tokens[0].clone());
        let first = conditions.replace_job(|job| tried(&race, 0, job));
        let first = match self.submit(first) {
            Ok(first) => first,
            Err(rejected) => {
                let reason = rejected.reason().clone();
                return Err(Rejected::new(reason, task));
            }
        };
        hedge.state.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(delay) = hedge.delay() {
            second.start_after(delay, self, &race, true);
        }
        Ok(HedgedHandle {
            race,
            first,
            waiter: None,
        })
    }
}

/// What is needed to try again.
struct Second<F> {
    capability: Capability,
    job: Arc<F>,
    priority: Priority,
    deadline: Option<Duration>,
}

impl<F> Second<F> {
    fn first(&self, affinity: Option<u64>, token: CancelToken) -> Task<Arc<F>> {
        Task {
            capability: self.capability.clone(),
            job: Arc::clone(&self.job),
            priority: self.priority,
            affinity,
            deadline: self.deadline,
            token: Some(token),
        }
    }

    /// Starts when the first try has not answered after `delay`. If the timer itself comes late by
    /// a large part of that, the machine stood still and not the request, which then gets the time
    /// back, once.
    fn start_after<T>(
        self,
        delay: Duration,
        runtime: &RuntimeHandle,
        race: &Arc<Race<T>>,
        is_patient: bool,
    ) where
        F: Fn(&TaskContext<'_>) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        let (handle, race) = (runtime.clone(), Arc::downgrade(race));
        let due_ns = runtime
            .shared()
            .clock
            .now_ns()
            .saturating_add(duration_ns(delay));
        runtime.shared().timer.call_after(delay, move || {
            let Some(race) = race.upgrade() else { return };
            let now_ns = handle.shared().clock.now_ns();
            let late = Duration::from_nanos(now_ns.saturating_sub(due_ns));
            if is_patient && late > delay / LATE_PARTS {
                self.start_after(late.min(delay), &handle, &race, false);
            } else {
                self.start(&handle, &race);
            }
        });
    }

    /// The first try has not answered in the usual time.
    fn start<T>(self, runtime: &RuntimeHandle, race: &Arc<Race<T>>)
    where
        F: Fn(&TaskContext<'_>) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        if race.latch.is_set() || !race.hedge.take_second_try() || !race.open_second() {
            return;
        }
        let open = &race.hedge.state.seconds_open;
        open.fetch_add(1, Ordering::Relaxed);
        let task = Task {
            capability: self.capability,
            job: tried(race, 1, self.job),
            priority: self.priority,
            affinity: None,
            deadline: self.deadline,
            token: Some(race.tokens[1].clone()),
        };
        // A rejected try is dropped and thereby ended.
        if runtime.try_submit(task).is_ok()
            && let Some(limit) = race.hedge.second_limit()
        {
            let race = Arc::downgrade(race);
            runtime.shared().timer.call_after(limit, move || {
                if let Some(race) = race.upgrade() {
                    race.give_up_second();
                }
            });
        }
    }
}

/// The closure of a try.
fn tried<F, T>(
    race: &Arc<Race<T>>,
    number: usize,
    job: Arc<F>,
) -> impl FnOnce(&TaskContext<'_>) + Send + 'static
where
    F: Fn(&TaskContext<'_>) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    let attempt = Try {
        race: Some(Arc::clone(race)),
        number,
    };
    move |context| attempt.run(&*job, context)
}

impl<T> HedgedHandle<T> {
    /// Waits for the first answer. From inside a task it runs the first try in place if that has
    /// not started.
    ///
    /// # Errors
    /// [`TaskError`] if all tries failed.
    pub fn join(self) -> Result<T, TaskError> {
        let wait = || self.race.latch.wait();
        match Worker::current() {
            Some(worker) => {
                if !self.first.run_here(&worker) {
                    worker.blocked(wait);
                }
            }
            None => wait(),
        }
        self.take()
    }

    fn take(&self) -> Result<T, TaskError> {
        let result = lock(&self.race.outcome).result.take();
        result.unwrap_or(Err(TaskError::ResultTaken))
    }

    /// Whether the answer is there.
    pub fn is_finished(&self) -> bool {
        self.race.latch.is_set()
    }

    /// Cancels both tries.
    pub fn cancel(&self) {
        for token in &self.race.tokens {
            token.cancel();
        }
    }
}

impl<T> Future for HedgedHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(this.race.latch.poll(&mut this.waiter, context.waker()));
        this.waiter = None;
        Poll::Ready(this.take())
    }
}

impl<T> Drop for HedgedHandle<T> {
    fn drop(&mut self) {
        self.race.latch.forget(self.waiter);
    }
}

impl<T> fmt::Debug for HedgedHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgedHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("config", &self.state.config)
            .field("stats", &self.stats())
            .finish()
    }
}
