//! Shared parts anywhere: MinHash over content-defined shingles, found by locality-sensitive
//! hashing.

use sketches::similarity::{OnePermutation, Scheme};
use sketches::{LshIndex, Signature, SketchError};

use crate::error::SigmaError;
use crate::gear::{mix, roll};

/// Bins of a signature: a standard error of about 0.044 in the similarity.
const BINS: usize = 128;
/// Bits of the rolling hash that must be zero: one shingle in 16 positions.
const SAMPLE_MASK: u64 = 0xF << 28;

/// Signatures of the bases.
#[derive(Debug)]
pub(super) struct SimilarIndex {
    index: LshIndex<u64>,
    seed: u64,
}

impl SimilarIndex {
    pub(super) fn new(similarity_min: f64) -> Result<Self, SigmaError> {
        let seed = sketches::hash::DEFAULT_SEED;
        let index = LshIndex::with_seed(similarity_min, BINS, seed)
            .and_then(|index| index.with_scheme(Scheme::OnePermutation))
            .map_err(failed("start"))?;
        Ok(SimilarIndex { index, seed })
    }

    pub(super) fn insert(&mut self, id: u64, signature: Signature) -> Result<(), SigmaError> {
        self.index
            .insert(id, signature)
            .map(|_| ())
            .map_err(failed("insert a base"))
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.index.remove(&id);
    }

    /// The most similar base: id and estimated similarity.
    pub(super) fn find(&self, signature: &Signature) -> Result<Option<(u64, f64)>, SigmaError> {
        let found = self.index.query(signature).map_err(failed("find a base"))?;
        Ok(found.first().copied())
    }

    /// Signature of the set of sampled shingles; `None` for data without any.
    pub(super) fn signature(&self, data: &[u8]) -> Result<Option<Signature>, SigmaError> {
        let mut sketch =
            OnePermutation::new(BINS, self.seed).map_err(failed("make a signature"))?;
        for_each_shingle(data, |hash| sketch.insert_hash(hash));
        Ok((!sketch.is_empty()).then(|| sketch.into_signature()))
    }
}

/// Gives the hash of the 32 bytes before each position that the bytes themselves select, so that
/// equal parts select equal shingles wherever they stand. About one position in 16.
///
/// # Source
/// Gear hash of FastCDC (Xia et al., USENIX ATC 2016), used for sampling instead of chunking.
fn for_each_shingle(data: &[u8], mut take: impl FnMut(u64)) {
    let mut rolling = 0u64;
    let mut previous = None;
    for byte in data {
        rolling = roll(rolling, *byte);
        if rolling & SAMPLE_MASK == 0 {
            // The low 32 bits hold the last 32 bytes and nothing older.
            let shingle = rolling & 0xFFFF_FFFF;
            if previous != Some(shingle) {
                take(mix(shingle));
                previous = Some(shingle);
            }
        }
    }
}

fn failed(operation: &'static str) -> impl Fn(SketchError) -> SigmaError {
    move |source| SigmaError::SimilarityFailed {
        operation,
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shingles_do_not_depend_on_position() {
        let part: Vec<u8> = (0..2000u32)
            .flat_map(|n| mix(u64::from(n)).to_le_bytes())
            .collect();
        let shingles = |data: &[u8]| {
            let mut all = Vec::new();
            for_each_shingle(data, |hash| all.push(hash));
            all
        };
        let alone = shingles(&part);
        let shifted = shingles(&[&b"some bytes in front"[..], &part].concat());
        assert!(alone.len() > 700 && alone.len() < 1300, "{}", alone.len());
        let common = alone.iter().filter(|hash| shifted.contains(hash)).count();
        assert!(common + 8 >= alone.len(), "{common} of {}", alone.len());
    }
}
