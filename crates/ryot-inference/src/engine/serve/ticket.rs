//! The caller's end of a request.

use std::sync::Arc;

use super::PieceStream;
use super::channel::Channel;
use crate::engine::{Completion, FinishReason, Metrics, Piece};
use crate::error::{InferError, Result};

/// A request at a [`Server`](crate::Server): an iterator of [`Piece`]s that waits for the next one.
///
/// Pieces that are not taken are kept, at most the request's `max_tokens` of them: a slow reader
/// holds up neither the server nor its own request. Dropping the ticket cancels the request. After
/// an error or the last piece the iterator gives `None`. In asynchronous code use
/// [`Ticket::into_stream`], which does not block.
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, FinishReason, Model, Request, ServeConfig};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let server = Engine::new(Model::toy(42)?, EngineConfig::new())?.serve(ServeConfig::new())?;
/// let mut ticket = server.submit(Request::new("hello").max_tokens(5).ignore_end(true))?;
/// let first = ticket.next().expect("five tokens were asked for")?;
/// let completion = ticket.finish()?;
/// assert_eq!(completion.tokens.len(), 5);
/// assert_eq!(completion.tokens[0], first.token);
/// assert_eq!(completion.finish_reason, FinishReason::MaxTokens);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ticket {
    channel: Arc<Channel>,
    /// Tokens of the pieces taken.
    tokens: Vec<u32>,
}

impl Ticket {
    pub(super) fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            tokens: Vec::new(),
        }
    }

    /// Why the request ended; `None` while it runs or after an error. Pieces may still be there to
    /// be taken.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.channel.finish_reason()
    }

    /// Counts and times up to the latest step, whatever has been taken.
    pub fn metrics(&self) -> Metrics {
        self.channel.metrics()
    }

    /// Asks the server to end the request. It ends with [`FinishReason::Cancelled`] in the next
    /// step, unless it has ended before.
    pub fn cancel(&self) {
        self.channel.cancel();
    }

    /// Waits for the end. Pieces already taken are not part of the text; the tokens are all there.
    ///
    /// # Errors
    /// The error that ended the request; [`InferError::AlreadyFailed`] if `next()` has given it.
    pub fn finish(mut self) -> Result<Completion> {
        self.channel.wait_for_end();
        let mut text = String::new();
        for piece in &mut self {
            text.push_str(&piece?.text);
        }
        Ok(Completion {
            text,
            finish_reason: self.finish_reason().ok_or(InferError::AlreadyFailed)?,
            metrics: self.metrics(),
            tokens: std::mem::take(&mut self.tokens),
        })
    }

    /// The same request as a [`Stream`](futures_core::Stream), for any runtime.
    pub fn into_stream(self) -> PieceStream {
        PieceStream::new(self)
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn taken(&mut self, item: &Option<Result<Piece>>) {
        if let Some(Ok(piece)) = item {
            self.tokens.push(piece.token);
        }
    }
}

impl Iterator for Ticket {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.channel.next();
        self.taken(&item);
        item
    }
}

impl std::iter::FusedIterator for Ticket {}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.channel.cancel();
    }
}
