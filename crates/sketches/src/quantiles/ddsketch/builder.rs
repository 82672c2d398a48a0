//! Parameters of a [`DdSketch`], checked once.

use super::sketch::DdSketch;
use crate::error::SketchError;

const NAME: &str = "ddsketch";

/// Settings of a [`DdSketch`].
///
/// ```
/// use sketches::quantiles::DdSketchBuilder;
/// let sketch = DdSketchBuilder::new().relative_error(0.001).bins_max(8192).build()?;
/// assert_eq!(sketch.relative_error(), 0.001);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct DdSketchBuilder {
    relative_error: f64,
    bins_max: u32,
}

impl DdSketchBuilder {
    /// Default relative error: 1 %.
    pub const RELATIVE_ERROR: f64 = 0.01;
    /// Least relative error; below it, one doubling would need more than 34,000 bins.
    pub const RELATIVE_ERROR_MIN: f64 = 1e-5;
    /// Greatest relative error; beyond it an answer does not tell a number from its triple.
    pub const RELATIVE_ERROR_MAX: f64 = 0.5;
    /// Default bound on the bins of each sign: with 1 % error they span a factor of 10^17.
    pub const BINS_MAX: u32 = 2048;
    /// Least bound on the bins; fewer than this would fold ordinary data.
    pub const BINS_MAX_MIN: u32 = 16;
    /// Greatest bound on the bins: 1 MiB of counts for each sign.
    pub const BINS_MAX_MAX: u32 = 131_072;

    /// Default settings.
    pub const fn new() -> Self {
        Self {
            relative_error: Self::RELATIVE_ERROR,
            bins_max: Self::BINS_MAX,
        }
    }

    /// Greatest distance of an answer from the true quantile, as a share of that quantile.
    /// Default 0.01; legal from 0.00001 to 0.5. Halving it doubles the bins that the data need.
    pub const fn relative_error(mut self, share: f64) -> Self {
        self.relative_error = share;
        self
    }

    /// Most bins kept for positive numbers, and again for negative ones, 8 bytes each.
    /// Default 2,048; legal from 16 to 131,072. Where the data need more, the bins nearest to zero
    /// are folded together and quantiles there lose the error bound.
    pub const fn bins_max(mut self, bins: u32) -> Self {
        self.bins_max = bins;
        self
    }

    /// Makes the empty sketch; bins are allocated as numbers arrive.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] naming the setting that is outside its range.
    pub fn build(self) -> Result<DdSketch, SketchError> {
        let Self {
            relative_error,
            bins_max,
        } = self;
        if !(Self::RELATIVE_ERROR_MIN..=Self::RELATIVE_ERROR_MAX).contains(&relative_error) {
            let allowed = "0.00001 to 0.5";
            return Err(SketchError::parameter(
                NAME,
                "relative_error",
                relative_error,
                allowed,
            ));
        }
        if !(Self::BINS_MAX_MIN..=Self::BINS_MAX_MAX).contains(&bins_max) {
            return Err(SketchError::parameter(
                NAME,
                "bins_max",
                bins_max,
                "16 to 131072",
            ));
        }
        Ok(DdSketch::empty(relative_error, bins_max))
    }
}

impl Default for DdSketchBuilder {
    fn default() -> Self {
        Self::new()
    }
}
