//! How much work to spend on a smaller result.

use crate::error::SigmaError;

/// Trade of time for size. Decompression speed hardly depends on it.
///
/// ```
/// use sigma_lang::Level;
/// assert_eq!(Level::default(), Level::Balanced);
/// assert_eq!(Level::Balanced.zstd_level(), 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Level {
    /// zstd level 1: the fastest that still compresses text well.
    Fast,
    /// zstd level 3. Up to this level speed comes first: only what gains much is transformed (logs, some JSON,
    /// numbers, tensors), tables and content under 4 KiB are not; tables of digits are searched at level 1 where that
    /// finds more.
    #[default]
    Balanced,
    /// zstd level 9: on logs, messages and code about a seventh smaller than `Balanced`, at a quarter
    /// of its speed.
    High,
    /// zstd level 19: the smallest for data that is written once and read often.
    Smallest,
    /// A zstd level by number, -7..=22.
    Zstd(i32),
}

/// Lowest zstd level: below it the output hardly gets faster, only larger.
pub(crate) const ZSTD_LEVEL_MIN: i32 = -7;
/// Highest zstd level of the library.
pub(crate) const ZSTD_LEVEL_MAX: i32 = 22;

impl Level {
    /// The zstd level that this stands for.
    pub fn zstd_level(self) -> i32 {
        match self {
            Level::Fast => 1,
            Level::Balanced => 3,
            Level::High => 9,
            Level::Smallest => 19,
            Level::Zstd(level) => level,
        }
    }

    pub(crate) fn validate(self) -> Result<(), SigmaError> {
        let level = self.zstd_level();
        // zstd takes level 0 for its default, which would hide a mistake.
        if !(ZSTD_LEVEL_MIN..=ZSTD_LEVEL_MAX).contains(&level) || level == 0 {
            return Err(SigmaError::InvalidConfig {
                name: "level",
                value: i64::from(level),
                allowed: "zstd level -7..=-1 or 1..=22",
            });
        }
        Ok(())
    }
}
