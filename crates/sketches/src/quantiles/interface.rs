//! The one interface of the quantile structures.

use crate::error::SketchError;

/// What every quantile structure of this crate answers.
///
/// ```
/// use sketches::quantiles::{DdSketch, Quantiles};
///
/// fn p99<Q: Quantiles>(mut sketch: Q, values: &[f64]) -> Option<f64> {
///     for value in values {
///         sketch.insert(*value);
///     }
///     sketch.quantile(0.99)
/// }
/// let values: Vec<f64> = (1..=1000).map(f64::from).collect();
/// let answer = p99(DdSketch::new(0.01)?, &values).unwrap();
/// assert!((answer - 990.0).abs() <= 9.9);
/// # Ok::<(), sketches::SketchError>(())
/// ```
pub trait Quantiles {
    /// Counts one number. Numbers that are not finite are left out.
    fn insert(&mut self, value: f64);

    /// Estimated value at position `floor(q * (count - 1))` of the sorted stream; `None` where the
    /// stream is empty or `q` is outside 0 to 1.
    fn quantile(&self, q: f64) -> Option<f64>;

    /// Numbers counted so far.
    fn count(&self) -> u64;

    /// Adds the numbers of another sketch, as if they had been inserted here.
    ///
    /// # Errors
    /// [`SketchError::ShapeMismatch`] where the parameters differ; nothing is changed then.
    fn merge(&mut self, other: &Self) -> Result<(), SketchError>;
}
