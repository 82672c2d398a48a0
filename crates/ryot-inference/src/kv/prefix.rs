//! Blocks of a prompt that can be found again by their content.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::KvState;
use crate::error::BoxError;

/// Name of a block of tokens *and of everything before it*: a hash chained over the blocks.
///
/// Two prompts share a key exactly as far as they share whole blocks. The hash (XXH3-128) is not a
/// proof: whoever restores a block compares its tokens with the prompt's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey(pub u128);

/// A block with its key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KvBlock {
    /// The chained key.
    pub key: BlockKey,
    /// Key of the block before it, where there is one and it is known.
    pub previous: Option<BlockKey>,
    /// Keys and values of the block's tokens.
    pub state: Arc<KvState>,
}

impl KvBlock {
    /// A block that follows no other, as far as is known.
    pub fn new(key: BlockKey, state: Arc<KvState>) -> Self {
        let previous = None;
        Self {
            key,
            previous,
            state,
        }
    }

    /// Sets [`Self::previous`]. A store that evicts needs it to keep chains whole.
    #[must_use]
    pub fn after(mut self, previous: BlockKey) -> Self {
        self.previous = Some(previous);
        self
    }
}

/// A place that keeps prefix blocks between generations: in memory, on disk, on another machine.
///
/// A store is an aid, never a source of truth: the engine checks model, position and tokens of
/// what it gets and computes what is missing or wrong. A store's error is counted in
/// [`Metrics::prefix_errors`](crate::Metrics) and otherwise treated as "nothing found".
pub trait PrefixStore: Send + Sync {
    /// The blocks of the longest run of leading `keys` that are held, in order.
    ///
    /// # Errors
    /// Whatever the store runs into.
    fn get(&self, keys: &[BlockKey]) -> Result<Vec<Arc<KvState>>, BoxError>;

    /// Keeps `blocks`; they follow each other. A store may drop any block at any time.
    ///
    /// # Errors
    /// Whatever the store runs into.
    fn put(&self, blocks: &[KvBlock]) -> Result<(), BoxError>;
}

/// Keys of the whole blocks of `tokens`.
///
/// Cost: one hash of `4 * block_tokens + 16` bytes per block.
pub(crate) fn block_keys(fingerprint: u128, block_tokens: usize, tokens: &[u32]) -> Vec<BlockKey> {
    let mut chain = fingerprint ^ block_tokens as u128;
    let mut input = Vec::with_capacity(16 + 4 * block_tokens);
    let keys = tokens.chunks_exact(block_tokens).map(|block| {
        input.clear();
        input.extend(chain.to_le_bytes());
        block.iter().for_each(|t| input.extend(t.to_le_bytes()));
        chain = xxh3_128(&input);
        BlockKey(chain)
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_everything_before() {
        let keys = |f, tokens: &[u32]| block_keys(f, 2, tokens);
        let a = keys(1, &[1, 2, 3, 4, 5]);
        assert_eq!(a.len(), 2);
        assert_eq!(a, keys(1, &[1, 2, 3, 4]));
        assert_eq!(a[0], keys(1, &[1, 2, 9, 9])[0]);
        assert_ne!(a[1], keys(1, &[9, 2, 3, 4])[1]);
        assert_ne!(a[0], keys(2, &[1, 2])[0]);
        assert_ne!(a[0], block_keys(1, 3, &[1, 2, 3])[0]);
    }
}
