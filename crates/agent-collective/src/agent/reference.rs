//! The sender's end of an agent.

use super::cell::AgentCell;
use super::reply::Reply;
use super::{Agent, AgentConfig};
use crate::error::{CollectiveError, Rejected, Rejection};
use crate::memory::MemoryBudget;
use crate::park::park_until;
use crate::runtime::RuntimeHandle;
use crate::task::JoinHandle;
use crate::worker::Worker;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

/// Sends messages to an agent; can be cloned. When the last one is gone and the mailbox is empty,
/// the agent is dropped.
///
/// A message that was told is handled exactly once unless the agent stops or the runtime is shut
/// down with [`shutdown_now`](crate::Runtime::shutdown_now). The messages of one sender are
/// handled in the order in which they were sent.
pub struct AgentRef<A: Agent> {
    pub(super) cell: Arc<AgentCell<A>>,
}

impl RuntimeHandle {
    /// Starts an agent. `factory` makes its state, now and after each panic. It runs on the
    /// calling thread the first time and on a worker later, where its time counts as overhead.
    ///
    /// # Errors
    /// [`CollectiveError::InvalidConfig`], [`Rejection::NoTeam`], or
    /// [`CollectiveError::AgentStart`] if the factory panics.
    pub fn spawn_agent<A, F>(
        &self,
        config: AgentConfig,
        factory: F,
    ) -> Result<AgentRef<A>, CollectiveError>
    where
        A: Agent,
        F: FnMut() -> A + Send + 'static,
    {
        let cell = AgentCell::spawn(self.clone(), config, Box::new(factory), None)?;
        Ok(AgentRef { cell })
    }
}

impl<A: Agent> AgentRef<A> {
    /// Sends a message without wanting an answer; waits while the mailbox is full.
    ///
    /// From inside a task it does not leave the agent to workers that may all wait: it
    /// handles messages right there until there is space, and waits only while another worker
    /// handles them. From inside an agent's handler it never waits for another handler, because two
    /// agents with full mailboxes would wait for each other; it rejects instead.
    ///
    /// # Errors
    /// The message comes back with [`Rejection::AgentStopped`], [`Rejection::ShuttingDown`], or,
    /// inside a handler, [`Rejection::MailboxFull`].
    pub fn tell(&self, message: A::Message) -> Result<(), Rejected<A::Message>> {
        self.send(message, None, true)
    }

    /// Sends a message if there is space now.
    ///
    /// # Errors
    /// As [`tell`](Self::tell), and [`Rejection::MailboxFull`] instead of waiting.
    pub fn try_tell(&self, message: A::Message) -> Result<(), Rejected<A::Message>> {
        self.send(message, None, false)
    }

