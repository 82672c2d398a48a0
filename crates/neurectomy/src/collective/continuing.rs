//! The inference team's work: a document's first tokens, continued by the model.

use super::desk::Desk;
use super::storing::to_json;
use super::team::Team;
use crate::documents::{ContentId, Document};
use crate::error::NeurectomyError;
use ryot_inference::{FinishReason, InferError, Request, Sampling};
use serde::{Deserialize, Serialize};
use sigma_vault::{Durability, Rsu, Signature};
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of text that are tokenised for a prompt, per token that it may have. Longer than tokens
/// are in any language that a byte-level vocabulary knows, so the prompt is cut by tokens.
const PROMPT_BYTES_PER_TOKEN: usize = 16;

/// What the model wrote after a document's first tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// Tokens of the document that the model read.
    pub prompt_tokens: Vec<u32>,
    /// Tokens that it wrote.
    pub tokens: Vec<u32>,
    /// The text of `tokens`.
    pub text: String,
    /// Why it stopped, in one word.
    pub finish_reason: String,
}

/// A stored context that begins much like another one.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarContext {
    /// Id of the context's RSU in the vault.
    pub id: Vec<u8>,
    /// Estimated Jaccard similarity of the runs of four tokens, 0 to 1.
    pub similarity: f64,
}

impl Desk {
    /// Continues a document; `piece` sees the text as it comes.
    pub(crate) fn continue_text(
        &self,
        document: &Document,
        mut piece: impl FnMut(&str),
    ) -> Result<Continuation, NeurectomyError> {
        let failed = |error| self.model_error(error);
        let prompt_tokens = self.prompt(document).map_err(failed)?;
        let request = Request::new(prompt_tokens.clone())
            .max_tokens(self.config.continuation_tokens_max)
            .sampling(Sampling::random(self.config.sampling_seed));
        let mut generation = self.engine.generate(request).map_err(failed)?;
        let mut text = String::new();
        for next in generation.by_ref() {
            let next = next.map_err(failed)?;
            piece(&next.text);
            text.push_str(&next.text);
        }
        let tokens = generation.tokens().to_vec();
        let finish_reason = reason(generation.finish_reason());
        self.traffic
            .add(Team::Inference, 4 * prompt_tokens.len(), text.len());
        Ok(Continuation {
            prompt_tokens,
            tokens,
            text,
            finish_reason,
        })
    }

    /// Stored contexts that begin much like `document`, most similar first.
    pub(crate) fn find_similar(
        &self,
        document: &Document,
    ) -> Result<Vec<SimilarContext>, NeurectomyError> {
        let tokens = self
            .prompt(document)
            .map_err(|error| self.model_error(error))?;
        let found = self
            .vault
            .find_similar_tokens(&tokens, self.config.similarity_min)
            .map_err(self.vault_error("search similar contexts"))?;
        let context = |(id, similarity)| SimilarContext { id, similarity };
        Ok(found.into_iter().map(context).collect())
    }

    fn model_error(&self, source: InferError) -> NeurectomyError {
        NeurectomyError::Model {
            operation: "continue a document",
            model: self.engine.model().info().name.clone(),
            source: source.into(),
        }
    }

    /// The document's first tokens; for an empty document, the token that begins a text.
    fn prompt(&self, document: &Document) -> Result<Vec<u32>, InferError> {
        let room = self
            .engine
            .model()
            .info()
            .context_tokens
            .saturating_sub(self.config.continuation_tokens_max);
        let tokens_max = self.config.prompt_tokens_max.min(room.max(1));
        let head = &document.bytes[..document
            .bytes
            .len()
            .min(tokens_max * PROMPT_BYTES_PER_TOKEN)];
        let tokenizer = self.engine.model().tokenizer();
        let mut tokens = tokenizer.encode(&String::from_utf8_lossy(head))?;
        tokens.truncate(tokens_max);
        if tokens.is_empty() {
            tokens.extend(tokenizer.bos().or(tokenizer.end_tokens().first().copied()));
        }
        Ok(tokens)
    }

    /// The key of a continuation: everything that decides its text is in it.
    fn text_key(&self, id: ContentId) -> Vec<u8> {
        let settings = [
            self.engine.model().info().fingerprint,
            self.config.prompt_tokens_max as u128,
            self.config.continuation_tokens_max as u128,
            u128::from(self.config.sampling_seed),
        ]
        .map(u128::to_le_bytes)
        .concat();
        format!("text/{id}/{:032x}", xxh3_128(&settings)).into_bytes()
    }

    /// The continuation that an earlier run stored under the same settings.
    pub(crate) fn stored_continuation(
        &self,
        id: ContentId,
    ) -> Result<Option<Continuation>, NeurectomyError> {
        let bytes = self
            .vault
            .get(&self.text_key(id))
            .map_err(self.vault_error("read a continuation back"))?;
        // An unreadable record is computed again; the vault has already checked its checksum, so
        // this is a record of another version.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Keeps a continuation, and the context it stands in as an RSU.
    pub(crate) fn store_continuation(
        &self,
        document: &Document,
        continuation: &Continuation,
    ) -> Result<(), NeurectomyError> {
        let record = to_json(continuation);
        let key = self.text_key(document.id);
        let tokens = [&continuation.prompt_tokens[..], &continuation.tokens].concat();
        let signature =
            Signature::of_tokens(&tokens).map_err(self.vault_error("sign a context"))?;
        let rsu = Rsu::new(tokens)
            .signature(signature)
            .conversation(document.path.display().to_string())
            .metadata("model", &self.engine.model().info().name);
        self.vault
            .put_rsu(&key, &rsu, Durability::Buffered)
            .map_err(self.vault_error("store a context"))?;
        self.vault
            .put(&key, &record, Durability::Grouped)
            .map_err(self.vault_error("store a continuation"))?;
        self.traffic
            .add(Team::Storage, record.len() + 4 * rsu.tokens.len(), 0);
        Ok(())
    }
}

fn reason(reason: Option<FinishReason>) -> String {
    reason.map_or_else(
        || "unfinished".to_owned(),
        |reason| format!("{reason:?}").to_lowercase(),
    )
}
