//! Bulk jobs: one entry for many items, which workers take in shares.

use super::shared::Shared;
use crate::error::TaskError;
use crate::lanes::Lane;
use crate::latch::Latch;
use crate::primitive::{AtomicUsize, Mutex, Ordering, lock};
use crate::queue::{Entry, Work};
use crate::task::{Header, Priority, TaskContext, task_error};
use crate::worker::{Worker, drop_quietly};
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

/// A share takes about this long or longer, unless the items run out: below, its stamps and its
/// allocation would show in the cost of an item.
const SHARE_NS_MIN: u64 = 10_000;
/// A share takes at most about this long, so that nobody waits for the last one for long.
const SHARE_NS_MAX: u64 = 500_000;
/// After this time a worker lets other entries go first.
const TURN_NS: u64 = 1_000_000;

/// What came of a share.
pub(super) enum Part<T> {
    /// All items were called; the values of those that did not fail, and the failures by index.
    Ran {
        items: Range<usize>,
        values: Vec<T>,
        failures: Vec<(usize, TaskError)>,
    },
    /// No item was called.
    Refused {
        items: Range<usize>,
        error: TaskError,
    },
}

/// The shared part of a bulk job.
pub(super) struct BulkJob<F, T> {
    me: Weak<Self>,
    header: Header,
    count: usize,
    job: F,
    /// Items that were given out.
    taken: AtomicUsize,
    /// Items that have ended.
    ended: AtomicUsize,
    /// Workers on the job, or invited to it.
    helpers: AtomicUsize,
    parts: Mutex<Vec<Part<T>>>,
    latch: Latch,
}

/// A further entry for the same job. It holds no place in the queue, and there is at most one per
/// worker.
struct Invitation<F, T>(Arc<BulkJob<F, T>>);

/// What a handle needs of a job.
pub(super) trait Bulk<T>: Send + Sync {
    fn latch(&self) -> &Latch;
    fn help(&self, worker: &Worker);
    fn address(&self) -> usize;
    fn runtime(&self) -> u64;
    fn cancel(&self);
    fn take_parts(&self) -> Vec<Part<T>>;
}

/// Waits for a bulk job. Also a [`Future`], usable with any executor, that gives what
/// [`join`](Self::join) gives. Dropping it lets the job go on.
#[must_use = "dropping the handle detaches the job; join it or call `detach`"]
pub struct BulkHandle<T> {
    job: Arc<dyn Bulk<T>>,
    waiter: Option<u64>,
}