    /// Sends a message and gives a handle for the answer; waits like [`tell`](Self::tell).
    /// Cancelling the handle keeps the message from being handled if its turn has not come; the
    /// handle resolves when it comes.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    pub fn ask(&self, message: A::Message) -> Result<JoinHandle<A::Reply>, Rejected<A::Message>> {
        let reply = Arc::new(Reply::new(Arc::clone(&self.cell)));
        self.send(message, Some(Arc::clone(&reply)), true)?;
        Ok(JoinHandle::new(reply))
    }

    /// Asks if there is space now.
    ///
    /// # Errors
    /// As [`try_tell`](Self::try_tell).
    pub fn try_ask(
        &self,
        message: A::Message,
    ) -> Result<JoinHandle<A::Reply>, Rejected<A::Message>> {
        let reply = Arc::new(Reply::new(Arc::clone(&self.cell)));
        self.send(message, Some(Arc::clone(&reply)), false)?;
        Ok(JoinHandle::new(reply))
    }

    /// Asks and waits for the answer: the same as [`ask`](Self::ask) and
    /// [`join`](JoinHandle::join), but for two cases that spare mailbox and queue, if nobody handles
    /// messages of the agent at the moment and none wait:
    ///
    /// - From inside a task the message is handled right there.
    /// - From a thread that is no worker, while a worker sleeps and nothing is queued, it is handled
    ///   on the calling thread in the place of that worker, which sleeps on: waking it and being
    ///   woken by it would take most of the time. The handler sees that worker's index, its
    ///   time is booked as that worker's, a panic costs the message as ever, and what it submits runs
    ///   on the workers. It runs on the caller's stack and sees the caller's thread-local values;
    ///   [`AgentConfig::runs_on_caller`](crate::AgentConfig::runs_on_caller) switches this off.
    ///
    /// There is no time limit: it waits for as long as the handler takes. For one, use `ask` and
    /// [`wait_timeout`](JoinHandle::wait_timeout).
    ///
    /// # Errors
    /// [`CollectiveError::Rejected`] as [`tell`](Self::tell), [`CollectiveError::Task`] as `join`.
    pub fn call(&self, message: A::Message) -> Result<A::Reply, CollectiveError> {
        let worker = Worker::current_of(self.cell.runtime.shared().id);
        let message = match &worker {
            Some(worker) => match self.cell.handle_here(worker, message) {
                Ok(result) => return Ok(result?),
                Err(message) => message,
            },
            None => match self.cell.handle_on_caller(message) {
                Ok(result) => return Ok(result?),
                Err(message) => message,
            },
        };
        let handle = self.ask(message).map_err(Rejected::into_parts);
        match handle {
            Ok(handle) => Ok(handle.join()?),
            Err((reason, _)) => Err(reason.into()),
        }
    }

    /// Name of the agent.
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// Messages in the mailbox now.
    pub fn mailbox_depth(&self) -> usize {
        self.cell.gate.depth()
    }

    /// The agent's byte budget, to see what is in use.
    pub fn memory(&self) -> &MemoryBudget {
        &self.cell.memory
    }

    /// How often the agent was made anew after a panic.
    pub fn restarts(&self) -> u64 {
        self.cell.restarts()
    }

    /// Whether it was stopped, or stopped itself by panicking too often.
    pub fn is_stopped(&self) -> bool {
        self.cell.is_stopped()
    }

    /// Stops the agent: the message being handled is finished, those that wait are answered with
    /// [`TaskError::AgentStopped`](crate::TaskError::AgentStopped), new ones are rejected.
    pub fn stop(&self) {
        self.cell.stop();
    }

    fn send(
        &self,
        message: A::Message,
        reply: Option<Arc<Reply<A>>>,
        wait: bool,
    ) -> Result<(), Rejected<A::Message>> {
        let worker = Worker::current_of(self.cell.runtime.shared().id);
        let admitted = match self.cell.admit(worker.as_deref()) {
            Err(Rejection::MailboxFull { .. }) if wait => match &worker {
                Some(worker) => self.make_space(worker),
                None => self.wait_for_space(),
            },
            admitted => admitted,
        };
        if let Err(reason) = admitted {
            self.cell.count_rejection();
            return Err(Rejected::new(reason, message));
        }
        self.cell
            .deliver(message, reply, worker.as_deref())
            .map_err(|message| {
                self.cell.count_rejection();
                let reason = Rejection::AgentStopped {
                    agent: self.cell.name.clone(),
                };
                Rejected::new(reason, message)
            })
    }

    /// Waits on a thread that is not a worker of the runtime.
    fn wait_for_space(&self) -> Result<(), Rejection> {
        let cell = &self.cell;
        let mut key = None;
        let admitted = park_until(|waker| {
            cell.gate.space().register(&mut key, waker);
            match cell.admit(None) {
                Err(Rejection::MailboxFull { .. }) if cell.is_stopped() => {
                    Poll::Ready(Err(Rejection::AgentStopped {
                        agent: cell.name.clone(),
                    }))
                }
                Err(Rejection::MailboxFull { .. }) => Poll::Pending,
                decided => Poll::Ready(decided),
            }
        });
        if let Some(key) = key {
            match admitted {
                Ok(()) => cell.gate.space().served(key),
                Err(_) => cell.gate.space().forget(key),
            }
        }
        admitted
    }

    /// Gets a place in the mailbox on a worker: by handling messages, or by waiting for the worker
    /// that handles them.
    fn make_space(&self, worker: &Worker) -> Result<(), Rejection> {
        let cell = &self.cell;
        loop {
            let full = match cell.admit(Some(worker)) {
                Err(full @ Rejection::MailboxFull { .. }) => full,
                decided => return decided,
            };
            if worker.is_running(cell.address()) || worker.check_nesting().is_err() {
                return Err(full);
            }
            let has_space = || cell.gate.depth() < cell.gate.capacity();
            if cell.drive(worker, usize::MAX, &has_space) {
                continue;
            }
            if worker.is_in_agent() {
                return Err(full);
            }
            let (mut space, mut idle) = (None, None);
            worker.blocked(|| {
                park_until(|waker| {
                    cell.gate.space().register(&mut space, waker);
                    if has_space() {
                        return Poll::Ready(());
                    }
                    cell.poll_drivable(&mut idle, waker)
                });
            });
            if let Some(key) = space {
                cell.gate.space().forget(key);
            }
            cell.forget_driver(idle);
        }
    }
}

impl<A: Agent> Clone for AgentRef<A> {
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
        }
    }
}

impl<A: Agent> fmt::Debug for AgentRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentRef")
            .field("name", &self.name())
            .field("mailbox_depth", &self.mailbox_depth())
            .field("restarts", &self.restarts())
            .finish_non_exhaustive()
    }
}
