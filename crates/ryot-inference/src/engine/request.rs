//! What is asked of the engine.

use std::time::Duration;

use super::CancelToken;
use crate::chat::Message;
use crate::error::{InferError, Result};
#[cfg(feature = "grammar")]
use crate::grammar::Constraint;
use crate::sampler::Sampling;
use crate::tokenizer::EncodeOptions;

/// What a generation continues.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Prompt {
    /// Text, encoded with [`Request::encode_options`].
    Text(String),
    /// A conversation, rendered by the model's chat template.
    Chat(Vec<Message>),
    /// Token ids, used as they are.
    Tokens(Vec<u32>),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Message>> for Prompt {
    fn from(messages: Vec<Message>) -> Self {
        Self::Chat(messages)
    }
}

impl From<Vec<u32>> for Prompt {
    fn from(tokens: Vec<u32>) -> Self {
        Self::Tokens(tokens)
    }
}

/// One generation to run.
///
/// ```
/// use ryot_inference::{Message, Request, Sampling};
/// let from_text = Request::new("once upon").max_tokens(20).stop(["\n\n"]);
/// let from_chat = Request::new(vec![Message::user("hi")]).sampling(Sampling::random(7).top_k(40));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    pub(super) prompt: Prompt,
    pub(super) max_tokens: usize,
    pub(super) sampling: Sampling,
    pub(super) stop: Vec<String>,
    pub(super) encode: EncodeOptions,
    pub(super) logprobs: bool,
    pub(super) ignore_end: bool,
    pub(super) cancel: Option<CancelToken>,
    pub(super) deadline: Option<Duration>,
    pub(super) priority: i32,
    #[cfg(feature = "grammar")]
    pub(super) constraint: Option<Constraint>,
}

const MAX_TOKENS_DEFAULT: usize = 256;
const STOP_COUNT_MAX: usize = 64;
const STOP_BYTES_MAX: usize = 1024;

impl Request {
    /// A request with greedy sampling and at most 256 tokens.
    ///
    /// An empty text is the begin-of-sequence token alone where the model has one, and
    /// [`InferError::EmptyPrompt`] otherwise.
    pub fn new(prompt: impl Into<Prompt>) -> Self {
        Self {
            prompt: prompt.into(),
            max_tokens: MAX_TOKENS_DEFAULT,
            sampling: Sampling::greedy(),
            stop: Vec::new(),
            encode: EncodeOptions::default(),
            logprobs: false,
            ignore_end: false,
            cancel: None,
            deadline: None,
            priority: 0,
            #[cfg(feature = "grammar")]
            constraint: None,
        }
    }

    /// Most tokens to generate. Default 256, at least 1; the context may end it sooner.
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// How tokens are chosen. Default greedy.
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// Strings that end the generation; they and what follows are not part of the text. At most
    /// 64 strings of 1 to 1,024 bytes.
    pub fn stop<S: Into<String>>(mut self, strings: impl IntoIterator<Item = S>) -> Self {
        self.stop = strings.into_iter().map(Into::into).collect();
        self
    }

    /// What the text has to follow (feature `grammar`). Tokens that would leave it are never
    /// chosen; the generation ends by an end-of-sequence token when it is complete, and where
    /// nothing else may follow. [`FinishReason::MaxTokens`](crate::FinishReason::MaxTokens) means
    /// that it is not complete.
    ///
    /// Bias and penalties still apply; what they forbid and the constraint demands ends in
    /// [`InferError::NoCandidates`].
    #[cfg(feature = "grammar")]
    pub fn constraint(mut self, constraint: Constraint) -> Self {
        self.constraint = Some(constraint);
        self
    }

    /// How a text prompt is encoded.
    pub fn encode_options(mut self, options: EncodeOptions) -> Self {
        self.encode = options;
        self
    }

    /// Whether pieces carry the log probability of their token (before bias, penalties and
    /// temperature). Default false; costs one pass over the logits per token.
    pub fn logprobs(mut self, wanted: bool) -> Self {
        self.logprobs = wanted;
        self
    }

    /// Whether generation goes on past end-of-sequence tokens. Default false; for measurements.
    pub fn ignore_end(mut self, ignore: bool) -> Self {
        self.ignore_end = ignore;
        self
    }

    /// Ends the generation when `token` is cancelled.
    pub fn cancel(mut self, token: CancelToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// Ends the generation this long after `generate` or `submit`. Looked at before every token
    /// and every piece of prefill, and while it waits in a queue.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// Which waiting request of a [`Server`](crate::Server) is admitted first: the one with the
    /// highest number, then the one that came first. Default 0. A running request is never put
    /// back, and low numbers can wait for ever behind a stream of high ones.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.max_tokens == 0 {
            return Err(InferError::parameter("max_tokens", 0, "at least 1"));
        }
        if self.stop.len() > STOP_COUNT_MAX {
            let allowed = format!("at most {STOP_COUNT_MAX} strings");
            return Err(InferError::parameter("stop", self.stop.len(), allowed));
        }
        match self
            .stop
            .iter()
            .find(|s| s.is_empty() || s.len() > STOP_BYTES_MAX)
        {
            Some(s) => {
                let allowed = format!("1 to {STOP_BYTES_MAX} bytes");
                Err(InferError::parameter(
                    "stop string",
                    format!("{} bytes", s.len()),
                    allowed,
                ))
            }
            None => Ok(()),
        }
    }
}
