//! What both sides of a session remember.

use std::fmt;

use xxhash_rust::xxh64::xxh64;

use crate::dictionary::Dictionary;

/// The last content bytes and the checksum chain.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Most bytes that count.
    pub(super) bytes_max: usize,
    /// The last content bytes; up to twice `bytes_max` between two cuts.
    content: Vec<u8>,
    /// XXH64 of the last record's content, seeded with that of the record before, and so on.
    pub(super) chain: u64,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("bytes", &self.content().len())
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl History {
    pub(super) fn new(bytes_max: usize) -> Self {
        History {
            bytes_max,
            content: Vec::new(),
            chain: 0,
        }
    }

    pub(super) fn restored(bytes_max: usize, content: Vec<u8>, chain: u64) -> Self {
        History {
            bytes_max,
            content,
            chain,
        }
    }

    /// A copy of what counts.
    pub(super) fn trimmed(&self) -> Self {
        History::restored(self.bytes_max, self.content().to_vec(), self.chain)
    }

    /// The chain with `content` at its end.
    pub(super) fn chain_with(&self, content: &[u8]) -> u64 {
        xxh64(content, self.chain)
    }

    /// Takes note of a record.
    pub(super) fn push(&mut self, content: &[u8], chain: u64) {
        self.chain = chain;
        let tail = content.len().saturating_sub(self.bytes_max);
        self.content
            .extend_from_slice(content.get(tail..).unwrap_or_default());
        // Cutting only at twice the length keeps the cost of a record in proportion to the record.
        if self.content.len() > 2 * self.bytes_max {
            self.content.drain(..self.content.len() - self.bytes_max);
        }
    }

    /// The last `bytes_max` content bytes.
    pub(super) fn content(&self) -> &[u8] {
        let start = self.content.len().saturating_sub(self.bytes_max);
        self.content.get(start..).unwrap_or_default()
    }

    /// What a start that goes on from here states.
    pub(super) fn hash(&self) -> u64 {
        xxh64(self.content(), self.chain)
    }

    /// What the zstd stream of such a start is primed with.
    pub(super) fn primer(&self, dictionary: Option<&Dictionary>) -> Vec<u8> {
        let front = match dictionary {
            Some(dictionary) => dictionary.as_bytes(),
            // Zeros in front, so that no history is taken for a zstd dictionary.
            None => &[0; 8],
        };
        [front, self.content()].concat()
    }
}
