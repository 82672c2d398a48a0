//! A ticket for asynchronous code.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Ticket;
use crate::engine::Piece;
use crate::error::Result;

/// A [`Ticket`] as a [`Stream`] of [`Piece`]s; see [`Ticket::into_stream`].
///
/// Needs no particular runtime: the server's thread calls the waker of the task that polled last.
/// A type of its own, because `next` of an iterator and `next` of a stream would be ambiguous.
///
/// ```
/// use std::pin::Pin;
/// use std::task::{Context, Poll, Waker};
/// use futures_core::Stream;
/// use ryot_inference::{Engine, EngineConfig, Model, Request, ServeConfig};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let server = Engine::new(Model::toy(42)?, EngineConfig::new())?.serve(ServeConfig::new())?;
/// let request = Request::new("hello").max_tokens(5).ignore_end(true);
/// let mut stream = server.submit(request)?.into_stream();
/// // any executor does this part; here it is a loop
/// let mut tokens = Vec::new();
/// let mut cx = Context::from_waker(Waker::noop());
/// loop {
///     match Pin::new(&mut stream).poll_next(&mut cx) {
///         Poll::Ready(Some(piece)) => tokens.push(piece?.token),
///         Poll::Ready(None) => break,
///         Poll::Pending => std::thread::yield_now(),
///     }
/// }
/// assert_eq!(stream.ticket().metrics().generated_tokens, 5);
/// assert_eq!(tokens.len(), 5);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PieceStream {
    ticket: Ticket,
}

impl PieceStream {
    pub(super) fn new(ticket: Ticket) -> Self {
        Self { ticket }
    }

    /// The ticket, to cancel or to read its metrics.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Back to the blocking side.
    pub fn into_ticket(self) -> Ticket {
        self.ticket
    }
}

impl Stream for PieceStream {
    type Item = Result<Piece>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.ticket.channel().poll(cx);
        if let Poll::Ready(item) = &item {
            self.ticket.taken(item);
        }
        item
    }
}
