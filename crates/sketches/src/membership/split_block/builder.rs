//! Parameters of a [`SplitBlockBloom`], checked once.

use super::{estimator::load_for_rate, sketch::SplitBlockBloom};
use crate::{
    error::SketchError, hash::DEFAULT_SEED, memory::zeros, simd::split_block::BLOCK_BYTES,
};

const NAME: &str = "split-block bloom filter";

/// Settings of a [`SplitBlockBloom`].
///
/// ```
/// use sketches::membership::SplitBlockBuilder;
/// let filter = SplitBlockBuilder::with_size(1 << 20).seed(42).build()?;
/// assert_eq!((filter.filter_bytes(), filter.seed()), (1 << 20, 42));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct SplitBlockBuilder {
    size: Size,
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Bytes(u64),
    Rate { items: u64, rate: f64 },
}

impl SplitBlockBuilder {
    /// Greatest number of bytes: what the length field of Parquet can name, in whole blocks.
    pub const BYTES_MAX: u64 = (1 << 31) - BLOCK_BYTES as u64;

    /// By size: `bytes` from 1 to 2^31 - 32, rounded up to a multiple of 32.
    pub const fn with_size(bytes: u64) -> Self {
        Self {
            size: Size::Bytes(bytes),
            seed: DEFAULT_SEED,
        }
    }

    /// By rate: the smallest filter whose false-positive rate is at most `rate` once it holds
    /// `items` keys. Legal: `items` from 1, `rate` from 10^-9 to below 1, and no more than
    /// 2^31 - 32 bytes for both.
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
    /// [`SketchError::Memory`] where the blocks cannot be allocated.
    pub fn build(self) -> Result<SplitBlockBloom, SketchError> {
        let bytes = self.size.bytes()?;
        if !(1..=Self::BYTES_MAX).contains(&bytes) {
            return Err(SketchError::parameter(
                NAME,
                "bytes",
                bytes,
                "1 to 2^31 - 32",
            ));
        }
        let blocks = usize::try_from(bytes.div_ceil(BLOCK_BYTES as u64)).unwrap_or(usize::MAX);
        Ok(SplitBlockBloom {
            seed: self.seed,
            blocks: zeros(NAME, blocks)?,
        })
    }
}

impl Size {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rounded number of items changes nothing, and bytes are checked"
    )]
    fn bytes(self) -> Result<u64, SketchError> {
        let (items, rate) = match self {
            Self::Bytes(bytes) => return Ok(bytes),
            Self::Rate { items, rate } => (items, rate),
        };
        if items == 0 {
            return Err(SketchError::parameter(NAME, "items", items, "1 or more"));
        }
        if !(1e-9..1.0).contains(&rate) {
            let allowed = "10^-9 or more and below 1";
            return Err(SketchError::parameter(NAME, "rate", rate, allowed));
        }
        let bytes = libm::ceil(items as f64 / load_for_rate(rate)) * BLOCK_BYTES as f64;
        if bytes > SplitBlockBuilder::BYTES_MAX as f64 {
            let allowed = "a number that needs at most 2^31 - 32 bytes at the rate";
            return Err(SketchError::parameter(NAME, "items", items, allowed));
        }
        Ok(bytes as u64)
    }
}
