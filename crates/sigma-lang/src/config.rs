//! Settings of a compressor.

use std::sync::Arc;

use crate::dictionary::{Dictionary, DictionaryRegistry};
use crate::error::SigmaError;
use crate::level::Level;

/// Shortest frame: below it the fixed cost of a frame shows in the ratio.
pub(crate) const FRAME_BYTES_MIN: usize = 1 << 10;
/// Longest frame that default [`Limits`](crate::Limits) accept.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
/// Most threads that may be asked for.
pub(crate) const THREADS_MAX: usize = 1024;

/// How to compress. Made by [`Config::new`] and the setters; checked once by
/// [`Compressor::new`](crate::Compressor::new) (or by the call that takes it).
///
/// ```
/// use sigma_lang::{Config, Level};
/// let config = Config::new().level(Level::High).frame_bytes(1 << 20).threads(2);
/// let packed = sigma_lang::compress(&[7; 5000], &config)?;
/// assert!(packed.len() < 100);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    pub(crate) level: Level,
    pub(crate) dictionary: Option<Arc<Dictionary>>,
    pub(crate) frame_bytes: usize,
    pub(crate) threads: usize,
    pub(crate) plain_frames_only: bool,
    pub(crate) transforms: bool,
    pub(crate) record_checksum: bool,
    pub(crate) record_dictionary_id: bool,
    pub(crate) record_dictionaries: Option<DictionaryRegistry>,
}

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

impl Config {
    /// All settings at their defaults.
    pub fn new() -> Self {
        Config {
            level: Level::Balanced,
            dictionary: None,
            frame_bytes: 4 << 20,
            threads: 1,
            plain_frames_only: false,
            transforms: true,
            record_checksum: true,
            record_dictionary_id: true,
            record_dictionaries: None,
        }
    }

    /// Trade of time for size. Default [`Level::Balanced`].
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Dictionary for containers and records. Default none. The decoder needs the same one.
    pub fn dictionary(mut self, dictionary: Arc<Dictionary>) -> Self {
        self.dictionary = Some(dictionary);
        self
    }

    /// Most content bytes per frame. Default 4 MiB, legal 1 KiB..=64 MiB. A frame is the unit of random
    /// access, of parallel work and of memory in a stream; longer frames compress better. A stream's frames
    /// are as long as that; of a whole buffer the last ones are shorter, down to 1 MiB or a quarter, so that
    /// threads end together.
    pub fn frame_bytes(mut self, bytes: usize) -> Self {
        self.frame_bytes = bytes;
        self
    }

    /// Most threads to compress frames on: the calling one, and others of the current rayon pool. Default 1,
    /// legal 1..=1024. The bytes do not depend on it.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Write only frames that stock zstd reads, so `zstd -d` reads every container. Default false:
    /// incompressible data is stored as it is, and logs, tables, JSON, numbers and tensors are
    /// transformed where a trial on a sample says that it pays; stock zstd refuses such frames.
    pub fn plain_frames_only(mut self, only: bool) -> Self {
        self.plain_frames_only = only;
        self
    }

    /// Try transforms on each frame that is compressed without dictionary and base. Default true.
    /// Without them, compressing takes no time for trials, and every frame is plain or stored.
    pub fn transforms(mut self, transforms: bool) -> Self {
        self.transforms = transforms;
        self
    }

    /// Put a 32-bit checksum (4 bytes) behind each record. Default true. Without it, a damaged
    /// record may decode to other bytes: turn it off only where something else checks the record.
    pub fn record_checksum(mut self, checksum: bool) -> Self {
        self.record_checksum = checksum;
        self
    }

    /// Put the id of the dictionary (8 bytes) into each record that uses one. Default true. Without
    /// it, the decoder must be given the dictionary by other means.
    pub fn record_dictionary_id(mut self, id: bool) -> Self {
        self.record_dictionary_id = id;
        self
    }

    /// Make each record with the version that is current in `registry` when the record is made, and
    /// put that version (1 to 5 bytes) into it. Default none. [`Config::dictionary`] and
    /// [`Config::record_dictionary_id`] then have no effect on records; containers do not look at the
    /// registry.
    pub fn record_dictionaries(mut self, registry: DictionaryRegistry) -> Self {
        self.record_dictionaries = Some(registry);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), SigmaError> {
        self.level.validate()?;
        if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&self.frame_bytes) {
            return Err(SigmaError::InvalidConfig {
                name: "frame_bytes",
                value: i64::try_from(self.frame_bytes).unwrap_or(i64::MAX),
                allowed: "1024..=67108864 bytes",
            });
        }
        if !(1..=THREADS_MAX).contains(&self.threads) {
            return Err(SigmaError::InvalidConfig {
                name: "threads",
                value: i64::try_from(self.threads).unwrap_or(i64::MAX),
                allowed: "1..=1024 threads",
            });
        }
        Ok(())
    }
}
