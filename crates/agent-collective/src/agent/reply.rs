//! The answer to a question, awaited through a `JoinHandle`.

use super::Agent;
use super::cell::AgentCell;
use crate::cancel::CancelToken;
use crate::error::TaskError;
use crate::latch::Latch;
use crate::park::park_until;
use crate::primitive::{Mutex, lock};
use crate::task::Awaited;
use crate::worker::{Worker, drop_quietly};
use std::sync::Arc;
use std::task::Poll;

/// Where the answer to one question will lie.
pub(super) struct Reply<A: Agent> {
    agent: Arc<AgentCell<A>>,
    token: CancelToken,
    latch: Latch,
    outcome: Mutex<Option<Result<A::Reply, TaskError>>>,
}

impl<A: Agent> Reply<A> {
    pub(super) fn new(agent: Arc<AgentCell<A>>) -> Self {
        Self {
            agent,
            token: CancelToken::new(),
            latch: Latch::new(),
            outcome: Mutex::new(None),
        }
    }

    pub(super) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(super) fn resolve(&self, result: Result<A::Reply, TaskError>) {
        *lock(&self.outcome) = Some(result);
        self.latch.set();
    }
}

/// As for tasks: an answer that nobody joined must not surprise the thread that drops it.
impl<A: Agent> Drop for Reply<A> {
    fn drop(&mut self) {
        drop_quietly(lock(&self.outcome).take());
    }
}

impl<A: Agent> Awaited<A::Reply> for Reply<A> {
    fn latch(&self) -> &Latch {
        &self.latch
    }

    fn address(&self) -> usize {
        self.agent.address()
    }

    fn take(&self) -> Option<Result<A::Reply, TaskError>> {
        lock(&self.outcome).take()
    }

    fn cancel(&self) {
        self.token.cancel();
    }

    /// Handles the agent's messages here until the answer is there, unless another worker does:
    /// then waits until it is there or that worker leaves messages behind.
    fn wait_on(&self, worker: &Worker) -> Result<(), TaskError> {
        if !self.agent.belongs_to(worker) {
            worker.blocked(|| self.latch.wait());
            return Ok(());
        }
        while !self.latch.is_set() {
            if worker.is_running(self.address()) {
                return Err(TaskError::WouldDeadlock);
            }
            worker.check_nesting()?;
            if self
                .agent
                .drive(worker, usize::MAX, &|| self.latch.is_set())
            {
                continue;
            }
            let (mut answer, mut idle) = (None, None);
            worker.blocked(|| {
                park_until(|waker| match self.latch.poll(&mut answer, waker) {
                    Poll::Pending => self.agent.poll_drivable(&mut idle, waker),
                    ready @ Poll::Ready(()) => ready,
                });
            });
            self.latch.forget(answer);
            self.agent.forget_driver(idle);
        }
        Ok(())
    }
}
