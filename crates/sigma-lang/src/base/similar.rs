//! Shared parts anywhere: MinHash over content-defined shingles, found by locality-sensitive
//! hashing.

use sketches::{LshIndex, MinHash, Signature, SketchError};

use crate::error::SigmaError;

/// Permutations of a signature: a standard error of at most 0.044 in the similarity.
const PERMUTATIONS: usize = 128;
/// Bits of the rolling hash that must be zero: one shingle in 16 positions.
const SAMPLE_MASK: u64 = 0xF << 28;

/// One pseudo-random word per byte value, for the rolling hash. In memory only, so not part of any
/// format.
const GEAR: [u64; 256] = gear();

const fn gear() -> [u64; 256] {
    let mut table = [0; 256];
    let mut state = 0u64;
    let mut index = 0;
    while index < 256 {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        #[expect(clippy::indexing_slicing, reason = "the index is below 256")]
        {
            table[index] = mix(state);
        }
        index += 1;
    }
    table
}

/// The finaliser of splitmix64.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Signatures of the bases.
#[derive(Debug)]
pub(super) struct SimilarIndex {
    index: LshIndex<u64>,
    seed: u64,
}

impl SimilarIndex {
    pub(super) fn new(similarity_min: f64) -> Result<Self, SigmaError> {
        let seed = sketches::hash::DEFAULT_SEED;
        let index =
            LshIndex::with_seed(similarity_min, PERMUTATIONS, seed).map_err(failed("start"))?;
        Ok(SimilarIndex { index, seed })
    }

    pub(super) fn insert(&mut self, id: u64, base: &[u8]) -> Result<(), SigmaError> {
        if let Some(signature) = self.signature(base)? {
            self.index
                .insert(id, signature)
                .map_err(failed("insert a base"))?;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.index.remove(&id);
    }

    /// The most similar base: id and estimated similarity.
    pub(super) fn find(&self, data: &[u8]) -> Result<Option<(u64, f64)>, SigmaError> {
        let Some(signature) = self.signature(data)? else {
            return Ok(None);
        };
        let found = self
            .index
            .query(&signature)
            .map_err(failed("find a base"))?;
        Ok(found.first().copied())
    }

    /// Signature of the set of sampled shingles; `None` for data without any.
    fn signature(&self, data: &[u8]) -> Result<Option<Signature>, SigmaError> {
        let mut sketch =
            MinHash::new(PERMUTATIONS, self.seed).map_err(failed("make a signature"))?;
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
        let word = GEAR.get(usize::from(*byte)).copied().unwrap_or_default();
        rolling = (rolling << 1).wrapping_add(word);
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
