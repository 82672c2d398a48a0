//! Settings of a session.

use std::sync::Arc;

use crate::dictionary::Dictionary;
use crate::error::SigmaError;
use crate::level::Level;

/// Smallest and largest window as powers of two: a window holds at least one zstd block, and zstd
/// decoders take no more than 128 MiB without being asked to.
pub(super) const WINDOW_LOG_MIN: u32 = 17;
pub(super) const WINDOW_LOG_MAX: u32 = 27;
/// Most history that a checkpoint carries.
pub(super) const HISTORY_BYTES_MAX: usize = 16 << 20;

/// How a [`SessionEncoder`](crate::SessionEncoder) works. The decoder learns it from the records.
///
/// ```
/// use sigma_lang::{Level, SessionConfig, SessionEncoder};
/// let encoder = SessionEncoder::new(&SessionConfig::new().level(Level::Fast).window_bytes(1 << 19))?;
/// assert_eq!(encoder.records(), 0);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionConfig {
    pub(super) level: Level,
    pub(super) dictionary: Option<Arc<Dictionary>>,
    pub(super) window_bytes: usize,
    pub(super) history_bytes: usize,
    pub(super) checksum: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig::new()
    }
}

impl SessionConfig {
    /// All settings at their defaults.
    pub fn new() -> Self {
        SessionConfig {
            level: Level::Balanced,
            dictionary: None,
            window_bytes: 1 << 20,
            history_bytes: 128 << 10,
            checksum: true,
        }
    }

    /// Trade of time for size. Default [`Level::Balanced`].
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Dictionary for the beginning of the session. Default none. The start records name it.
    pub fn dictionary(mut self, dictionary: Arc<Dictionary>) -> Self {
        self.dictionary = Some(dictionary);
        self
    }

    /// How far back a record may refer, in content bytes. Default 1 MiB; a power of two, 128 KiB to 128
    /// MiB. Each side holds one to two windows of memory.
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes;
        self
    }

    /// Content bytes that a checkpoint carries over. Default 128 KiB, legal 0..=16 MiB. Each side holds
    /// up to twice as much.
    pub fn history_bytes(mut self, bytes: usize) -> Self {
        self.history_bytes = bytes;
        self
    }

    /// Put a 32-bit checksum (4 bytes) behind each record that covers it and all records before it.
    /// Default true. Without it, damage and a gap of a multiple of 256 records may give other bytes:
    /// turn it off only where something else checks the records.
    pub fn checksum(mut self, checksum: bool) -> Self {
        self.checksum = checksum;
        self
    }

    pub(super) fn window_log(&self) -> u32 {
        self.window_bytes.trailing_zeros()
    }

    pub(super) fn validate(&self) -> Result<(), SigmaError> {
        self.level.validate()?;
        let legal = (1 << WINDOW_LOG_MIN..=1 << WINDOW_LOG_MAX).contains(&self.window_bytes);
        if !legal || !self.window_bytes.is_power_of_two() {
            return Err(SigmaError::InvalidConfig {
                name: "window_bytes",
                value: i64::try_from(self.window_bytes).unwrap_or(i64::MAX),
                allowed: "a power of two, 131072..=134217728 bytes",
            });
        }
        if self.history_bytes > HISTORY_BYTES_MAX {
            return Err(SigmaError::InvalidConfig {
                name: "history_bytes",
                value: i64::try_from(self.history_bytes).unwrap_or(i64::MAX),
                allowed: "0..=16777216 bytes",
            });
        }
        Ok(())
    }
}
