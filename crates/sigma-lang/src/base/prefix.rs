//! Exact common prefixes: hashes of the first 1, 2, 3, ... blocks of each base.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Which bases begin with which blocks.
#[derive(Debug)]
pub(super) struct PrefixIndex {
    block_bytes: usize,
    /// Hash of a prefix to the bases that begin with it, oldest first.
    bases: HashMap<u64, Vec<u64>>,
}

impl PrefixIndex {
    pub(super) fn new(block_bytes: usize) -> Self {
        PrefixIndex {
            block_bytes,
            bases: HashMap::new(),
        }
    }

    /// Hashes of the prefixes of 1, 2, 3, ... whole blocks. Each hash covers all bytes before its
    /// end.
    pub(super) fn hashes(&self, data: &[u8]) -> Vec<u64> {
        let chain = |hash: &mut u64, block: &[u8]| {
            *hash = xxh3_64_with_seed(block, *hash);
            Some(*hash)
        };
        data.chunks_exact(self.block_bytes).scan(0, chain).collect()
    }

    pub(super) fn insert(&mut self, id: u64, hashes: &[u64]) {
        for hash in hashes {
            self.bases.entry(*hash).or_default().push(id);
        }
    }

    pub(super) fn remove(&mut self, id: u64, hashes: &[u64]) {
        for hash in hashes {
            if let Some(ids) = self.bases.get_mut(hash) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.bases.remove(hash);
                }
            }
        }
    }

    /// The base with the longest common prefix in whole blocks, the youngest of equals: id and
    /// prefix length.
    pub(super) fn find(&self, hashes: &[u64]) -> Option<(u64, u64)> {
        let longest_first = hashes.iter().enumerate().rev();
        longest_first.into_iter().find_map(|(index, hash)| {
            let id = *self.bases.get(hash)?.last()?;
            Some((id, (index as u64 + 1) * self.block_bytes as u64))
        })
    }
}
