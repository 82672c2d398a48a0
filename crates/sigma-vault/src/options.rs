//! Settings of a vault, validated once when it is opened.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::compaction::Policy;
use crate::error::VaultError;
use crate::seal::EncryptionKey;

/// The longest key, in bytes (its length is stored in 16 bits).
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// The longest value, in bytes: 1 GiB, so that a reader never has to allocate more for one record.
pub const VALUE_BYTES_MAX: usize = 1 << 30;

/// The most bytes that one batch may need on disk: 2 GiB.
pub const BATCH_BYTES_MAX: u64 = 2 << 30;

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Returns when the write is visible to readers; such writes are
    /// [gathered in memory](Options::write_buffer_bytes) until a write of another durability, a sync or a close. It may be lost with the process or the
    /// machine, never in part and never out of order: what survives is a prefix of the writes.
    Buffered,
    /// Returns when the write survives the end of the process, as a kill; a power cut may take it,
    /// never in part and never out of order.
    Written,
    /// Returns when the write survives a power cut; waiting writers share one sync.
    Grouped,
    /// Returns when the write survives a power cut, after a sync of its own.
    Synced,
}

/// How hard values are compressed before they are written. A value that does not shrink is stored
/// as it is, and values of any setting can be read under any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Values are stored as they are.
    None,
    /// LZ4 blocks: several times faster to write than the following, and larger.
    Lz4,
    /// The fastest level that still compresses text well.
    Fast,
    /// The usual trade.
    Balanced,
    /// Smaller by about a tenth, several times slower to write.
    High,
    /// The smallest, for what is written once and read often.
    Smallest,
}

/// What a read does when records of unknown keys were lost that could have held a newer value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UncertainReads {
    /// Fail with [`VaultError::Uncertain`] rather than risk an out-of-date answer.
    Refuse,
    /// Answer from what is known; right for keys that are never overwritten (content hashes).
    Serve,
}

