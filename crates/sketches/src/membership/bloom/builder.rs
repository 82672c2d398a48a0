//! Parameters of a [`BloomFilter`], checked once.

use super::{estimator::size_for, sketch::BloomFilter};
use crate::{error::SketchError, hash::DEFAULT_SEED, memory::zeros};

const NAME: &str = "bloom filter";

/// Settings of a [`BloomFilter`].
///
/// ```
/// use sketches::membership::BloomBuilder;
/// let filter = BloomBuilder::with_rate(1_000_000, 0.01).seed(42).build()?;
/// assert_eq!((filter.bits(), filter.hashes(), filter.seed()), (9_592_960, 7, 42));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct BloomBuilder {
    size: Size,
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Bits { bits: u64, hashes: u32 },
    Rate { items: u64, rate: f64 },
}

impl BloomBuilder {
    /// Greatest number of bits: 2^38 (32 GiB), which leaves 26 bits of the hash to tell apart keys
    /// that share a position.
    pub const BITS_MAX: u64 = 1 << 38;
    /// Greatest number of hashes: that of a rate of 10^-12.
    pub const HASHES_MAX: u32 = 40;

    /// By size: `bits` (1 to 2^38, rounded up to a multiple of 64) and `hashes` bits per key (1 to
    /// 40).
    pub const fn with_size(bits: u64, hashes: u32) -> Self {
        Self {
            size: Size::Bits { bits, hashes },
            seed: DEFAULT_SEED,
        }
    }

    /// By rate: the smallest filter whose false-positive rate is at most `rate` once it holds
    /// `items` keys. Legal: `items` from 1, `rate` from 10^-12 to below 1, and no more than 2^38
    /// bits for both.
    pub const fn with_rate(items: u64, rate: f64) -> Self {
        Self {
            size: Size::Rate { items, rate },
            seed: DEFAULT_SEED,
        }
    }

    /// Hash seed. Default: [`DEFAULT_SEED`]. Filters merge only under the same seed.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the empty filter.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] naming the setting that is outside its range;
    /// [`SketchError::Memory`] where the bits cannot be allocated.
    pub fn build(self) -> Result<BloomFilter, SketchError> {
        let (bits, hashes) = self.size.bits()?;
        if !(1..=Self::BITS_MAX).contains(&bits) {
            return Err(SketchError::parameter(NAME, "bits", bits, "1 to 2^38"));
        }
        if !(1..=Self::HASHES_MAX).contains(&hashes) {
            return Err(SketchError::parameter(NAME, "hashes", hashes, "1 to 40"));
        }
        let words = usize::try_from(bits.div_ceil(64)).unwrap_or(usize::MAX);
        Ok(BloomFilter {
            seed: self.seed,
            hashes,
            words: zeros(NAME, words)?,
        })
    }
}

impl Size {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded number of items changes nothing, and bits are checked"
    )]
    fn bits(self) -> Result<(u64, u32), SketchError> {
        let (items, rate) = match self {
            Self::Bits { bits, hashes } => return Ok((bits, hashes)),
            Self::Rate { items, rate } => (items, rate),
        };
        if items == 0 {
            return Err(SketchError::parameter(NAME, "items", items, "1 or more"));
        }
        if !(1e-12..1.0).contains(&rate) {
            let allowed = "10^-12 or more and below 1";
            return Err(SketchError::parameter(NAME, "rate", rate, allowed));
        }
        let (hashes, bits) = size_for(items as f64, rate);
        if bits > BloomBuilder::BITS_MAX as f64 {
            let allowed = "a number that needs at most 2^38 bits at the rate";
            return Err(SketchError::parameter(NAME, "items", items, allowed));
        }
        Ok(((bits as u64).max(1), hashes))
    }
}
