//! Bytes of a [`Signature`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::vec::Vec;

use super::{permutation::PERMUTATIONS_MAX, scheme::Scheme, signature::Signature, sketch::MinHash};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
};

impl Signature {
    /// Encodes the signature: 28 bytes and 4 for each permutation.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(family_of(self.scheme), self.seed, 4 + 4 * self.minima.len());
        writer.u32(u32::try_from(self.minima.len()).unwrap_or(u32::MAX));
        for minimum in &self.minima {
            writer.u32(*minimum);
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, of either scheme.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        match Self::read(bytes, Scheme::Permutations) {
            Err(SketchError::Family { found, .. }) if found == Family::OnePermutation as u8 => {
                Self::read(bytes, Scheme::OnePermutation)
            }
            other => other,
        }
    }

    /// Reads a signature of one scheme.
    pub(in crate::similarity) fn read(bytes: &[u8], scheme: Scheme) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, family_of(scheme))?;
        let len = reader.count("permutations", 1..=PERMUTATIONS_MAX, 4, "1 to 4096")?;
        let mut minima = Vec::with_capacity(len);
        for _ in 0..len {
            minima.push(reader.u32("minimum")?);
        }
        reader.finish()?;
        Ok(Self {
            scheme,
            seed,
            minima: minima.into_boxed_slice(),
        })
    }
}

impl MinHash {
    /// Encodes the sketch in the format of its [`Signature`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signature_ref().to_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) or [`Signature::to_bytes`] wrote.
    ///
    /// # Errors
    /// As for [`Signature::from_bytes`], and [`SketchError::Family`] for a signature of
    /// [`OnePermutation`](crate::similarity::OnePermutation).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        Signature::read(bytes, Scheme::Permutations).map(Self::of_permutations)
    }
}

const fn family_of(scheme: Scheme) -> Family {
    match scheme {
        Scheme::Permutations => Family::MinHash,
        Scheme::OnePermutation => Family::OnePermutation,
    }
}

serde_through_bytes!(Signature);
serde_through_bytes!(MinHash);