/// Settings of a vault; by-value setters, checked by [`Vault::open`](crate::Vault::open).
///
/// All of them may differ from one opening to the next.
///
/// ```
/// use sigma_vault::{Compression, Options};
///
/// let options = Options::new().segment_bytes(8 << 20).compression(Compression::None);
/// assert_eq!(options.segment_bytes_target(), 8 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    segment_bytes: u64,
    compression: Compression,
    compress_bytes_min: usize,
    uncertain_reads: UncertainReads,
    similarity_threshold_min: f64,
    compaction_slack_percent: u32,
    compaction_bytes_per_s_max: Option<u64>,
    write_buffer_bytes: usize,
    index_snapshot_bytes_min: u64,
    check_at_open: bool,
    hot_units_max: usize,
    clock: Arc<dyn Clock>,
    key: Option<EncryptionKey>,
    read_cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The smallest [`segment_bytes`](Self::segment_bytes).
    pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;
    /// The largest [`segment_bytes`](Self::segment_bytes).
    pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;

    /// The largest [`write_buffer_bytes`](Self::write_buffer_bytes).
    pub const WRITE_BUFFER_BYTES_MAX: usize = 64 << 20;

    /// The documented defaults.
    pub fn new() -> Self {
        Self {
            segment_bytes: 64 << 20,
            compression: Compression::Balanced,
            compress_bytes_min: 256,
            uncertain_reads: UncertainReads::Refuse,
            similarity_threshold_min: 0.5,
            compaction_slack_percent: 25,
            compaction_bytes_per_s_max: None,
            write_buffer_bytes: 256 << 10,
            index_snapshot_bytes_min: 8 << 20,
            check_at_open: false,
            hot_units_max: 1024,
            clock: Arc::new(SystemClock),
            key: None,
            read_cache_bytes: 0,
        }
    }

    /// The size in bytes at which a segment is sealed and the next one begun. Default 64 MiB;
    /// 4 KiB to 4 GiB (below, file overhead dominates; above, compaction needs too much free
    /// space at once). A write that is larger gets a segment of its own.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How values are compressed. Default [`Compression::Balanced`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Values shorter than this many bytes are stored as they are. Default 256; any value.
    #[must_use]
    pub fn compress_bytes_min(mut self, bytes: usize) -> Self {
        self.compress_bytes_min = bytes;
        self
    }

    /// What reads do after an unattributable loss. Default [`UncertainReads::Refuse`].
    #[must_use]
    pub fn uncertain_reads(mut self, policy: UncertainReads) -> Self {
        self.uncertain_reads = policy;
        self
    }

    /// The smallest estimated Jaccard similarity for which
    /// [`find_similar`](crate::Vault::find_similar) may be asked. Default 0.5; above 0, at most 1.
    /// A lower value makes the index in memory larger and every query slower.
    #[must_use]
    pub fn similarity_threshold_min(mut self, threshold: f64) -> Self {
        self.similarity_threshold_min = threshold;
        self
    }

    /// How much garbage [`compact`](crate::Vault::compact) leaves, in percent of the live bytes.
    /// Default 25; 1 to 1000. Less garbage means that the same live records are copied more often.
    #[must_use]
    pub fn compaction_slack_percent(mut self, percent: u32) -> Self {
        self.compaction_slack_percent = percent;
        self
    }

    /// The most bytes per second that compaction writes, on average over a step. Default: no
    /// limit; at least 1. A lower rate leaves more of the disk to other work.
    #[must_use]
    pub fn compaction_bytes_per_s_max(mut self, bytes_per_s: u64) -> Self {
        self.compaction_bytes_per_s_max = Some(bytes_per_s);
        self
    }

    /// How many bytes of [`Durability::Buffered`] writes are gathered in memory before they go to
    /// the file together. Default 256 KiB; at most 64 MiB, 0 writes each at once. More makes the
    /// writes cheaper and their possible loss with the process larger.
    #[must_use]
    pub fn write_buffer_bytes(mut self, bytes: usize) -> Self {
        self.write_buffer_bytes = bytes;
        self
    }

    /// How many bytes of small records are written, at least, between two snapshots of the index,
    /// which opening reads instead of the segments; where the index is larger than three times that,
    /// also twice as many as it is larger than that. A record counts as 112 bytes and an eighth of
    /// its length, in proportion to the time that it takes at opening: 8 MiB are 62,000 records of
    /// 176 bytes. Where more than 16 MiB are not durable then, as with longer records, up to twice
    /// as much again is written before the snapshot. Default 8 MiB; any value. Less makes opening
    /// after a crash faster, and writing slower: the writer that reaches it writes the snapshot (12
    /// to 18 bytes per key).
    #[must_use]
    pub fn index_snapshot_bytes_min(mut self, bytes: u64) -> Self {
        self.index_snapshot_bytes_min = bytes;
        self
    }

    /// Whether opening reads every record and reports all damage there is. Default false: opening
    /// reads the snapshot of the index and what was written since, and damage elsewhere is found
    /// by the read that meets it and by [`verify`](crate::Vault::verify).
    #[must_use]
    pub fn check_at_open(mut self, check: bool) -> Self {
        self.check_at_open = check;
        self
    }

    /// How many RSUs have their reads counted for [`hot`](crate::Vault::hot). Default 1,024; 1 to
    /// 65,536. Each takes about 100 bytes of memory and its identifier; a unit that makes up more
    /// than one in so many of all reads is always among them.
    #[must_use]
    pub fn hot_units_max(mut self, units: usize) -> Self {
        self.hot_units_max = units;
        self
    }

    /// How many bytes of decoded values are kept in memory for [`get`](crate::Vault::get), each
    /// with 160 bytes for itself; a value above a 64th of this is not kept. Default 0, none; any
    /// value. Kept are values that are compressed, encrypted or not in mapped memory; worth it is
    /// that where decoding takes longer than copying. What is read once does not push out what is read often (S3-FIFO).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use sigma_vault::{Durability, Options, Vault, io::MemoryStorage};
    /// let options = Options::new().read_cache_bytes(64 << 20);
    /// let vault = Vault::open_with(Arc::new(MemoryStorage::new()), options)?;
    /// vault.put(b"key", &[7; 5000], Durability::Buffered)?;
    /// vault.get(b"key")?;
    /// vault.get(b"key")?;
    /// assert_eq!(vault.stats().cache_hits, 1);
    /// # Ok::<(), sigma_vault::VaultError>(())
    /// ```
    #[must_use]
    pub fn read_cache_bytes(mut self, bytes: usize) -> Self {
        self.read_cache_bytes = bytes;
        self
    }

    /// The time of day by which values [expire](crate::Vault::put_with_ttl). Default: that of the
    /// operating system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Encrypts values at rest under this key (feature `encryption`). Default: they are not. A vault
    /// is created with or without, and must be opened as it was created. Keys of values, lengths,
    /// times and the number of values are not hidden.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sigma_vault::{Durability, EncryptionKey, Options, Vault, VaultError, io::MemoryStorage};
    ///
    /// let storage = MemoryStorage::new();
    /// let open = |options| Vault::open_with(Arc::new(storage.clone()), options);
    /// let options = Options::new().encryption(EncryptionKey::raw([7; 32]));
    /// open(options.clone())?.put(b"plan", b"secret", Durability::Synced)?;
    /// assert!(matches!(open(Options::new()), Err(VaultError::KeyNeeded { .. })));
    /// let other = Options::new().encryption(EncryptionKey::raw([8; 32]));
    /// assert!(matches!(open(other), Err(VaultError::WrongKey { .. })));
    /// assert_eq!(open(options)?.get(b"plan")?.as_deref(), Some(&b"secret"[..]));
    /// # Ok::<(), VaultError>(())
    /// ```
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn encryption(mut self, key: EncryptionKey) -> Self {
        self.key = Some(key);
        self
    }

    /// See [`segment_bytes`](Self::segment_bytes).
    pub fn segment_bytes_target(&self) -> u64 {
        self.segment_bytes
    }

    pub(crate) fn key(&self) -> Option<&EncryptionKey> {
        self.key.as_ref()
    }

    pub(crate) fn forget_key(&mut self) {
        self.key = None;
    }

    pub(crate) fn cache_bytes(&self) -> usize {
        self.read_cache_bytes
    }

    pub(crate) fn hot_units(&self) -> usize {
        self.hot_units_max
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.unix_time_ms()
    }

    pub(crate) fn checks_at_open(&self) -> bool {
        self.check_at_open
    }

    pub(crate) fn snapshot_bytes_min(&self) -> u64 {
        self.index_snapshot_bytes_min
    }

    pub(crate) fn write_buffer(&self) -> usize {
        self.write_buffer_bytes
    }

    pub(crate) fn compression_setting(&self) -> (Compression, usize) {
        (self.compression, self.compress_bytes_min)
    }

    pub(crate) fn uncertain_policy(&self) -> UncertainReads {
        self.uncertain_reads
    }

    pub(crate) fn similarity_threshold(&self) -> f64 {
        self.similarity_threshold_min
    }

    pub(crate) fn compaction_policy(&self) -> Policy {
        Policy {
            slack_percent: self.compaction_slack_percent,
            segment_bytes: self.segment_bytes,
        }
    }

    pub(crate) fn compaction_rate(&self) -> Option<u64> {
        self.compaction_bytes_per_s_max
    }

    pub(crate) fn validate(&self) -> Result<(), VaultError> {
        if !(Self::SEGMENT_BYTES_MIN..=Self::SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(VaultError::InvalidArgument {
                name: "segment_bytes",
                value: self.segment_bytes.to_string(),
                allowed: "4096 to 4294967296 bytes are allowed",
            });
        }
        let threshold = self.similarity_threshold_min;
        if !(threshold > 0.0 && threshold <= 1.0) {
            return Err(VaultError::InvalidArgument {
                name: "similarity_threshold_min",
                value: threshold.to_string(),
                allowed: "above 0 and at most 1 is allowed",
            });
        }
        if !(1..=1000).contains(&self.compaction_slack_percent) {
            return Err(VaultError::InvalidArgument {
                name: "compaction_slack_percent",
                value: self.compaction_slack_percent.to_string(),
                allowed: "1 to 1000 percent are allowed",
            });
        }
        if self.write_buffer_bytes > Self::WRITE_BUFFER_BYTES_MAX {
            return Err(VaultError::InvalidArgument {
                name: "write_buffer_bytes",
                value: self.write_buffer_bytes.to_string(),
                allowed: "at most 67108864 bytes are allowed",
            });
        }
        if let Some(key) = &self.key {
            key.validate()?;
        }
        if !(1..=1 << 16).contains(&self.hot_units_max) {
            return Err(VaultError::InvalidArgument {
                name: "hot_units_max",
                value: self.hot_units_max.to_string(),
                allowed: "1 to 65536 units are allowed",
            });
        }
        if self.compaction_bytes_per_s_max == Some(0) {
            return Err(VaultError::InvalidArgument {
                name: "compaction_bytes_per_s_max",
                value: 0.to_string(),
                allowed: "at least 1 byte per second is allowed",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_as_documented() {
        let options = Options::default();
        assert_eq!(options.segment_bytes, 64 << 20);
        assert_eq!(options.compression, Compression::Balanced);
        assert_eq!(options.compress_bytes_min, 256);
        assert_eq!(options.write_buffer_bytes, 256 << 10);
        assert_eq!(options.index_snapshot_bytes_min, 8 << 20);
        assert!(!options.check_at_open);
        assert_eq!(options.uncertain_reads, UncertainReads::Refuse);
        assert!((options.similarity_threshold_min - 0.5).abs() < f64::EPSILON);
        options.validate().unwrap();
    }

    #[test]
    fn limits_are_named() {
        let error = Options::new().segment_bytes(1).validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "segment_bytes is 1: 4096 to 4294967296 bytes are allowed"
        );
        for options in [
            Options::new().compaction_slack_percent(0),
            Options::new().compaction_slack_percent(1001),
            Options::new().compaction_bytes_per_s_max(0),
            Options::new().write_buffer_bytes((64 << 20) + 1),
            Options::new().hot_units_max(0),
            Options::new().hot_units_max((1 << 16) + 1),
        ] {
            assert!(options.validate().is_err());
        }
        for threshold in [0.0, -1.0, 1.5, f64::NAN] {
            assert!(
                Options::new()
                    .similarity_threshold_min(threshold)
                    .validate()
                    .is_err()
            );
        }
    }
}
