//! One running generation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::Shared;
use super::prefix::PrefixReuse;
use super::stop::StopBuffer;
use super::{CancelToken, FinishReason, Metrics, Request};
use crate::error::{InferError, Result};
use crate::model::{Logits, State};
use crate::sampler::{Sampler, log_probability};
use crate::tokenizer::StreamDecoder;

/// A generated token with the text that it completes.
///
/// Every generated token gives one piece, in order. Its text is empty where a character is not
/// complete yet, and never contains a stop string.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Piece {
    /// The token.
    pub token: u32,
    /// The text that the token completes.
    pub text: String,
    /// Natural log probability of the token; present if the request asked for it.
    pub logprob: Option<f32>,
}

/// The whole of a finished generation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Completion {
    /// The generated text.
    pub text: String,
    /// The generated tokens, without an end-of-sequence token.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it cost.
    pub metrics: Metrics,
}

/// A running generation: an iterator of [`Piece`]s.
///
/// Computing happens inside `next()`; dropping the value ends it. After an error or the last piece
/// the iterator gives `None`.
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, FinishReason, Model, Request};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let engine = Engine::new(Model::toy(42)?, EngineConfig::new())?;
/// let request = Request::new("hello").max_tokens(5).ignore_end(true);
/// let completion = engine.generate(request)?.finish()?;
/// assert_eq!(completion.tokens.len(), 5);
/// assert_eq!(completion.finish_reason, FinishReason::MaxTokens);
/// # Ok(())
/// # }
/// ```
pub struct Generation {
    shared: Arc<Shared>,
    state: State,
    /// Prompt and generated tokens.
    tokens: Vec<u32>,
    prompt_tokens: usize,
    limits: Limits,
    sampler: Sampler,
    decoder: StreamDecoder,
    stop: StopBuffer,
    prefix: Option<PrefixReuse>,
    ready: VecDeque<Piece>,
    finished: Option<FinishReason>,
    failed: bool,
    /// An error that waits for the held pieces to go out first.
    error: Option<InferError>,
    clock: Clock,
    restored_tokens: usize,
}

/// What ends a generation.
struct Limits {
    max_tokens: usize,
    context_tokens: usize,
    ignore_end: bool,
    logprobs: bool,
    cancel: Option<CancelToken>,
    deadline: Option<Duration>,
}

/// Times of one generation.
struct Clock {
    started: Instant,
    first: Option<Duration>,
    latest: Duration,
    inter_token: Vec<Duration>,
}

impl Clock {
    fn start() -> Self {
        let latest = Duration::ZERO;
        Self {
            started: Instant::now(),
            first: None,
            latest,
            inter_token: Vec::new(),
        }
    }

    fn token(&mut self) {
        let now = self.started.elapsed();
        match self.first {
            None => self.first = Some(now),
            Some(_) => self.inter_token.push(now.saturating_sub(self.latest)),
        }
        self.latest = now;
    }
}

impl Generation {
    pub(super) fn new(shared: Arc<Shared>, prompt: Vec<u32>, request: Request) -> Result<Self> {
        let limits = Limits {
            max_tokens: request.max_tokens,
            context_tokens: shared.settings.context_tokens,
            ignore_end: request.ignore_end,
            logprobs: request.logprobs,
            cancel: request.cancel,
            deadline: request.deadline,
        };
        Ok(Self {
            state: shared.model.new_state(),
            prompt_tokens: prompt.len(),
            tokens: prompt,
            limits,
            sampler: Sampler::new(request.sampling)?,
            decoder: StreamDecoder::new(),
            stop: StopBuffer::new(request.stop),
            prefix: shared.settings.prefix.clone().map(PrefixReuse::new),
            ready: VecDeque::new(),
            finished: None,
            failed: false,
            error: None,
            clock: Clock::start(),
            restored_tokens: 0,
            shared,
        })
    }

