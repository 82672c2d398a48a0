//! The owner of the worker threads.

use super::handle::RuntimeHandle;
use super::shared::{Seat, Shared};
use crate::clock::Clock;
use crate::config::{RuntimeBuilder, Settings, TeamConfig};
use crate::error::CollectiveError;
use crate::primitive::Ordering;
use crate::report::Report;
use crate::worker::{Worker, drop_quietly};
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle as Thread;
use std::time::Duration;

/// Tells the runtimes of this process apart.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// A pool of worker threads that runs the tasks of its teams.
///
/// Submitting, reports and agents are methods of [`RuntimeHandle`], to which this dereferences.
///
/// Dropping the runtime is [`shutdown`](Self::shutdown): it waits for all accepted work. A
/// runtime dropped by one of its own tasks cannot wait for itself; it drains and its threads end
/// on their own.
///
/// ```
/// use agent_collective::{Runtime, Task, TeamConfig};
///
/// let runtime = Runtime::builder()
///     .workers(2)
///     .queue_capacity(64)
///     .team(TeamConfig::new("compression").capability("compress").concurrency_max(1))
///     .build()?;
/// let handle = runtime.submit(Task::new("compress", |_| "aaaa".len()))?;
/// assert_eq!(handle.join()?, 4);
///
/// let report = runtime.shutdown();
/// assert_eq!(report.team("compression").map(|team| team.completed), Some(1));
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
#[derive(Debug)]
pub struct Runtime {
    handle: RuntimeHandle,
    threads: Vec<Thread<()>>,
}

impl Runtime {
    /// Settings with documented defaults.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::new()
    }

    pub(crate) fn start(
        settings: Settings,
        teams: Vec<TeamConfig>,
    ) -> Result<Self, CollectiveError> {
        let (workers, stack_bytes) = (settings.workers, settings.stack_bytes);
        let thread_name = settings.thread_name.clone();
        let id = next_id();
        let (shared, seats) = Shared::new(id, settings, &teams, Clock::new())?;
        let handle = RuntimeHandle::new(shared);
        let mut runtime = Self {
            handle,
            threads: Vec::with_capacity(workers),
        };
        for (index, Seat { deque, parker }) in seats.into_iter().enumerate() {
            let handle = runtime.handle.clone();
            let started = std::thread::Builder::new()
                .name(format!("{thread_name}-{index}"))
                .stack_size(stack_bytes)
                .spawn(move || Worker::new(handle, index, Some(deque)).main(&parker));
            match started {
                Ok(thread) => runtime.threads.push(thread),
                Err(source) => {
                    runtime.shared().abort_opening();
                    return Err(CollectiveError::ThreadStart {
                        worker: index,
                        workers,
                        source,
                    });
                }
            }
        }
        runtime.shared().open();
        Ok(runtime)
    }

    /// A handle for other threads.
    pub fn handle(&self) -> RuntimeHandle {
        self.handle.clone()
    }

    /// Refuses new work from outside, finishes all accepted work, ends the threads and says where
    /// the time went. While it drains, tasks may still submit tasks (to the depth limit).
    ///
    /// Waits as long as the work takes, for ever if a task never ends or agents never stop sending
    /// each other messages; see [`shutdown_timeout`](Self::shutdown_timeout). Called by a task
    /// of this runtime it does not wait, and the report is that of the moment.
    pub fn shutdown(mut self) -> Report {
        self.shared().drain();
        self.finish()
    }

    /// Cancels everything that has not started ([`TaskError::Cancelled`](crate::TaskError)), tells
    /// running tasks to stop (they see [`is_cancelled`](crate::TaskContext::is_cancelled)), waits
    /// for those and ends the threads.
    pub fn shutdown_now(mut self) -> Report {
        self.shared().stop();
        self.finish()
    }

    /// Drains like [`shutdown`](Self::shutdown) for at most `timeout`; what is left then is
    /// cancelled, running tasks are told to stop, and this returns without waiting for them. Their
    /// threads end when they do.
    ///
    /// # Errors
    /// [`CollectiveError::ShutdownTimedOut`] if work was left.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Result<Report, CollectiveError> {
        self.shared().drain();
        if self.shared().all_exited.wait_timeout(timeout) {
            return Ok(self.finish());
        }
        let pending = self.shared().census.pending();
        self.shared().stop();
        self.threads.clear();
        Err(CollectiveError::ShutdownTimedOut {
            pending,
            waited: timeout,
        })
    }

    /// Waits for the threads and closes the books. Called by a task of this runtime, it does
    /// neither: the thread cannot wait for itself.
    fn finish(&mut self) -> Report {
        let shared = self.handle.shared();
        let is_own_task = Worker::current_of(shared.id).is_some();
        if !is_own_task {
            for thread in self.threads.drain(..) {
                if let Err(payload) = thread.join() {
                    drop_quietly(payload);
                }
            }
            let _ = shared.closed_ns.compare_exchange(
                0,
                shared.clock.now_ns(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
        self.threads.clear();
        shared.report()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.handle.shared().drain();
            self.finish();
        }
    }
}

impl Deref for Runtime {
    type Target = RuntimeHandle;

    fn deref(&self) -> &RuntimeHandle {
        &self.handle
    }
}
