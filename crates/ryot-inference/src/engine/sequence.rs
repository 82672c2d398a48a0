//! One request on its way: what [`Generation`](super::Generation) and the server both drive.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::Shared;
use super::prefix::PrefixReuse;
use super::stop::StopBuffer;
use super::{CancelToken, FinishReason, Metrics, Piece, Request};
use crate::error::Result;
#[cfg(feature = "grammar")]
use crate::grammar::Matcher;
use crate::kv::KvWindow;
use crate::model::State;
use crate::sampler::{Sampler, log_probability};
use crate::tokenizer::StreamDecoder;

/// State, sampler, limits and clock of one request. Whoever drives it evaluates
/// [`Sequence::part`]s until nothing is pending, and gives the logits to [`Sequence::accept`].
pub(super) struct Sequence {
    shared: Arc<Shared>,
    pub(super) state: State,
    /// Prompt and generated tokens.
    tokens: Vec<u32>,
    prompt_tokens: usize,
    limits: Limits,
    sampler: Sampler,
    #[cfg(feature = "grammar")]
    matcher: Option<Matcher>,
    decoder: StreamDecoder,
    stop: StopBuffer,
    prefix: Option<PrefixReuse>,
    /// Pieces that may go out.
    pub(super) ready: VecDeque<Piece>,
    finished: Option<FinishReason>,
    clock: Clock,
    restored_tokens: usize,
    /// Tokens that the state held and does no more.
    forgotten_tokens: usize,
}

/// What ends a request.
struct Limits {
    max_tokens: usize,
    context_tokens: usize,
    window: Option<KvWindow>,
    ignore_end: bool,
    logprobs: bool,
    cancel: Option<CancelToken>,
    deadline: Option<Duration>,
}

/// Times of one request.
struct Clock {
    started: Instant,
    queued: Duration,
    first: Option<Duration>,
    latest: Duration,
    inter_token: Vec<Duration>,
}

impl Clock {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            queued: Duration::ZERO,
            first: None,
            latest: Duration::ZERO,
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

impl Sequence {
    /// Starts the clock. `prompt` is checked.
    pub(super) fn new(shared: Arc<Shared>, prompt: Vec<u32>, request: Request) -> Result<Self> {
        let limits = Limits {
            max_tokens: request.max_tokens,
            context_tokens: match shared.settings.window {
                None => shared.settings.context_tokens,
                Some(_) => usize::MAX,
            },
            window: shared.settings.window,
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
            #[cfg(feature = "grammar")]
            matcher: match &request.constraint {
                Some(constraint) => Some(shared.vocabulary()?.matcher(constraint)?),
                None => None,
            },
            decoder: StreamDecoder::new(),
            stop: StopBuffer::new(request.stop),
            prefix: shared.settings.prefix.clone().map(PrefixReuse::new),
            ready: VecDeque::new(),
            finished: None,
            clock: Clock::start(),
            restored_tokens: 0,
            forgotten_tokens: 0,
            shared,
        })
    }

    pub(super) fn finish_reason(&self) -> Option<FinishReason> {
        self.finished
    }

