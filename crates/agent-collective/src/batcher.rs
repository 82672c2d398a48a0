//! Batching: similar items are collected by number and time and run as one task.

use crate::config::invalid;
use crate::error::{CollectiveError, Rejected, Rejection, TaskError};
use crate::latch::Latch;
use crate::primitive::{Mutex, lock};
use crate::runtime::RuntimeHandle;
use crate::task::{Awaited, Capability, JoinHandle, Task, TaskContext, task_error, unwind_with};
use crate::worker::{Worker, drop_quietly};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Most items of a group: bounds memory.
const ITEMS_MAX: usize = 1 << 20;

/// Settings of a [`Batcher`]; checked by [`RuntimeHandle::batcher`].
#[derive(Clone, Debug)]
pub struct BatchConfig {
    capability: Capability,
    items_max: usize,
    wait_max: Duration,
}

/// Collects items into groups; from [`RuntimeHandle::batcher`]. Clones collect together.
///
/// A group becomes one task when it is full, when its first item has waited long enough, when
/// somebody joins one of its items from inside a task, or at [`flush`](Self::flush). Its task holds
/// one place in the queue.
///
/// ```
/// use agent_collective::{BatchConfig, Runtime};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let lengths = runtime.batcher(BatchConfig::new("measure").items_max(2), |texts: Vec<&str>, _| {
///     texts.into_iter().map(str::len).collect()
/// })?;
/// let (one, two) = (lengths.submit("a")?, lengths.submit("bb")?);
/// assert_eq!((one.join()?, two.join()?), (1, 2));
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
pub struct Batcher<I, T> {
    core: Arc<Core<I, T>>,
}

