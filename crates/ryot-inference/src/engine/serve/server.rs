//! The public handle on a server.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::channel::Outlet;
use super::config::Limits;
use super::scheduler::Scheduler;
use super::waiting::{Closing, Desk, Job};
use super::{ServeConfig, ServeStats, Ticket};
use crate::engine::{Engine, Request};
use crate::error::{InferError, Result};

/// Runs many requests on one model in one batch (continuous batching).
///
/// One thread owns the batch. In every step it lets in waiting requests (by priority, then by
/// arrival, as far as [`ServeConfig::batch_max`] and [`ServeConfig::kv_bytes_max`] go; a large
/// request at the head is not overtaken), evaluates at most
/// [`ServeConfig::prefill_chunk_tokens`] of new prompts, and then one token of every running
/// request in one pass over the weights. What a request gives does not depend on what else is in
/// the batch: on the native backend its tokens are those of
/// [`Engine::generate`](crate::Engine::generate), bit by bit. The candle backend works as well, one
/// request after the other within a step.
///
/// With a prefix store, a prompt that shares blocks with one that is just being read waits for
/// those blocks instead of computing them again. The store is called on the server's thread: a slow
/// one slows everybody.
///
/// An error of one request ends that request alone. A panic inside a step ends the requests in the
/// batch with [`InferError::StepPanicked`]; the waiting ones are served.
///
/// Shared by reference (it is `Sync`); dropping it is [`Server::shutdown`].
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, Model, Request, ServeConfig};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let engine = Engine::new(Model::toy(42)?, EngineConfig::new())?;
/// let server = engine.serve(ServeConfig::new().batch_max(8))?;
/// let tickets = ["one", "two", "three"]
///     .map(|prompt| server.submit(Request::new(prompt).max_tokens(6).ignore_end(true)));
/// for ticket in tickets {
///     assert_eq!(ticket?.finish()?.tokens.len(), 6);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Server {
    engine: Engine,
    limits: Limits,
    desk: Arc<Desk>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    pub(in crate::engine) fn start(engine: Engine, config: ServeConfig) -> Result<Self> {
        let limits = config.validate(engine.shared().settings.prefill_chunk_tokens)?;
        let desk = Arc::new(Desk::default());
        desk.lock().stats.batch_sizes = vec![0; limits.batch_max + 1];
        let scheduler = Scheduler::new(engine.clone(), limits, Arc::clone(&desk));
        let thread = thread::Builder::new()
            .name("ryot-serve".to_owned())
            .spawn(move || scheduler.run())
            .map_err(|source| InferError::Threads { threads: 1, source })?;
        Ok(Self {
            engine,
            limits,
            desk,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The engine whose requests are run.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Checks, encodes and queues a request; encoding happens on the caller's thread. Never waits
    /// for room. A request that is cancelled while it waits holds its place until the next step.
    ///
    /// # Errors
    /// As [`Engine::generate`](crate::Engine::generate); [`InferError::QueueFull`],
    /// [`InferError::KvBudget`] when the request would not fit even alone,
    /// [`InferError::ServerClosed`] after a shutdown.
    pub fn submit(&self, request: Request) -> Result<Ticket> {
        let priority = request.priority;
        let sequence = self.engine.prepare(request)?;
        let tokens = sequence.tokens_max();
        let kv_bytes = sequence.state.kv_bytes_for(tokens);
        let (outlet, channel) = Outlet::new();
        let ticket = Ticket::new(channel);
        let mut inbox = self.desk.lock();
        if kv_bytes > self.limits.kv_bytes_max {
            inbox.stats.rejected += 1;
            return Err(InferError::KvBudget {
                tokens,
                needed_bytes: kv_bytes,
                limit_bytes: self.limits.kv_bytes_max,
            });
        }
        let job = Job {
            sequence,
            outlet,
            kv_bytes,
        };
        inbox.push(priority, job, self.limits.queue_max)?;
        drop(inbox);
        self.desk.arrived.notify_one();
        Ok(ticket)
    }

    /// Counters up to the latest step.
    pub fn stats(&self) -> ServeStats {
        self.desk.lock().stats.clone()
    }

    /// Lets no more requests in, runs those that are in to their end, and stops the thread.
    pub fn drain(&self) {
        self.close(Closing::Drain);
    }

    /// Lets no more requests in, ends those that are in with [`InferError::ServerClosed`] after the
    /// step that runs, and stops the thread.
    pub fn shutdown(&self) {
        self.close(Closing::Now);
    }

    fn close(&self, how: Closing) {
        self.desk.close(how);
        let mut slot = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = slot.take() else { return };
        // a waker or a store may drop the server on its own thread, which cannot wait for itself
        if thread.thread().id() != thread::current().id() {
            // a panic there has ended all requests already
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("engine", &self.engine)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
