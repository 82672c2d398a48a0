//! Restoring and keeping prompt blocks around a generation.

use std::sync::Arc;

use super::config::PrefixSettings;
use crate::kv::{KvBlock, KvState, block_keys};
use crate::model::State;

/// A generation's dealings with the prefix store.
pub(super) struct PrefixReuse {
    settings: PrefixSettings,
    /// Leading blocks that the store holds, restored or put.
    stored_blocks: usize,
    pub(super) errors: u32,
}

impl PrefixReuse {
    pub(super) fn new(settings: PrefixSettings) -> Self {
        Self {
            settings,
            stored_blocks: 0,
            errors: 0,
        }
    }

    /// Fills the empty `state` with the longest stored prefix of `prompt`, leaving at least one
    /// token to evaluate.
    pub(super) fn restore(&mut self, state: &mut State, prompt: &[u32]) {
        let block_tokens = self.settings.block_tokens;
        let reusable = prompt.split_last().map_or(&[][..], |(_, before)| before);
        let keys = block_keys(state.fingerprint(), block_tokens, reusable);
        if keys.is_empty() {
            return;
        }
        let blocks = match self.settings.store.get(&keys) {
            Ok(blocks) => blocks,
            Err(error) => return self.failed("get", &*error),
        };
        let mut fitting = Vec::with_capacity(blocks.len());
        for (block, tokens) in blocks.iter().zip(reusable.chunks_exact(block_tokens)) {
            if block.tokens() != tokens {
                self.failed("check", &"tokens of a block are not those of the prompt");
                break;
            }
            fitting.push(&**block);
        }
        if state.append_all(&fitting).is_ok() {
            self.stored_blocks += fitting.len();
            return;
        }
        // as far as they go
        for block in fitting {
            if let Err(error) = state.append(block) {
                return self.failed("restore", &error);
            }
            self.stored_blocks += 1;
        }
    }

    /// Puts the whole blocks of `state` that the store does not hold yet: those of the prompt, and
    /// those with generated tokens where the settings say so.
    pub(super) fn keep(&mut self, state: &State, prompt_tokens: usize) {
        let block_tokens = self.settings.block_tokens;
        let held = state.tokens();
        let end = match self.settings.keep_generated {
            true => held.len(),
            false => held.len().min(prompt_tokens),
        };
        if end / block_tokens <= self.stored_blocks {
            return;
        }
        let kept = held.get(..end).unwrap_or_default();
        let keys = block_keys(state.fingerprint(), block_tokens, kept);
        let mut blocks = Vec::new();
        for (index, key) in keys.iter().enumerate().skip(self.stored_blocks) {
            let start = index * block_tokens;
            match state.export_range(start, start + block_tokens) {
                Ok(kv) => {
                    let mut block = KvBlock::new(*key, Arc::<KvState>::new(kv));
                    block.previous = index.checked_sub(1).and_then(|at| keys.get(at).copied());
                    blocks.push(block);
                }
                Err(error) => return self.failed("export", &error),
            }
        }
        if blocks.is_empty() {
            return;
        }
        match self.settings.store.put(&blocks) {
            Ok(()) => self.stored_blocks += blocks.len(),
            Err(error) => self.failed("put", &*error),
        }
    }

    fn failed(&mut self, operation: &'static str, error: &dyn std::fmt::Display) {
        self.errors += 1;
        tracing::warn!(operation, %error, "prefix store");
    }
}
