//! Similarity signatures; the edge to `sketches`' MinHash.

use crate::error::VaultError;

/// Hashed minima per signature: the standard error of an estimate is at most 0.045.
pub(crate) const PERMUTATIONS: usize = 128;
/// Tokens per shingle: order within four tokens counts, longer order does not.
const SHINGLE_TOKENS: usize = 4;

/// A MinHash signature of a token sequence: estimates how many runs of four tokens two sequences
/// share.
///
/// ```
/// use sigma_vault::Signature;
///
/// let a: Vec<u32> = (0..1000).collect();
/// let b: Vec<u32> = (100..1100).collect();
/// let similarity = Signature::of_tokens(&a)?.similarity(&Signature::of_tokens(&b)?)?;
/// assert!((similarity - 0.82).abs() < 0.2);
/// # Ok::<(), sigma_vault::VaultError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(sketches::Signature);

impl Signature {
    /// The signature of a token sequence: 128 permutations over the set of its runs of four tokens
    /// (of the whole sequence, where it is shorter).
    ///
    /// Cost: O(128 n) time.
    ///
    /// # Errors
    /// None at present; the type leaves room for other signatures.
    ///
    /// # Source
    /// Broder, "On the resemblance and containment of documents", 1997.
    pub fn of_tokens(tokens: &[u32]) -> Result<Self, VaultError> {
        let mut sketch = sketches::MinHash::new(PERMUTATIONS, sketches::hash::DEFAULT_SEED)
            .map_err(|error| similarity_error("make a signature", error))?;
        let mut bytes = Vec::with_capacity(SHINGLE_TOKENS * 4);
        let whole = tokens.len() < SHINGLE_TOKENS && !tokens.is_empty();
        let shingles = tokens
            .windows(SHINGLE_TOKENS)
            .chain(whole.then_some(tokens));
        for shingle in shingles {
            bytes.clear();
            bytes.extend(shingle.iter().flat_map(|token| token.to_le_bytes()));
            sketch.insert_hash(sketches::hash::hash_bytes(
                &bytes,
                sketches::hash::DEFAULT_SEED,
            ));
        }
        Ok(Self(sketch.into_signature()))
    }

    /// The estimated Jaccard similarity, 0 to 1.
    ///
    /// # Errors
    /// [`VaultError::Similarity`] when the two are of different kinds (permutations or seed).
    pub fn similarity(&self, other: &Self) -> Result<f64, VaultError> {
        self.0
            .jaccard(&other.0)
            .map_err(|error| similarity_error("compare signatures", error))
    }

    /// The signature as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The signature that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`VaultError::Similarity`] when the bytes are not one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        sketches::Signature::from_bytes(bytes)
            .map(Self)
            .map_err(|error| similarity_error("read a signature", error))
    }

    pub(crate) fn sketch(&self) -> &sketches::Signature {
        &self.0
    }
}

pub(crate) fn similarity_error(
    operation: &'static str,
    error: sketches::SketchError,
) -> VaultError {
    VaultError::Similarity {
        operation,
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identical_disjoint_and_short_sequences() {
        let of = |tokens: &[u32]| Signature::of_tokens(tokens).unwrap();
        let long: Vec<u32> = (0..300).collect();
        let other: Vec<u32> = (1000..1300).collect();
        assert!((of(&long).similarity(&of(&long)).unwrap() - 1.0).abs() < 1e-12);
        assert!(of(&long).similarity(&of(&other)).unwrap() < 0.05);
        assert!((of(&[1, 2]).similarity(&of(&[1, 2])).unwrap() - 1.0).abs() < 1e-12);
        assert!(of(&[1, 2]).similarity(&of(&[2, 1])).unwrap() < 0.05);
    }

    #[test]
    fn bytes_round_trip_and_garbage_is_refused() {
        let signature = Signature::of_tokens(&[5, 6, 7, 8, 9]).unwrap();
        let bytes = signature.to_bytes();
        assert_eq!(Signature::from_bytes(&bytes).unwrap(), signature);
        for length in 0..bytes.len() {
            assert!(Signature::from_bytes(&bytes[..length]).is_err());
        }
    }
}
