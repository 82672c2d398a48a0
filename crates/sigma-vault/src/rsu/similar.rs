//! What is known of all stored RSUs at once; the edge to `sketches`' LSH index and HyperLogLog.

use sketches::{HyperLogLog, LshIndex};

use super::signature::{PERMUTATIONS, Signature, similarity_error};
use crate::error::VaultError;

/// Registers as a power of two: a standard error of 0.8 % in 16 KiB.
const DISTINCT_PRECISION: u8 = 14;

/// Signatures of all stored units and the number of different contents; in memory, rebuilt at
/// opening.
#[derive(Debug)]
pub(crate) struct RsuIndex {
    threshold_min: f64,
    lsh: LshIndex<Vec<u8>>,
    distinct: HyperLogLog,
}

impl RsuIndex {
    pub(crate) fn new(threshold_min: f64) -> Result<Self, VaultError> {
        let lsh = LshIndex::new(threshold_min, PERMUTATIONS)
            .map_err(|error| similarity_error("make the index", error))?;
        let distinct = HyperLogLog::new(DISTINCT_PRECISION)
            .map_err(|error| similarity_error("make the counter", error))?;
        Ok(Self {
            threshold_min,
            lsh,
            distinct,
        })
    }

    /// Refuses a signature that could not be inserted, before anything is written.
    pub(crate) fn check(&self, signature: &Signature) -> Result<(), VaultError> {
        self.lsh
            .query(signature.sketch())
            .map(|_| ())
            .map_err(|error| similarity_error("check a signature", error))
    }

    pub(crate) fn insert(
        &mut self,
        id: &[u8],
        signature: &Signature,
        tokens: &[u32],
    ) -> Result<(), VaultError> {
        self.distinct.insert(tokens);
        self.lsh
            .insert(id.to_vec(), signature.sketch().clone())
            .map(|_| ())
            .map_err(|error| similarity_error("insert", error))
    }

    pub(crate) fn distinct(&self) -> f64 {
        self.distinct.estimate()
    }

    pub(crate) fn remove(&mut self, id: &[u8]) {
        self.lsh.remove(&id.to_vec());
    }

    pub(crate) fn query(
        &self,
        signature: &Signature,
        threshold: f64,
    ) -> Result<Vec<(Vec<u8>, f64)>, VaultError> {
        if !(threshold >= self.threshold_min && threshold <= 1.0) {
            return Err(VaultError::InvalidArgument {
                name: "threshold",
                value: threshold.to_string(),
                allowed: "from the option similarity_threshold_min to 1 is allowed",
            });
        }
        let mut found = self
            .lsh
            .query(signature.sketch())
            .map_err(|error| similarity_error("query", error))?;
        found.retain(|(_, similarity)| *similarity >= threshold);
        Ok(found)
    }
}