    /// Why the generation ended; `None` while it runs or after an error.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finished
    }

    /// Counts and times up to now.
    pub fn metrics(&self) -> Metrics {
        Metrics {
            prompt_tokens: self.prompt_tokens,
            restored_tokens: self.restored_tokens,
            generated_tokens: self.tokens.len() - self.prompt_tokens,
            time_to_first_token: self.clock.first,
            inter_token: self.clock.inter_token.clone(),
            elapsed: self.clock.latest,
            prefix_errors: self.prefix.as_ref().map_or(0, |p| p.errors),
        }
    }

    /// Prompt tokens, then the tokens generated so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Runs to the end. Pieces already taken are not part of the text; the tokens are all there.
    ///
    /// # Errors
    /// The error that ended the generation; [`InferError::AlreadyFailed`] if `next()` has given it.
    pub fn finish(mut self) -> Result<Completion> {
        let mut text = String::new();
        for piece in &mut self {
            text.push_str(&piece?.text);
        }
        let metrics = self.metrics();
        let tokens = self.tokens.split_off(self.prompt_tokens);
        let finish_reason = self.finished.ok_or(InferError::AlreadyFailed)?;
        Ok(Completion {
            text,
            tokens,
            finish_reason,
            metrics,
        })
    }

    /// Evaluates what is not evaluated yet and generates one token, or ends.
    fn step(&mut self) -> Result<()> {
        // the prompt is kept after its first token went out, which must not wait for a store
        if self.tokens.len() == self.prompt_tokens + 1
            && let Some(prefix) = &mut self.prefix
        {
            prefix.keep(&self.state);
        }
        let Some(logits) = self.evaluate()? else {
            return Ok(());
        };
        let token = self.sampler.sample(logits.last(), &self.tokens)?;
        self.clock.token();
        let ends = self.shared.model.tokenizer().end_tokens().contains(&token);
        if ends && !self.limits.ignore_end {
            self.end(FinishReason::EndOfSequence);
            return Ok(());
        }
        let logprob = match self.limits.logprobs {
            true => log_probability(logits.last(), token),
            false => None,
        };
        self.tokens.push(token);
        let text = self.decoder.push(self.shared.model.tokenizer(), token);
        let piece = Piece {
            token,
            text,
            logprob,
        };
        let unfinished = self.decoder.has_pending();
        if self.stop.push(piece, unfinished, &mut self.ready) {
            self.end(FinishReason::StopString);
        } else if self.tokens.len() - self.prompt_tokens >= self.limits.max_tokens {
            self.end(FinishReason::MaxTokens);
        } else if self.tokens.len() >= self.limits.context_tokens {
            self.end(FinishReason::ContextFull);
        }
        Ok(())
    }

    /// Logits after all tokens; `None` when cancelled or late.
    fn evaluate(&mut self) -> Result<Option<Logits>> {
        let model = self.shared.model.clone();
        if self.state.is_empty()
            && self.interrupted().is_none()
            && let Some(prefix) = &mut self.prefix
        {
            prefix.restore(&mut self.state, &self.tokens);
            self.restored_tokens = self.state.len();
        }
        loop {
            if let Some(reason) = self.interrupted() {
                self.end(reason);
                return Ok(None);
            }
            let rest = self.tokens.get(self.state.len()..).unwrap_or_default();
            let chunk = rest.len().min(self.shared.settings.prefill_chunk_tokens);
            let (now, later) = rest.split_at(chunk);
            let logits = model.forward(&mut self.state, now)?;
            if later.is_empty() {
                return Ok(Some(logits));
            }
        }
    }

    fn interrupted(&self) -> Option<FinishReason> {
        if self
            .limits
            .cancel
            .as_ref()
            .is_some_and(CancelToken::is_cancelled)
        {
            return Some(FinishReason::Cancelled);
        }
        let late = self
            .limits
            .deadline
            .is_some_and(|d| self.clock.started.elapsed() >= d);
        late.then_some(FinishReason::DeadlineExceeded)
    }

    fn end(&mut self, reason: FinishReason) {
        self.finished = Some(reason);
        self.clock.latest = self.clock.started.elapsed();
        let tail = match reason {
            FinishReason::StopString => String::new(),
            _ => self.decoder.finish(),
        };
        self.stop.finish(&tail, &mut self.ready);
        if let Some(prefix) = &mut self.prefix {
            prefix.keep(&self.state);
        }
    }
}

impl Iterator for Generation {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            if let Some(error) = self.error.take() {
                return Some(Err(error));
            }
            if self.failed || self.finished.is_some() {
                return None;
            }
            if let Err(error) = self.step() {
                self.failed = true;
                self.error = Some(error);
                let tail = self.decoder.finish();
                self.stop.finish(&tail, &mut self.ready);
            }
        }
    }
}

impl std::iter::FusedIterator for Generation {}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("prompt_tokens", &self.prompt_tokens)
            .field("tokens", &self.tokens.len())
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}
