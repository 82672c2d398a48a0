//! The public handle on an embedder.

use super::config::{EmbedConfig, Settings};
use super::pooling::Pool;
use crate::error::{InferError, Result};
use crate::model::{Model, State};

/// Turns texts into vectors: texts that a model takes for alike lie in one direction.
///
/// A vector is pooled from the hidden states after the model's last norm, one a token; see
/// [`Pooling`](crate::Pooling). Any model will do; those that were trained to embed do it better.
/// A text's vector does not depend on the texts beside it: on the native backend it has the same
/// bits alone and among others. Every method takes `&self`; any number of threads may call at once.
///
/// ```
/// use ryot_inference::{EmbedConfig, Embedder, Model};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let embedder = Embedder::new(Model::toy(42)?, EmbedConfig::new())?;
/// let vectors = embedder.embed_all(&["a cat", "a dog", "a cat"])?;
/// let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
/// assert_eq!(vectors[0].len(), embedder.dimensions());
/// assert!(dot(&vectors[0], &vectors[2]) > dot(&vectors[0], &vectors[1]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Embedder {
    model: Model,
    settings: Settings,
}

impl Embedder {
    /// Checks the settings against the model.
    ///
    /// # Errors
    /// [`InferError::Parameter`] names the setting that is out of range.
    pub fn new(model: Model, config: EmbedConfig) -> Result<Self> {
        let settings = config.validate(model.info().context_tokens)?;
        Ok(Self { model, settings })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Numbers of a vector.
    pub fn dimensions(&self) -> usize {
        self.model.info().hidden
    }

    /// The vector of one text.
    ///
    /// Cost: one pass over its tokens, as for a prompt.
    ///
    /// # Errors
    /// [`InferError::EmptyPrompt`], [`InferError::TextTooLong`], [`InferError::Tokenizer`],
    /// [`InferError::NonFiniteEmbedding`], [`InferError::Backend`].
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        self.embed_tokens(&self.model.tokenizer().encode(text)?)
    }

    /// The vector of a text that is encoded already.
    ///
    /// # Errors
    /// As [`Embedder::embed`], and [`InferError::TokenOutOfRange`].
    pub fn embed_tokens(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        self.check(tokens)?;
        let mut vectors = self.evaluate(&[tokens])?;
        vectors.pop().ok_or(InferError::EmptyPrompt)
    }

    /// The vectors of many texts, in order; short ones are evaluated together.
    ///
    /// # Errors
    /// As [`Embedder::embed`], for the first text that fails; nothing is given then.
    pub fn embed_all<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let encode = |text: &T| {
            let tokens = self.model.tokenizer().encode(text.as_ref())?;
            self.check(&tokens)?;
            Ok(tokens)
        };
        let texts = texts.iter().map(encode).collect::<Result<Vec<_>>>()?;
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts.as_slice();
        while let [first, others @ ..] = rest {
            // as many as fit, at least one
            let mut tokens = first.len();
            let more = others.iter().take_while(|text| {
                tokens += text.len();
                tokens <= self.settings.batch_tokens
            });
            let (group, later) = rest.split_at(1 + more.count());
            let group: Vec<&[u32]> = group.iter().map(Vec::as_slice).collect();
            vectors.extend(self.evaluate(&group)?);
            rest = later;
        }
        Ok(vectors)
    }

    fn check(&self, tokens: &[u32]) -> Result<()> {
        let limit = self.settings.text_tokens_max;
        match tokens.len() {
            0 => Err(InferError::EmptyPrompt),
            tokens if tokens > limit => Err(InferError::TextTooLong { tokens, limit }),
            _ => Ok(()),
        }
    }

    /// Texts that are evaluated together, or one that may need several pieces.
    fn evaluate(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let dimensions = self.dimensions();
        let mut states: Vec<State> = texts.iter().map(|_| self.model.new_state()).collect();
        let mut pools = vec![Pool::new(self.settings.pooling, dimensions); texts.len()];
        let mut hidden = Vec::new();
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        for from in (0..longest).step_by(self.settings.batch_tokens) {
            let piece = |text: &&[u32]| {
                let rest = text.get(from..).unwrap_or_default();
                rest.len().min(self.settings.batch_tokens)
            };
            let pieces: Vec<usize> = texts.iter().map(piece).collect();
            let mut parts: Vec<(&mut State, &[u32])> = states
                .iter_mut()
                .zip(texts)
                .zip(&pieces)
                .filter(|(_, count)| **count > 0)
                .map(|((state, text), count)| {
                    (state, text.get(from..from + count).unwrap_or_default())
                })
                .collect();
            self.model.hidden_states(&mut parts, &mut hidden)?;
            let mut rows = hidden.chunks_exact(dimensions);
            for (pool, count) in pools.iter_mut().zip(pieces) {
                rows.by_ref().take(count).for_each(|row| pool.add(row));
            }
        }
        let finish = |pool: Pool| {
            let vector = pool.finish(&self.settings);
            match vector.iter().position(|number| !number.is_finite()) {
                Some(dimension) => Err(InferError::NonFiniteEmbedding { dimension }),
                None => Ok(vector),
            }
        };
        pools.into_iter().map(finish).collect()
    }
}
