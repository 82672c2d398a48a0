//! Parameters of a [`CountMin`], checked once.

use core::f64::consts::E;

use super::sketch::CountMin;
use crate::{error::SketchError, hash::DEFAULT_SEED, memory::zeros};

const NAME: &str = "count-min";

/// How a count is added to the cells of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Update {
    /// Every cell of the key grows by the count. The sketch is linear: merging two gives exactly
    /// the sketch of both streams.
    #[default]
    Plain,
    /// Cells grow only as far as the new estimate of the key needs. Errors are smaller, most of all
    /// for rare keys; a merged sketch still never answers too low, but is not the sketch of both
    /// streams.
    Conservative,
}

/// Settings of a [`CountMin`].
///
/// ```
/// use sketches::frequency::{CountMinBuilder, Update};
/// let sketch = CountMinBuilder::with_error(0.001, 0.01).update(Update::Conservative).build()?;
/// assert_eq!((sketch.depth(), sketch.width()), (5, 2719));
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct CountMinBuilder {
    size: Size,
    update: Update,
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Cells { depth: usize, width: usize },
    Error { epsilon: f64, delta: f64 },
}

impl CountMinBuilder {
    /// Greatest number of rows: an error bound that fails once in 10^13 keys.
    pub const DEPTH_MAX: usize = 32;
    /// Greatest number of cells in a row: 2^28, 1 GiB.
    pub const WIDTH_MAX: usize = 1 << 28;

    /// By size: `depth` rows (1 to 32) of `width` cells (1 to 2^28).
    pub const fn with_size(depth: usize, width: usize) -> Self {
        Self {
            size: Size::Cells { depth, width },
            update: Update::Plain,
            seed: DEFAULT_SEED,
        }
    }

    /// By error: an estimate is at most `epsilon` times the total too high, with a probability of
    /// at least `1 - delta`. Legal: `epsilon` from 0.000000011 to below 1, `delta` from 10^-13 to below 1.
    pub const fn with_error(epsilon: f64, delta: f64) -> Self {
        Self {
            size: Size::Error { epsilon, delta },
            update: Update::Plain,
            seed: DEFAULT_SEED,
        }
    }

    /// How counts are added. Default: [`Update::Plain`].
    pub const fn update(mut self, update: Update) -> Self {
        self.update = update;
        self
    }

    /// Hash seed. Default: [`DEFAULT_SEED`]. Sketches merge only under the same seed.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the empty sketch.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] naming the setting that is outside its range;
    /// [`SketchError::Memory`] where the cells cannot be allocated.
    pub fn build(self) -> Result<CountMin, SketchError> {
        let (depth, width) = self.size.cells()?;
        if !(1..=Self::DEPTH_MAX).contains(&depth) {
            return Err(SketchError::parameter(NAME, "depth", depth, "1 to 32"));
        }
        if !(1..=Self::WIDTH_MAX).contains(&width) {
            return Err(SketchError::parameter(NAME, "width", width, "1 to 2^28"));
        }
        let cells = zeros(NAME, depth.saturating_mul(width))?;
        Ok(CountMin {
            seed: self.seed,
            depth,
            width,
            update: self.update,
            total: 0,
            cells,
        })
    }
}

impl Size {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked"
    )]
    fn cells(self) -> Result<(usize, usize), SketchError> {
        let (epsilon, delta) = match self {
            Self::Cells { depth, width } => return Ok((depth, width)),
            Self::Error { epsilon, delta } => (epsilon, delta),
        };
        if !(1.1e-8..1.0).contains(&epsilon) {
            let allowed = "0.000000011 or more and below 1";
            return Err(SketchError::parameter(NAME, "epsilon", epsilon, allowed));
        }
        if !(1e-13..1.0).contains(&delta) {
            let allowed = "10^-13 or more and below 1";
            return Err(SketchError::parameter(NAME, "delta", delta, allowed));
        }
        let depth = libm::ceil(-libm::log(delta)).max(1.0);
        Ok((depth as usize, libm::ceil(E / epsilon) as usize))
    }
}
