//! Sending to an agent without blocking the thread.

use super::reply::Reply;
use super::{Agent, AgentRef};
use crate::error::{CollectiveError, Rejected, Rejection};
use crate::task::JoinHandle;
use crate::worker::Worker;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Waits for space in a mailbox and sends; from [`AgentRef::tell_async`]. Dropping it before it is
/// ready withdraws the message. Works with any executor.
#[must_use = "the message is sent when this future is polled"]
pub struct TellFuture<A: Agent> {
    agent: AgentRef<A>,
    message: Option<A::Message>,
    reply: Option<Arc<Reply<A>>>,
    waiter: Option<u64>,
}

/// Sends and waits for the answer; from [`AgentRef::ask_async`].
#[must_use = "the message is sent when this future is polled"]
pub struct AskFuture<A: Agent> {
    tell: TellFuture<A>,
    answer: Option<JoinHandle<A::Reply>>,
}

impl<A: Agent> AgentRef<A> {
    /// Sends a message; the future waits for space in the mailbox.
    pub fn tell_async(&self, message: A::Message) -> TellFuture<A> {
        TellFuture {
            agent: self.clone(),
            message: Some(message),
            reply: None,
            waiter: None,
        }
    }

    /// Sends a message; the future waits for space in the mailbox and for the answer.
    pub fn ask_async(&self, message: A::Message) -> AskFuture<A> {
        let mut tell = self.tell_async(message);
        tell.reply = Some(Arc::new(Reply::new(Arc::clone(&self.cell))));
        AskFuture { tell, answer: None }
    }
}

/// Nothing in it is pinned.
impl<A: Agent> Unpin for TellFuture<A> {}
impl<A: Agent> Unpin for AskFuture<A> {}

impl<A: Agent> Future for TellFuture<A> {
    type Output = Result<(), Rejected<A::Message>>;

    /// # Panics
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let cell = &this.agent.cell;
        let worker = Worker::current_of(cell.runtime.shared().id);
        let mut listed = false;
        let admitted = loop {
            match cell.admit(worker.as_deref()) {
                Err(Rejection::MailboxFull { .. }) if cell.is_stopped() => {
                    break Err(Rejection::AgentStopped {
                        agent: cell.name.clone(),
                    });
                }
                Err(Rejection::MailboxFull { .. }) if listed => return Poll::Pending,
                Err(Rejection::MailboxFull { .. }) => {
                    cell.gate
                        .space()
                        .register(&mut this.waiter, context.waker());
                    listed = true;
                }
                decided => break decided,
            }
        };
        if let Some(waiter) = this.waiter.take() {
            match admitted {
                Ok(()) => cell.gate.space().served(waiter),
                Err(_) => cell.gate.space().forget(waiter),
            }
        }
        let Some(message) = this.message.take() else {
            panic!("a message was polled after it was sent");
        };
        let sent = match admitted {
            Err(reason) => Err(Rejected::new(reason, message)),
            Ok(()) => cell
                .deliver(message, this.reply.clone(), worker.as_deref())
                .map_err(|message| {
                    let agent = cell.name.clone();
                    Rejected::new(Rejection::AgentStopped { agent }, message)
                }),
        };
        if sent.is_err() {
            cell.count_rejection();
        }
        Poll::Ready(sent)
    }
}

impl<A: Agent> Future for AskFuture<A> {
    type Output = Result<A::Reply, CollectiveError>;

    /// # Panics
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.answer.is_none() {
            match Pin::new(&mut this.tell).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(rejected)) => {
                    let (reason, _) = rejected.into_parts();
                    return Poll::Ready(Err(reason.into()));
                }
                Poll::Ready(Ok(())) => {}
            }
            this.answer = this.tell.reply.take().map(|reply| JoinHandle::new(reply));
        }
        match &mut this.answer {
            Some(answer) => Pin::new(answer).poll(context).map_err(Into::into),
            None => Poll::Pending,
        }
    }
}

impl<A: Agent> Drop for TellFuture<A> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.agent.cell.gate.space().forget(waiter);
        }
    }
}

impl<A: Agent> fmt::Debug for TellFuture<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TellFuture")
            .field("agent", &self.agent)
            .field("sent", &self.message.is_none())
            .finish_non_exhaustive()
    }
}

impl<A: Agent> fmt::Debug for AskFuture<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskFuture")
            .field("tell", &self.tell)
            .field("sent", &self.answer.is_some())
            .finish()
    }
}
