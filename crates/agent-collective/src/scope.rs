//! Structured submission: tasks that borrow from the stack of whoever waits for them.
//!
//! Has `unsafe`, because a queue holds closures of any lifetime only if the compiler is told
//! that somebody waits for them.

use crate::error::{Rejected, TaskError};
use crate::primitive::{AtomicBool, Mutex, Ordering, lock};
use crate::runtime::RuntimeHandle;
use crate::task::{Awaited, Task, TaskCell, TaskContext, join_awaited};
use crate::worker::Worker;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// A scoped closure on its way through the queue.
type Job = Box<dyn FnOnce(&TaskContext<'_>) + Send>;

/// Finished children are forgotten when this many, or twice the unfinished, are listed.
const CHILDREN_KEPT: usize = 64;

/// Submits tasks that may borrow; from [`RuntimeHandle::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    runtime: RuntimeHandle,
    children: Mutex<Children>,
    /// Keeps `'scope` as it is, like the scope of the standard library.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

#[derive(Default)]
struct Children {
    list: Vec<Arc<Child>>,
    forget_at: usize,
}

struct Child {
    cell: Arc<TaskCell<Job, ()>>,
    /// Its handle was joined, so its failure is known to somebody.
    joined: AtomicBool,
}

/// Waits for one task of a scope. Dropping it is fine: the scope waits.
pub struct ScopedHandle<'scope, T> {
    child: Arc<Child>,
    value: Arc<dyn TakeValue<T> + Send + Sync + 'scope>,
}

/// Closure before, value after. Owned by the handle and by the closure in the queue; the latter is
/// gone when the task has ended.
struct Slot<F, T> {
    job: Mutex<Option<F>>,
    value: Mutex<Option<T>>,
}

trait TakeValue<T> {
    fn take_value(&self) -> Option<T>;
}

impl<F, T> TakeValue<T> for Slot<F, T> {
    fn take_value(&self) -> Option<T> {
        lock(&self.value).take()
    }
}

impl RuntimeHandle {
    /// Calls `body` with a [`Scope`] whose tasks may borrow everything that outlives the call, and
    /// returns when all of them have ended.
    ///
    /// From inside a task it helps: children that have not started run on the calling worker.
    ///
    /// ```
    /// use agent_collective::{Runtime, Task};
    ///
    /// let runtime = Runtime::builder().workers(2).build()?;
    /// let text = String::from("one two three");
    /// let mut words = 0;
    /// let bytes = runtime.scope(|scope| {
    ///     scope.submit(Task::new("count", |_| words = text.split(' ').count()))?;
    ///     let bytes = scope.submit(Task::new("count", |_| text.len()))?;
    ///     Ok::<_, agent_collective::CollectiveError>(bytes.join()?)
    /// })??;
    /// assert_eq!((words, bytes), (3, 13));
    /// # Ok::<(), agent_collective::CollectiveError>(())
    /// ```
    ///
    /// # Errors
    /// The error of the first task, in the order of submission, that failed and whose handle was
    /// not joined. [`TaskError::NestedTooDeep`], without calling `body`, inside tasks that are
    /// nested to the limit.
    ///
    /// # Panics
    /// If `body` panics, after all tasks have ended.
    pub fn scope<'env, R, S>(&'env self, body: S) -> Result<R, TaskError>
    where
        S: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        if let Some(worker) = Worker::current_of(self.shared().id) {
            worker.check_nesting()?;
        }
        let scope = Scope {
            runtime: self.clone(),
            children: Mutex::new(Children::default()),
            scope: PhantomData,
            env: PhantomData,
        };
        let result = catch_unwind(AssertUnwindSafe(|| body(&scope)));
        let failure = scope.wait();
        match (result, failure) {
            (Err(payload), _) => resume_unwind(payload),
            (Ok(_), Some(error)) => Err(error),
            (Ok(value), None) => Ok(value),
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Submits a task as [`RuntimeHandle::submit`] does; it may borrow for `'scope`.
    ///
    /// # Errors
    /// As [`RuntimeHandle::submit`]; the task comes back.
    pub fn submit<F, T>(
        &'scope self,
        task: Task<F>,
    ) -> Result<ScopedHandle<'scope, T>, Rejected<Task<F>>>
    where
        F: FnOnce(&TaskContext<'_>) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let slot = Arc::new(Slot {
            job: Mutex::new(None),
            value: Mutex::new(None),
        });
        let task = task.replace_job(|job| {
            *lock(&slot.job) = Some(job);
            let slot = Arc::clone(&slot);
            let job: Box<dyn FnOnce(&TaskContext<'_>) + Send + 'scope> = Box::new(move |context| {
                let job = lock(&slot.job).take();
                let value = job.map(|job| job(context));
                *lock(&slot.value) = value;
            });
            erase(job)
        });
        match self.runtime.submit_cell(task) {
            Ok(cell) => {
                let child = Arc::new(Child {
                    cell,
                    joined: AtomicBool::new(false),
                });
                lock(&self.children).add(Arc::clone(&child));
                Ok(ScopedHandle { child, value: slot })
            }
            Err(rejected) => {
                let (reason, task) = rejected.into_parts();
                let job = lock(&slot.job).take();
                match job {
                    Some(job) => Err(Rejected::new(reason, task.replace_job(|_| job))),
                    None => unreachable!("a rejected task has not run"),
                }
            }
        }
    }

    /// The runtime of this scope.
    pub fn runtime(&self) -> &RuntimeHandle {
        &self.runtime
    }

    /// Waits until every child has ended; children may add children until they end. Gives the
    /// first failure that nobody knows of.
    fn wait(&self) -> Option<TaskError> {
        let mut failure = None;
        loop {
            let list = std::mem::take(&mut lock(&self.children).list);
            if list.is_empty() {
                return failure;
            }
            for child in list {
                child.wait();
                failure = failure.or_else(|| child.unknown_failure());
            }
        }
    }
}

