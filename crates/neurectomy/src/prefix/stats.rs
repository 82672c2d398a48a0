//! What a prefix store did.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the store was opened; blocks, unless a name says bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PrefixStats {
    /// Found in memory.
    pub memory_hits: u64,
    /// Found in the vault.
    pub vault_hits: u64,
    /// Asked for and not found, or behind one that was not found.
    pub misses: u64,
    /// Found damaged, or of another block: taken out of the vault, and counted among the misses.
    pub refused: u64,
    /// Written to the vault.
    pub written: u64,
    /// Bytes of keys, values and tokens that were written, before packing.
    pub written_bytes: u64,
    /// Bytes that they took in the vault.
    pub packed_bytes: u64,
    /// Not written because the queue was full, or because the block before was not there.
    pub dropped: u64,
    /// Not written because packing or the vault failed.
    pub write_errors: u64,
    /// Taken out of the vault to stay within its bytes.
    pub evicted: u64,
    /// Held in the vault now, as far as it has been looked through.
    pub held: u64,
    /// Their packed bytes.
    pub held_bytes: u64,
    /// Bytes that wait to be written now.
    pub queued_bytes: u64,
}

impl PrefixStats {
    /// Packed bytes over bytes, of what was written; `None` before the first block.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn packed_ratio(&self) -> Option<f64> {
        (self.written_bytes > 0).then(|| self.packed_bytes as f64 / self.written_bytes as f64)
    }
}

/// The counts that grow.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) memory_hits: Count,
    pub(super) vault_hits: Count,
    pub(super) misses: Count,
    pub(super) refused: Count,
    pub(super) written: Count,
    pub(super) written_bytes: Count,
    pub(super) packed_bytes: Count,
    pub(super) dropped: Count,
    pub(super) write_errors: Count,
    pub(super) evicted: Count,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, count: usize) {
        // A count, which orders nothing.
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
