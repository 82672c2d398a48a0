//! The threads behind the futures and their queue.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{Builder, JoinHandle};

use super::reply::Answer;
use crate::error::VaultError;
use crate::vault::{Vault, held};

/// Something to do on one of the pool's threads.
pub(super) type Job = Box<dyn FnOnce(&Vault, &Syncs) + Send>;

/// Settings of an [`AsyncVault`](crate::AsyncVault).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncOptions {
    threads: usize,
    queue_max: usize,
}

impl Default for AsyncOptions {
    fn default() -> Self {
        Self {
            threads: 2,
            queue_max: 1024,
        }
    }
}

impl AsyncOptions {
    /// Threads that read and write, beside the one that syncs. Default 2; 1 to 256.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How many operations may wait for a thread; futures of more wait for room when they are
    /// polled. Default 1,024; 1 to 1,048,576.
    #[must_use]
    pub fn queue_max(mut self, operations: usize) -> Self {
        self.queue_max = operations;
        self
    }

    fn validate(self) -> Result<(), VaultError> {
        let refused = |name, value: usize, allowed| {
            let value = value.to_string();
            Err(VaultError::InvalidArgument {
                name,
                value,
                allowed,
            })
        };
        if !(1..=256).contains(&self.threads) {
            return refused("threads", self.threads, "1 to 256 are allowed");
        }
        if !(1..=1 << 20).contains(&self.queue_max) {
            return refused("queue_max", self.queue_max, "1 to 1048576 are allowed");
        }
        Ok(())
    }
}

fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition
        .wait(guard)
        .unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Of futures for whose job there was no room.
    wakers: Vec<Waker>,
    closed: bool,
}

/// What the pool's threads have to do, first come first served.
pub(super) struct Queue {
    jobs: Mutex<Jobs>,
    came: Condvar,
    max: usize,
}

impl Queue {
    /// Adds a job, or gives it back where there is no room; then `waker` is called when there is.
    /// After closing, the job is dropped, which answers it.
    pub(super) fn push(&self, job: Job, waker: Option<&Waker>) -> Result<(), Job> {
        let mut jobs = held(&self.jobs);
        if jobs.closed {
            drop(jobs);
            drop(job);
            return Ok(());
        }
        if jobs.waiting.len() >= self.max {
            jobs.wakers.extend(waker.cloned());
            return Err(job);
        }
        jobs.waiting.push_back(job);
        drop(jobs);
        self.came.notify_one();
        Ok(())
    }

    /// The next job; `None` once the queue is closed and empty.
    fn pop(&self) -> Option<Job> {
        let mut jobs = held(&self.jobs);
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                let wakers = std::mem::take(&mut jobs.wakers);
                drop(jobs);
                wakers.into_iter().for_each(Waker::wake);
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            jobs = wait(&self.came, jobs);
        }
    }

    fn close(&self) {
        let mut jobs = held(&self.jobs);
        jobs.closed = true;
        let wakers = std::mem::take(&mut jobs.wakers);
        drop(jobs);
        wakers.into_iter().for_each(Waker::wake);
        self.came.notify_all();
    }
}

/// Called with what the sync came to.
type Synced = Box<dyn FnOnce(Result<(), VaultError>) + Send>;

#[derive(Default)]
struct Written {
    waiting: Vec<Synced>,
    closed: bool,
}

/// Writes that are appended and wait for a sync.
#[derive(Default)]
pub(super) struct Syncs {
    written: Mutex<Written>,
    came: Condvar,
}

impl Syncs {
    /// Answers once everything written before is durable.
    pub(super) fn answer<T: Send + 'static>(&self, answer: Answer<T>, value: T) {
        let synced = Box::new(|result: Result<(), VaultError>| answer.give(result.map(|()| value)));
        held(&self.written).waiting.push(synced);
        self.came.notify_one();
    }

    /// Syncs for all that wait, again and again, until closed and nobody waits.
    fn run(&self, vault: &Vault) {
        loop {
            let waiting = {
                let mut written = held(&self.written);
                while written.waiting.is_empty() {
                    if written.closed {
                        return;
                    }
                    written = wait(&self.came, written);
                }
                std::mem::take(&mut written.waiting)
            };
            // Whoever waits wrote before this.
            let result = vault.sync();
            for synced in waiting {
                synced(match &result {
                    Ok(()) => Ok(()),
                    Err(error) => Err(again(error, vault)),
                });
            }
        }
    }

    fn close(&self) {
        held(&self.written).closed = true;
        self.came.notify_all();
    }
}

/// The same failure for one more who waits.
fn again(error: &VaultError, vault: &Vault) -> VaultError {
    let copy = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
    match error {
        VaultError::Io {
            operation,
            file,
            source,
        } => VaultError::Io {
            operation,
            file: file.clone(),
            source: copy(source),
        },
        VaultError::OutOfSpace {
            file,
            bytes_wanted,
            source,
        } => VaultError::OutOfSpace {
            file: file.clone(),
            bytes_wanted: *bytes_wanted,
            source: copy(source),
        },
        VaultError::Poisoned { file, reason } => VaultError::Poisoned {
            file: file.clone(),
            reason: reason.clone(),
        },
        // A sync fails in no other way.
        other => VaultError::Poisoned {
            file: vault.medium.dir(),
            reason: other.to_string(),
        },
    }
}

/// The threads; dropping it ends them once everything in the queue is done.
pub(super) struct Pool {
    pub(super) queue: Arc<Queue>,
    syncs: Arc<Syncs>,
    workers: Vec<JoinHandle<()>>,
    syncer: Option<JoinHandle<()>>,
}

impl Pool {
    pub(super) fn new(vault: &Arc<Vault>, options: AsyncOptions) -> Result<Self, VaultError> {
        options.validate()?;
        let mut pool = Self {
            queue: Arc::new(Queue {
                jobs: Mutex::default(),
                came: Condvar::new(),
                max: options.queue_max,
            }),
            syncs: Arc::default(),
            workers: Vec::new(),
            syncer: None,
        };
        let failed = |source| VaultError::Io {
            operation: "start a thread for",
            file: vault.medium.dir(),
            source,
        };
        for _ in 0..options.threads {
            let (vault, queue) = (Arc::clone(vault), Arc::clone(&pool.queue));
            let syncs = Arc::clone(&pool.syncs);
            let work = move || {
                while let Some(job) = queue.pop() {
                    // A job that panics has answered by being dropped; the thread goes on.
                    let _ = catch_unwind(AssertUnwindSafe(|| job(&vault, &syncs)));
                }
            };
            let thread = Builder::new().name("sigma-vault".to_owned()).spawn(work);
            pool.workers.push(thread.map_err(failed)?);
        }
        let (vault, syncs) = (Arc::clone(vault), Arc::clone(&pool.syncs));
        let thread = Builder::new()
            .name("sigma-vault sync".to_owned())
            .spawn(move || syncs.run(&vault));
        pool.syncer = Some(thread.map_err(|source| VaultError::Io {
            operation: "start a thread",
            file: "sync".into(),
            source,
        })?);
        Ok(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.close();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        // Nobody appends any more.
        self.syncs.close();
        if let Some(syncer) = self.syncer.take() {
            let _ = syncer.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.workers.len())
            .finish_non_exhaustive()
    }
}
