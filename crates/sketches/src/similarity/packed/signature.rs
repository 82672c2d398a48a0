//! The lowest bits of the minima, packed into words.

use alloc::{boxed::Box, vec};

use crate::{
    error::{SketchError, check_seeds},
    similarity::{Scheme, Signature},
};

pub(super) const NAME: &str = "packed signature";

/// The lowest 1, 2, 4, 8 or 16 bits of each minimum of a [`Signature`].
///
/// Minima of unlike elements agree in `b` bits by chance once in `2^b`; the estimate takes that
/// out. Its standard error is `sqrt(E (1 - E) / k) / (1 - 2^-b)`, where `E = J + (1 - J) / 2^b` is
/// the expected share of agreements: with one bit and `J = 0.5`, 1.73 times that of the whole
/// signature at a thirty-second of the bytes, and with 8 bits 1.006 times it at a quarter.
///
/// Packed signatures compare, and do not merge: the lowest bits do not tell which minimum is less.
///
/// Source: Li, Koenig, "b-bit minwise hashing", WWW 2010, in the limit of large sets.
///
/// ```
/// use sketches::{MinHash, similarity::PackedSignature};
/// let (mut a, mut b) = (MinHash::new(1024, 0)?, MinHash::new(1024, 0)?);
/// a.extend(0..1000_u32);
/// b.extend(200..1200_u32);
/// let (a, b) = (PackedSignature::new(&a.signature(), 2)?, PackedSignature::new(&b.signature(), 2)?);
/// assert_eq!(a.to_bytes().len(), 24 + 6 + 256);
/// assert!((a.jaccard(&b)? - 2.0 / 3.0).abs() < 0.07);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackedSignature {
    pub(super) scheme: Scheme,
    pub(super) seed: u64,
    pub(super) bits: u32,
    pub(super) permutations: usize,
    /// Minimum `i` is the bits from `i * bits` on, least significant first; the rest is zero.
    pub(super) words: Box<[u64]>,
}

impl PackedSignature {
    /// Keeps `bits` bits of each minimum.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where `bits` is not 1, 2, 4, 8 or 16.
    pub fn new(signature: &Signature, bits: u32) -> Result<Self, SketchError> {
        if !is_width(bits) {
            return Err(SketchError::parameter(
                NAME,
                "bits",
                bits,
                "1, 2, 4, 8 or 16",
            ));
        }
        let minima = signature.minima();
        let mask = (1_u64 << bits) - 1;
        let mut words = vec![0_u64; words_for(minima.len(), bits)].into_boxed_slice();
        let per_word = (64 / bits) as usize;
        for (word, minima) in words.iter_mut().zip(minima.chunks(per_word)) {
            for minimum in minima.iter().rev() {
                *word = (*word << bits) | (u64::from(*minimum) & mask);
            }
        }
        Ok(Self {
            scheme: signature.scheme(),
            seed: signature.seed(),
            bits,
            permutations: minima.len(),
            words,
        })
    }

    /// Estimated Jaccard similarity of the two sets, 0 to 1.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`] or [`SketchError::ShapeMismatch`] where they do not compare.
    #[expect(clippy::cast_precision_loss, reason = "at most 4096")]
    pub fn jaccard(&self, other: &Self) -> Result<f64, SketchError> {
        check_seeds(NAME, self.seed, other.seed)?;
        for (name, left, right) in [
            ("permutations", self.permutations, other.permutations),
            ("bits", self.bits as usize, other.bits as usize),
        ] {
            if left != right {
                return Err(SketchError::shape(NAME, name, left, right));
            }
        }
        if self.scheme != other.scheme {
            let (left, right) = (self.scheme.name(), other.scheme.name());
            return Err(SketchError::shape(NAME, "scheme", left, right));
        }
        let differing = self.words.iter().zip(&other.words);
        let differing: u32 = differing.map(|(a, b)| fields_set(a ^ b, self.bits)).sum();
        let share = 1.0 - f64::from(differing) / self.permutations as f64;
        let by_chance = 1.0 / (1_u64 << self.bits) as f64;
        Ok(((share - by_chance) / (1.0 - by_chance)).max(0.0))
    }

    /// Bits kept of each minimum.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// Number of minima.
    #[must_use]
    pub const fn permutations(&self) -> usize {
        self.permutations
    }

    /// Hash seed of the set.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How the minima were made.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Bytes of memory in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 8 * self.words.len()
    }
}

pub(super) const fn is_width(bits: u32) -> bool {
    matches!(bits, 1 | 2 | 4 | 8 | 16)
}

pub(super) const fn words_for(minima: usize, bits: u32) -> usize {
    minima.div_ceil((64 / bits) as usize)
}

/// How many fields of `bits` bits are not zero.
fn fields_set(mut word: u64, bits: u32) -> u32 {
    // Folds each field onto its lowest bit; shifts stay inside a field of that width.
    let mut width = bits / 2;
    while width > 0 {
        word |= word >> width;
        width /= 2;
    }
    (word & (u64::MAX / ((1 << bits) - 1))).count_ones()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;

    #[test]
    fn fields_are_counted_one_by_one() {
        for bits in [1, 2, 4, 8, 16] {
            for at in 0..2000 {
                // Sparse words, so that zero fields are common.
                let word = split_mix(1, at) & split_mix(2, at) & split_mix(3, at);
                let fields =
                    (0..64 / bits).map(|field| (word >> (field * bits)) & ((1 << bits) - 1));
                let expected = fields.filter(|field| *field != 0).count();
                assert_eq!(
                    fields_set(word, bits) as usize,
                    expected,
                    "{bits} {word:#x}"
                );
            }
        }
    }
}