    /// Prompt tokens, then the tokens generated so far.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(super) fn prompt(&self) -> &[u32] {
        self.tokens.get(..self.prompt_tokens).unwrap_or_default()
    }

    pub(super) fn into_generated(mut self) -> Vec<u32> {
        self.tokens.split_off(self.prompt_tokens)
    }

    pub(super) fn generated_tokens(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// Tokens that the state may come to hold.
    pub(super) fn tokens_max(&self) -> usize {
        let all = self.prompt_tokens.saturating_add(self.limits.max_tokens);
        let window = self.limits.window.map_or(usize::MAX, |w| w.tokens());
        all.min(self.limits.context_tokens).min(window)
    }

    /// Tokens that may still be generated.
    pub(super) fn tokens_left(&self) -> usize {
        let limits = &self.limits;
        let generated = limits.max_tokens.saturating_sub(self.generated_tokens());
        generated.min(limits.context_tokens.saturating_sub(self.tokens.len()))
    }

    /// Prompt tokens that are not evaluated yet.
    pub(super) fn prompt_left(&self) -> usize {
        self.prompt_tokens.saturating_sub(self.evaluated())
    }

    /// Tokens that were evaluated, forgotten ones too.
    pub(super) fn evaluated(&self) -> usize {
        self.state.len() + self.forgotten_tokens
    }

    /// Tokens that the state has room for before something is forgotten.
    pub(super) fn room(&self) -> usize {
        let tokens = self.limits.window.map_or(usize::MAX, |w| w.tokens());
        tokens.saturating_sub(self.state.len())
    }

    /// Forgets the oldest tokens of a full window; when that is depends on the tokens alone, not on
    /// the pieces that they are evaluated in.
    pub(super) fn make_way(&mut self) -> Result<()> {
        let Some(window) = self.limits.window.filter(|_| self.room() == 0) else {
            return Ok(());
        };
        // what follows is no longer a prefix
        self.keep();
        let oldest = window.oldest();
        let count = oldest.len();
        self.shared.model.forget(&mut self.state, oldest)?;
        self.forgotten_tokens += count;
        Ok(())
    }

    pub(super) fn restored_tokens(&self) -> usize {
        self.restored_tokens
    }

    /// Ends the time in the queue.
    pub(super) fn admitted(&mut self) {
        self.clock.queued = self.clock.started.elapsed();
        self.clock.latest = self.clock.queued;
    }

    /// Brings `metrics` up to now.
    pub(super) fn update(&self, metrics: &mut Metrics) {
        metrics.prompt_tokens = self.prompt_tokens;
        metrics.restored_tokens = self.restored_tokens;
        metrics.forgotten_tokens = self.forgotten_tokens;
        metrics.generated_tokens = self.generated_tokens();
        metrics.queue_time = self.clock.queued;
        metrics.time_to_first_token = self.clock.first;
        let known = metrics.inter_token.len();
        let new = self.clock.inter_token.get(known..).unwrap_or_default();
        metrics.inter_token.extend_from_slice(new);
        metrics.elapsed = self.clock.latest;
        metrics.prefix_errors = self.prefix.as_ref().map_or(0, |p| p.errors);
    }

    /// Whether the request was cancelled or is late.
    pub(super) fn interrupted(&self) -> Option<FinishReason> {
        let cancel = self.limits.cancel.as_ref();
        if cancel.is_some_and(CancelToken::is_cancelled) {
            return Some(FinishReason::Cancelled);
        }
        let late = |deadline| self.clock.started.elapsed() >= deadline;
        let late = self.limits.deadline.is_some_and(late);
        late.then_some(FinishReason::DeadlineExceeded)
    }

    /// Makes room for all tokens that may come.
    pub(super) fn make_room(&mut self) {
        self.state.make_room(self.tokens_max());
    }

    /// Fills the empty state from the prefix store.
    pub(super) fn restore(&mut self) {
        if let Some(prefix) = &mut self.prefix {
            let held = self.limits.window.map_or(usize::MAX, |w| w.tokens());
            let first = self.tokens.get(..held).unwrap_or(&self.tokens);
            prefix.restore(&mut self.state, first);
            self.restored_tokens = self.state.len();
        }
    }

    /// Puts what the prefix store does not hold yet.
    pub(super) fn keep(&mut self) {
        if let Some(prefix) = self.prefix.as_mut().filter(|_| self.forgotten_tokens == 0) {
            prefix.keep(&self.state, self.prompt_tokens);
        }
    }

    /// The state, and at most `count` tokens to evaluate next; tokens of the prompt and generated
    /// ones never come in one part.
    pub(super) fn part(&mut self, count: usize) -> (&mut State, &[u32]) {
        let held = self.evaluated();
        let phase_end = match held < self.prompt_tokens {
            true => self.prompt_tokens,
            false => self.tokens.len(),
        };
        let count = count.min(self.room());
        let end = held.saturating_add(count).min(phase_end);
        let tokens = self.tokens.get(held..end).unwrap_or_default();
        (&mut self.state, tokens)
    }

    /// Chooses the token that follows all tokens. Ends the sequence where that is due.
    pub(super) fn accept(&mut self, logits: &[f32]) -> Result<()> {
        let token = self.choose(logits)?;
        self.clock.token();
        let tokenizer = self.shared.model.tokenizer();
        if tokenizer.end_tokens().contains(&token) && !self.limits.ignore_end {
            self.end(FinishReason::EndOfSequence);
            return Ok(());
        }
        let logprob = match self.limits.logprobs {
            true => log_probability(logits, token),
            false => None,
        };
        self.tokens.push(token);
        let text = self.decoder.push(tokenizer, token);
        let piece = Piece {
            token,
            text,
            logprob,
        };
        let unfinished = self.decoder.has_pending();
        if self.stop.push(piece, unfinished, &mut self.ready) {
            self.end(FinishReason::StopString);
        } else if self.generated_tokens() >= self.limits.max_tokens {
            self.end(FinishReason::MaxTokens);
        } else if self.tokens.len() >= self.limits.context_tokens {
            self.end(FinishReason::ContextFull);
        }
        Ok(())
    }

    #[cfg(feature = "grammar")]
    fn choose(&mut self, logits: &[f32]) -> Result<u32> {
        let Some(matcher) = &mut self.matcher else {
            return self.sampler.sample(logits, &self.tokens);
        };
        let token = self.sampler.sample(matcher.mask(logits)?, &self.tokens)?;
        matcher.consume(token)?;
        Ok(token)
    }

    #[cfg(not(feature = "grammar"))]
    fn choose(&mut self, logits: &[f32]) -> Result<u32> {
        self.sampler.sample(logits, &self.tokens)
    }

    /// Ends the sequence; what was held back becomes ready.
    pub(super) fn end(&mut self, reason: FinishReason) {
        self.finished = Some(reason);
        self.clock.latest = self.clock.started.elapsed();
        let tail = match reason {
            FinishReason::StopString => String::new(),
            _ => self.decoder.finish(),
        };
        self.stop.finish(&tail, &mut self.ready);
    }

    /// Makes ready what was held back, before an error goes out.
    pub(super) fn flush(&mut self) {
        let tail = self.decoder.finish();
        self.stop.finish(&tail, &mut self.ready);
    }
}
