//! How values lie in a state, and how they are grouped.

use crate::error::SigmaError;

/// Most channels of a tensor.
pub(super) const CHANNELS_MAX: usize = 1 << 16;
/// Most tokens of a block: sums of distances of codes fit 16 bits.
pub(super) const BLOCK_TOKENS_MAX: usize = 256;
/// Values of a chunk, unless one block has more: it is coded together, and stays in the second cache.
const CHUNK_VALUES: usize = 1 << 18;

/// How the values of a state lie: tensors one behind the other (the keys of a layer, its values, and so on),
/// in each the tokens, of each token the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KvShape {
    /// Tokens of each tensor, at least 1.
    pub tokens: usize,
    /// Values of a token in one tensor (heads x numbers of a head). Legal 1..=65536.
    pub channels: usize,
}

impl KvShape {
    /// So many tokens of so many channels.
    pub fn new(tokens: usize, channels: usize) -> Self {
        KvShape { tokens, channels }
    }
}

/// The shape of a whole state, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) tensors: usize,
    pub(super) tokens: usize,
    pub(super) channels: usize,
    /// Most tokens that share steps.
    pub(super) block_tokens: usize,
}

impl Layout {
    /// Of a state of so many values.
    pub(super) fn new(
        values: usize,
        shape: KvShape,
        block_tokens: usize,
    ) -> Result<Layout, SigmaError> {
        let KvShape { tokens, channels } = shape;
        let wrong = SigmaError::TensorShape {
            values,
            tokens,
            channels,
        };
        let tensor_values = tokens.checked_mul(channels).filter(|values| *values > 0);
        let Some(tensor_values) = tensor_values.filter(|_| channels <= CHANNELS_MAX) else {
            return Err(wrong);
        };
        if !values.is_multiple_of(tensor_values) {
            return Err(wrong);
        }
        Ok(Layout {
            tensors: values / tensor_values,
            tokens,
            channels,
            block_tokens,
        })
    }

    /// Number of values, if the machine can count them.
    pub(super) fn values(&self) -> Option<usize> {
        self.tensors
            .checked_mul(self.tokens)?
            .checked_mul(self.channels)
    }

    /// Tokens of each block, chunk by chunk.
    pub(super) fn chunks(&self) -> Chunks {
        Chunks {
            layout: *self,
            tensors_left: self.tensors,
            tokens_left: self.tokens,
        }
    }
}

/// See [`Layout::chunks`].
#[derive(Debug)]
pub(super) struct Chunks {
    layout: Layout,
    tensors_left: usize,
    /// Of the tensor that is next.
    tokens_left: usize,
}

impl Chunks {
    /// Puts the tokens of each block of the next chunk into `blocks`; false if there is none.
    pub(super) fn next(&mut self, blocks: &mut Vec<usize>) -> bool {
        blocks.clear();
        let mut values = 0;
        while self.tensors_left > 0 {
            let tokens = self.tokens_left.min(self.layout.block_tokens);
            values += tokens * self.layout.channels;
            if values > CHUNK_VALUES && !blocks.is_empty() {
                break;
            }
            blocks.push(tokens);
            self.tokens_left -= tokens;
            if self.tokens_left == 0 {
                self.tensors_left -= 1;
                self.tokens_left = self.layout.tokens;
            }
        }
        !blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(layout: Layout) -> Vec<Vec<usize>> {
        let (mut chunks, mut all, mut blocks) = (layout.chunks(), Vec::new(), Vec::new());
        while chunks.next(&mut blocks) {
            all.push(blocks.clone());
        }
        all
    }

    #[test]
    fn blocks_end_with_tensors_and_chunks_with_their_values() {
        let layout = Layout::new(2 * 10 * 3, KvShape::new(10, 3), 4).unwrap();
        assert_eq!(chunks(layout), [[4, 4, 2, 4, 4, 2]]);
        let layout = Layout::new(3 << 18, KvShape::new(256, 1024), 64).unwrap();
        assert_eq!(chunks(layout), [[64; 4]; 3]);
        let layout = Layout::new(600 << 16, KvShape::new(200, 1 << 16), 100).unwrap();
        assert_eq!(chunks(layout), [[100]; 6]);
        let layout = Layout::new(0, KvShape::new(7, 5), 64).unwrap();
        assert!(chunks(layout).is_empty());
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (values, tokens, channels) in [(7, 2, 3), (6, 0, 3), (6, 3, 0), (1, 1, 1 << 17)] {
            let found = Layout::new(values, KvShape::new(tokens, channels), 64);
            assert!(matches!(found, Err(SigmaError::TensorShape { .. })));
        }
        let far = KvShape::new(usize::MAX, 2);
        assert!(Layout::new(0, far, 64).is_err());
    }
}