/// Forgets what a closure borrows.
#[expect(unsafe_code, reason = "borrowing tasks cannot be queued otherwise")]
fn erase<'scope>(job: Box<dyn FnOnce(&TaskContext<'_>) + Send + 'scope>) -> Job {
    // SAFETY: the two types differ in the lifetime only. What is borrowed for `'scope` stays
    // valid until `RuntimeHandle::scope` returns or unwinds, which it does after `Scope::wait`. That
    // waits for the latch of every submitted task, and a task sets its latch only when its closure
    // has been called or dropped (`TaskCell::run_claimed` and `TaskCell::end_without` come to that
    // first). The value it made lies in the slot, which is owned by the closure, gone by then, and
    // by the handle, which cannot outlive `'scope`. A rejected closure is dropped in
    // `Scope::submit`.
    unsafe { std::mem::transmute::<Box<dyn FnOnce(&TaskContext<'_>) + Send + 'scope>, Job>(job) }
}

impl Children {
    fn add(&mut self, child: Arc<Child>) {
        if self.list.len() >= self.forget_at.max(CHILDREN_KEPT) {
            let keep =
                |child: &Arc<Child>| !child.cell.is_finished() || child.unknown_failure().is_some();
            self.list.retain(keep);
            self.forget_at = 2 * self.list.len();
        }
        self.list.push(child);
    }
}

impl Child {
    /// Waits in any case: where joining is refused, until another worker has run the child.
    fn wait(&self) {
        if join_awaited(&*self.cell).is_err() {
            self.cell.latch().wait();
        }
    }

    fn unknown_failure(&self) -> Option<TaskError> {
        if self.joined.load(Ordering::Acquire) {
            None
        } else {
            self.cell.error()
        }
    }
}

impl<T> ScopedHandle<'_, T> {
    /// Waits for the task and gives its value; helps like
    /// [`JoinHandle::join`](crate::JoinHandle::join).
    ///
    /// # Errors
    /// As [`JoinHandle::join`](crate::JoinHandle::join). A failure returned here is not returned
    /// by the scope again.
    pub fn join(self) -> Result<T, TaskError> {
        join_awaited(&*self.child.cell)?;
        self.child.joined.store(true, Ordering::Release);
        let failure = || self.child.cell.error().unwrap_or(TaskError::ResultTaken);
        self.value.take_value().ok_or_else(failure)
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.child.cell.is_finished()
    }

    /// Cancels the task, like [`JoinHandle::cancel`](crate::JoinHandle::cancel).
    pub fn cancel(&self) {
        self.child.cell.cancel();
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}