type Job<I, T> = dyn Fn(Vec<I>, &TaskContext<'_>) -> Vec<T> + Send + Sync;

struct Core<I, T> {
    runtime: RuntimeHandle,
    config: BatchConfig,
    job: Arc<Job<I, T>>,
    collecting: Mutex<Collecting<I, T>>,
}

struct Collecting<I, T> {
    group: Group<I, T>,
    /// Tells groups apart, so that a timer does not send the next one.
    number: u64,
}

/// Items and who waits for them. What is dropped with items in it answers them as cancelled.
struct Group<I, T> {
    items: Vec<I>,
    tickets: Vec<Arc<Ticket<I, T>>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Where the result of one item will lie.
struct Ticket<I, T> {
    core: Arc<Core<I, T>>,
    number: u64,
    /// The task of its group, once that is submitted, for the first who wants to run it in place.
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
    latch: Latch,
    outcome: Mutex<Option<Result<T, TaskError>>>,
}

impl BatchConfig {
    /// Groups for a team with `capability`.
    pub fn new(capability: impl Into<Capability>) -> Self {
        Self {
            capability: capability.into(),
            items_max: 64,
            wait_max: Duration::from_millis(1),
        }
    }

    /// Items of a full group. Default 64; 1 to 1,048,576.
    #[must_use]
    pub fn items_max(mut self, items: usize) -> Self {
        self.items_max = items;
        self
    }

    /// How long the first item of a group waits for others. Default 1 ms; up to a day.
    #[must_use]
    pub fn wait_max(mut self, wait: Duration) -> Self {
        self.wait_max = wait;
        self
    }
}

impl RuntimeHandle {
    /// Collects items into groups that `job` turns into as many results, in the order of the items.
    ///
    /// # Errors
    /// [`CollectiveError::InvalidConfig`].
    pub fn batcher<I, T, F>(
        &self,
        config: BatchConfig,
        job: F,
    ) -> Result<Batcher<I, T>, CollectiveError>
    where
        I: Send + 'static,
        T: Send + 'static,
        F: Fn(Vec<I>, &TaskContext<'_>) -> Vec<T> + Send + Sync + 'static,
    {
        if !(1..=ITEMS_MAX).contains(&config.items_max) {
            let allowed = "1..=1048576 items";
            return Err(invalid("batch items_max", config.items_max, allowed));
        }
        if config.wait_max > Duration::from_secs(86_400) {
            let given = format!("{:?}", config.wait_max);
            return Err(invalid("batch wait_max", given, "at most 86400 s"));
        }
        let collecting = Collecting {
            group: Group::new(),
            number: 0,
        };
        Ok(Batcher {
            core: Arc::new(Core {
                runtime: self.clone(),
                config,
                job: Arc::new(job),
                collecting: Mutex::new(collecting),
            }),
        })
    }
}

impl<I: Send + 'static, T: Send + 'static> Batcher<I, T> {
    /// Adds an item. Waits as [`RuntimeHandle::submit`] does if it fills its group and the queue is
    /// full.
    ///
    /// # Errors
    /// [`Rejection::ShuttingDown`]. A group that is rejected later answers its items with
    /// [`TaskError::Cancelled`].
    pub fn submit(&self, item: I) -> Result<JoinHandle<T>, Rejected<I>> {
        let core = &self.core;
        if core.runtime.is_shutting_down() {
            return Err(Rejected::new(Rejection::ShuttingDown, item));
        }
        let (ticket, full, is_first) = {
            let mut collecting = lock(&core.collecting);
            let ticket = Arc::new(Ticket {
                core: Arc::clone(core),
                number: collecting.number,
                task: Arc::clone(&collecting.group.task),
                latch: Latch::new(),
                outcome: Mutex::new(None),
            });
            collecting.group.items.push(item);
            collecting.group.tickets.push(Arc::clone(&ticket));
            let count = collecting.group.items.len();
            let full = (count >= core.config.items_max).then(|| collecting.take());
            (ticket, full, count == 1)
        };
        match full {
            Some(group) => core.send(group, true),
            None if is_first => core.send_later(ticket.number),
            None => {}
        }
        Ok(JoinHandle::new(ticket))
    }

    /// Sends what has been collected without waiting for more.
    pub fn flush(&self) {
        let group = lock(&self.core.collecting).take();
        self.core.send(group, true);
    }
}

impl<I, T> Collecting<I, T> {
    fn take(&mut self) -> Group<I, T> {
        self.number += 1;
        std::mem::replace(&mut self.group, Group::new())
    }
}

impl<I: Send + 'static, T: Send + 'static> Core<I, T> {
    fn send_later(self: &Arc<Self>, number: u64) {
        let core = Arc::clone(self);
        let wait = self.config.wait_max;
        let listed = self.runtime.shared().timer.call_after(wait, move || {
            if let Some(group) = core.take_if(number) {
                core.send(group, false);
            }
        });
        if listed.is_none()
            && let Some(group) = self.take_if(number)
        {
            self.send(group, false);
        }
    }

    fn take_if(&self, number: u64) -> Option<Group<I, T>> {
        let mut collecting = lock(&self.collecting);
        (collecting.number == number).then(|| collecting.take())
    }

    /// Submits a group. From the timer, which must not wait, a group that finds the queue full is
    /// tried again a little later.
    fn send(self: &Arc<Self>, group: Group<I, T>, may_wait: bool) {
        if group.items.is_empty() {
            return;
        }
        let job = Arc::clone(&self.job);
        let place = Arc::clone(&group.task);
        let task = Task::new(
            self.config.capability.clone(),
            move |context: &TaskContext<'_>| group.run(&*job, context),
        );
        if may_wait {
            // A rejected group is dropped and thereby answered.
            if let Ok(handle) = self.runtime.submit(task) {
                *lock(&place) = Some(handle);
            }
        } else {
            self.try_send(task, place);
        }
    }

    fn try_send<F>(self: &Arc<Self>, task: Task<F>, place: Arc<Mutex<Option<JoinHandle<()>>>>)
    where
        F: FnOnce(&TaskContext<'_>) + Send + 'static,
    {
        match self.runtime.try_submit(task) {
            Ok(handle) => *lock(&place) = Some(handle),
            Err(rejected) => {
                let (reason, task) = rejected.into_parts();
                let full = matches!(
                    reason,
                    Rejection::QueueFull { .. } | Rejection::TeamFull { .. }
                );
                if full {
                    let core = Arc::clone(self);
                    let wait = Duration::from_millis(1);
                    let again = move || core.try_send(task, place);
                    self.runtime.shared().timer.call_after(wait, again);
                }
            }
        }
    }
}

impl<I, T> Group<I, T> {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            tickets: Vec::new(),
            task: Arc::new(Mutex::new(None)),
        }
    }

    fn run(mut self, job: &Job<I, T>, context: &TaskContext<'_>) {
        let items = std::mem::take(&mut self.items);
        let count = items.len();
        let results = catch_unwind(AssertUnwindSafe(|| job(items, context)));
        let error = match results {
            Ok(results) if results.len() == count => {
                for (ticket, value) in self.tickets.drain(..).zip(results) {
                    ticket.resolve(Ok(value));
                }
                return;
            }
            Ok(results) => TaskError::BatchMismatch {
                items: count,
                results: results.len(),
            },
            Err(payload) => task_error(payload),
        };
        for ticket in self.tickets.drain(..) {
            ticket.resolve(Err(error.clone()));
        }
        unwind_with(error);
    }
}

impl<I, T> Drop for Group<I, T> {
    fn drop(&mut self) {
        drop_quietly(std::mem::take(&mut self.items));
        for ticket in self.tickets.drain(..) {
            ticket.resolve(Err(TaskError::Cancelled));
        }
    }
}

impl<I, T> Ticket<I, T> {
    fn resolve(&self, result: Result<T, TaskError>) {
        *lock(&self.outcome) = Some(result);
        self.latch.set();
    }
}

/// As for tasks: a result that nobody joined must not surprise the thread that drops it.
impl<I, T> Drop for Ticket<I, T> {
    fn drop(&mut self) {
        drop_quietly(lock(&self.outcome).take());
    }
}

impl<I: Send + 'static, T: Send + 'static> Awaited<T> for Ticket<I, T> {
    fn latch(&self) -> &Latch {
        &self.latch
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(&self.latch).addr()
    }

    fn take(&self) -> Option<Result<T, TaskError>> {
        lock(&self.outcome).take()
    }

    /// One item of a group cannot be taken out; it is answered with the others.
    fn cancel(&self) {}

    /// Sends the group if it is still collected, and runs it in place if it has not started.
    fn wait_on(&self, worker: &Worker) -> Result<(), TaskError> {
        let group = self.core.take_if(self.number);
        if let Some(group) = group {
            self.core.send(group, true);
        }
        let task = lock(&self.task).take();
        if let Some(task) = task {
            match task.join() {
                Err(error @ (TaskError::WouldDeadlock | TaskError::NestedTooDeep { .. })) => {
                    return Err(error);
                }
                _ => return Ok(()),
            }
        }
        worker.blocked(|| self.latch.wait());
        Ok(())
    }
}

impl<I, T> Clone for Batcher<I, T> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }
}

impl<I, T> fmt::Debug for Batcher<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("config", &self.core.config)
            .field("collected", &lock(&self.core.collecting).group.items.len())
            .finish_non_exhaustive()
    }
}
