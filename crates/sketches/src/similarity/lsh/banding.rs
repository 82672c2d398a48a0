//! Bands and rows of an LSH index, derived from its threshold.

use crate::error::SketchError;

/// How the permutations of a signature are cut into bands.
///
/// ```
/// use sketches::similarity::Banding;
/// let banding = Banding::for_threshold(0.8, 128)?;
/// assert_eq!((banding.bands(), banding.rows()), (16, 8));
/// assert!(banding.candidate_probability(0.8) > 0.94);
/// assert!(banding.candidate_probability(0.4) < 0.02);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Banding {
    bands: usize,
    rows: usize,
}

impl Banding {
    /// Probability with which a pair exactly at the threshold has to become a candidate.
    pub const RECALL_AT_THRESHOLD: f64 = 0.9;

    /// The banding with the most rows, hence the fewest false candidates, under which a pair
    /// exactly at the threshold is a candidate with probability 0.9 or more; single rows where no
    /// banding reaches that (thresholds below `1 - 0.1^(1 / permutations)`, 0.018 for 128).
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the threshold is not above 0 and at most 1, or
    /// `permutations` is outside 1 to 4,096.
    pub fn for_threshold(threshold: f64, permutations: usize) -> Result<Self, SketchError> {
        crate::similarity::minhash::check_permutations("lsh index", permutations)?;
        if !(threshold > 0.0 && threshold <= 1.0) {
            let allowed = "above 0 and at most 1";
            return Err(SketchError::parameter(
                "lsh index",
                "threshold",
                threshold,
                allowed,
            ));
        }
        let best = (1..=permutations)
            .rev()
            .map(|rows| Self {
                bands: permutations / rows,
                rows,
            })
            .find(|cut| cut.candidate_probability(threshold) >= Self::RECALL_AT_THRESHOLD);
        Ok(best.unwrap_or(Self {
            bands: permutations,
            rows: 1,
        }))
    }

    /// Number of bands.
    #[must_use]
    pub const fn bands(&self) -> usize {
        self.bands
    }

    /// Rows (permutations) in each band.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Probability that two sets of this Jaccard similarity become candidates:
    /// `1 - (1 - similarity^rows)^bands`.
    #[must_use]
    pub fn candidate_probability(&self, similarity: f64) -> f64 {
        let band_differs = 1.0 - integer_power(similarity, self.rows);
        1.0 - integer_power(band_differs, self.bands)
    }
}

fn integer_power(base: f64, exponent: usize) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_keeps_its_recall_and_one_more_row_would_lose_it() {
        for permutations in [16, 64, 128, 256] {
            for threshold in [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95] {
                let cut = Banding::for_threshold(threshold, permutations).unwrap();
                assert!(cut.bands * cut.rows <= permutations);
                assert!(cut.candidate_probability(threshold) >= 0.9 || cut.rows == 1);
                let rows = cut.rows + 1;
                let next = Banding {
                    bands: permutations / rows,
                    rows,
                };
                assert!(next.candidate_probability(threshold) < 0.9);
            }
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let exact = Banding::for_threshold(1.0, 128).unwrap();
        assert_eq!((exact.bands, exact.rows), (1, 128));
        let loose = Banding::for_threshold(0.001, 128).unwrap();
        assert_eq!((loose.bands, loose.rows), (128, 1));
    }

    #[test]
    fn powers_are_right() {
        assert_eq!(integer_power(0.5, 10), 1.0 / 1024.0);
        assert_eq!(integer_power(0.3, 0), 1.0);
        assert!((integer_power(0.9, 37) - 0.9_f64.powi(37)).abs() < 1e-15);
    }
}