impl<F, T> BulkJob<F, T>
where
    F: Fn(usize, &TaskContext<'_>) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    pub(super) fn new(header: Header, count: usize, job: F) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            header,
            count,
            job,
            taken: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            helpers: AtomicUsize::new(1),
            parts: Mutex::new(Vec::new()),
            latch: Latch::new(),
        })
    }

    /// Takes up to `size` of the items that nobody has taken.
    fn take(&self, size: usize) -> Option<Range<usize>> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let end = taken.saturating_add(size).min(self.count);
            if taken >= end {
                return None;
            }
            let change =
                self.taken
                    .compare_exchange_weak(taken, end, Ordering::Relaxed, Ordering::Relaxed);
            match change {
                Ok(_) => return Some(taken..end),
                Err(current) => taken = current,
            }
        }
    }

    fn left(&self) -> usize {
        self.count
            .saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// How many items to take next, when one takes `item_ns`: a fair part of what is left, not too
    /// short and not too long.
    fn share(&self, workers: usize, item_ns: Option<u64>) -> usize {
        let Some(item_ns) = item_ns else {
            // Nothing is known of their time: one item tells.
            return 1;
        };
        let fair = self.left().div_ceil(2 * workers);
        let items = |ns: u64| usize::try_from(ns / item_ns.max(1)).unwrap_or(usize::MAX);
        fair.max(items(SHARE_NS_MIN))
            .min(items(SHARE_NS_MAX))
            .max(1)
    }

    /// Works on the job until nothing is left to take, or the turn is over; says which.
    fn work(&self, worker: &Worker) -> bool {
        let shared = worker.shared();
        let mut now_ns = shared.clock.now_ns();
        let turn_ends_ns = now_ns.saturating_add(TURN_NS);
        let mut item_ns = None;
        self.end_if_empty(|| worker.end_one());
        while let Some(items) = self.take(self.share(shared.settings.workers, item_ns)) {
            let count = items.len();
            self.invite(worker);
            if let Some(error) = shared.refusal(&self.header, now_ns) {
                worker.book_refusal(&self.header, &error, count as u64);
                self.file(Part::Refused { items, error });
            } else {
                self.run(worker, items, now_ns);
            }
            self.end_items(count, || worker.end_one());
            let then_ns = shared.clock.now_ns();
            item_ns = Some(then_ns.saturating_sub(now_ns) / count as u64);
            now_ns = then_ns;
            if now_ns >= turn_ends_ns && !shared.queues.is_empty() {
                return self.left() == 0;
            }
        }
        true
    }

    fn run(&self, worker: &Worker, items: Range<usize>, started_ns: u64) {
        let mut values = Vec::with_capacity(items.len());
        let mut failures = Vec::new();
        let count = items.len() as u64;
        worker.run_share(&self.header, self.address(), started_ns, count, |context| {
            for index in items.clone() {
                match catch_unwind(AssertUnwindSafe(|| (self.job)(index, context))) {
                    Ok(value) => values.push(value),
                    Err(payload) => failures.push((index, task_error(payload))),
                }
            }
            failures.len() as u64
        });
        self.file(Part::Ran {
            items,
            values,
            failures,
        });
    }

    fn file(&self, part: Part<T>) {
        lock(&self.parts).push(part);
    }

    /// Counts items as ended; whoever ends the last one ends the job.
    fn end_items(&self, count: usize, end_one: impl FnOnce()) {
        let before = self.ended.fetch_add(count, Ordering::AcqRel);
        if before + count == self.count {
            self.latch.set();
            end_one();
        }
    }

    /// A job without items ends when a worker comes upon it first; `taken` says who that was.
    fn end_if_empty(&self, end_one: impl FnOnce()) {
        if self.count == 0 && self.taken.swap(1, Ordering::Relaxed) == 0 {
            self.end_items(0, end_one);
        }
    }

    /// Makes the job known to one more worker, which will do the same.
    fn invite(&self, worker: &Worker) {
        let shared = worker.shared();
        let workers = shared.settings.workers;
        if self.left() == 0 || self.helpers.load(Ordering::Relaxed) >= workers {
            return;
        }
        if self.helpers.fetch_add(1, Ordering::Relaxed) >= workers {
            self.helpers.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if let Some(me) = self.me.upgrade() {
            let entry = Entry::Shared(Arc::new(Invitation(me)));
            shared.enqueue(entry, Some(worker), true);
        }
    }

    /// A worker that was on the job, or invited to it, leaves; it comes back later if its turn was
    /// over before the job was.
    fn turn(&self, worker: &Worker) {
        if self.work(worker) {
            self.helpers.fetch_sub(1, Ordering::Relaxed);
        } else if let Some(me) = self.me.upgrade() {
            // Behind everything that waits, not on this worker's own deque.
            let entry = Entry::Shared(Arc::new(Invitation(me)));
            worker.shared().enqueue(entry, None, true);
        }
    }

    fn refuse_rest(&self, shared: &Shared) {
        let Some(items) = self.take(usize::MAX) else {
            self.end_if_empty(|| shared.end_one(Lane::Outside));
            return;
        };
        let count = items.len();
        shared.teams[self.header.team]
            .cancelled
            .fetch_add(count as u64, Ordering::Relaxed);
        let error = TaskError::Cancelled;
        self.file(Part::Refused { items, error });
        self.end_items(count, || shared.end_one(Lane::Outside));
    }
}

/// Values that nobody joined are dropped on whichever thread lets go of the job last.
impl<F, T> Drop for BulkJob<F, T> {
    fn drop(&mut self) {
        for part in std::mem::take(&mut *lock(&self.parts)) {
            drop_quietly(part);
        }
    }
}

impl<F, T> Work for BulkJob<F, T>
where
    F: Fn(usize, &TaskContext<'_>) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    fn team(&self) -> usize {
        self.header.team
    }

    fn priority(&self) -> Priority {
        self.header.priority
    }

    fn preferred(&self) -> Option<u16> {
        self.header.preferred
    }

    fn holds_place(&self) -> bool {
        true
    }

    fn run(&self, worker: &Worker) {
        self.turn(worker);
    }

    fn discard(&self, shared: &Shared) {
        self.refuse_rest(shared);
    }
}

impl<F, T> Work for Invitation<F, T>
where
    F: Fn(usize, &TaskContext<'_>) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    fn team(&self) -> usize {
        self.0.header.team
    }

    fn priority(&self) -> Priority {
        self.0.header.priority
    }

    fn preferred(&self) -> Option<u16> {
        None
    }

    fn holds_place(&self) -> bool {
        false
    }

    fn run(&self, worker: &Worker) {
        self.0.turn(worker);
    }

    fn discard(&self, shared: &Shared) {
        self.0.refuse_rest(shared);
    }
}

impl<F, T> Bulk<T> for BulkJob<F, T>
where
    F: Fn(usize, &TaskContext<'_>) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    fn latch(&self) -> &Latch {
        &self.latch
    }

    fn help(&self, worker: &Worker) {
        while !self.work(worker) {}
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(&self.header).addr()
    }

    fn runtime(&self) -> u64 {
        self.header.runtime
    }

    fn cancel(&self) {
        self.header.cancelled.store(true, Ordering::Release);
    }

    fn take_parts(&self) -> Vec<Part<T>> {
        std::mem::take(&mut *lock(&self.parts))
    }
}

impl<T> Part<T> {
    fn start(&self) -> usize {
        match self {
            Self::Ran { items, .. } | Self::Refused { items, .. } => items.start,
        }
    }
}

impl<T> BulkHandle<T> {
    pub(super) fn new(job: Arc<dyn Bulk<T>>) -> Self {
        Self { job, waiter: None }
    }

    /// Waits for all items and gives their values in the order of the indexes. From inside a task
    /// the calling worker takes shares itself.
    ///
    /// # Errors
    /// The error of the failed item with the lowest index; all others have been called or, if the
    /// job was cancelled or late, were not.
    pub fn join(self) -> Result<Vec<T>, TaskError> {
        self.wait()?;
        values(self.job.take_parts())
    }

    /// Waits for all items and gives one result each, in the order of the indexes.
    ///
    /// # Errors
    /// Only if it cannot be waited for here: [`TaskError::WouldDeadlock`] or
    /// [`TaskError::NestedTooDeep`]. The job then goes on detached.
    pub fn join_each(self) -> Result<Vec<Result<T, TaskError>>, TaskError> {
        self.wait()?;
        Ok(results(self.job.take_parts()))
    }

    fn wait(&self) -> Result<(), TaskError> {
        let job = &self.job;
        if job.latch().is_set() {
            return Ok(());
        }
        let Some(worker) = Worker::current() else {
            job.latch().wait();
            return Ok(());
        };
        if worker.shared().id == job.runtime() {
            if worker.is_running(job.address()) {
                return Err(TaskError::WouldDeadlock);
            }
            worker.check_nesting()?;
            job.help(&worker);
        }
        if !job.latch().is_set() {
            worker.blocked(|| job.latch().wait());
        }
        Ok(())
    }

    /// Whether all items have ended.
    pub fn is_finished(&self) -> bool {
        self.job.latch().is_set()
    }

    /// Cancels the items that have not started, as soon as a worker comes upon them; those that run
    /// see themselves cancelled.
    pub fn cancel(&self) {
        self.job.cancel();
    }

    /// Lets the job go on without the handle.
    pub fn detach(self) {}
}

fn in_order<T>(mut parts: Vec<Part<T>>) -> Vec<Part<T>> {
    parts.sort_unstable_by_key(Part::start);
    parts
}

fn values<T>(parts: Vec<Part<T>>) -> Result<Vec<T>, TaskError> {
    let total = parts.iter().map(|part| match part {
        Part::Ran { values, .. } => values.len(),
        Part::Refused { .. } => 0,
    });
    let mut all = Vec::with_capacity(total.sum());
    for part in in_order(parts) {
        match part {
            Part::Refused { error, .. } => return Err(error),
            Part::Ran {
                values, failures, ..
            } => match failures.into_iter().next() {
                Some((_, error)) => return Err(error),
                None => all.extend(values),
            },
        }
    }
    Ok(all)
}

fn results<T>(parts: Vec<Part<T>>) -> Vec<Result<T, TaskError>> {
    let mut all = Vec::new();
    for part in in_order(parts) {
        match part {
            Part::Refused { items, error } => all.extend(items.map(|_| Err(error.clone()))),
            Part::Ran {
                items,
                values,
                failures,
            } => {
                let (mut values, mut failures) =
                    (values.into_iter(), failures.into_iter().peekable());
                all.extend(items.filter_map(|index| {
                    match failures.next_if(|&(failed, _)| failed == index) {
                        Some((_, error)) => Some(Err(error)),
                        None => values.next().map(Ok),
                    }
                }));
            }
        }
    }
    all
}

impl<T> Future for BulkHandle<T> {
    type Output = Result<Vec<T>, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(this.job.latch().poll(&mut this.waiter, context.waker()));
        this.waiter = None;
        Poll::Ready(values(this.job.take_parts()))
    }
}

impl<T> Drop for BulkHandle<T> {
    fn drop(&mut self) {
        self.job.latch().forget(self.waiter);
    }
}

impl<T> fmt::Debug for BulkHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}
