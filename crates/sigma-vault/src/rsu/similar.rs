//! What is known of all stored RSUs at once; the edge to `sketches`' LSH index and HyperLogLog.

use std::collections::HashMap;

use sketches::{HyperLogLog, LshIndex};

use super::signature::{PERMUTATIONS, Signature, similarity_error};
use crate::error::VaultError;
use crate::expiry::is_over;

/// Registers as a power of two: a standard error of 0.8 % in 16 KiB.
const DISTINCT_PRECISION: u8 = 14;

/// Signatures of all stored units and the number of different contents; in memory, rebuilt at
/// opening.
#[derive(Debug)]
pub(crate) struct RsuIndex {
    threshold_min: f64,
    lsh: LshIndex<Vec<u8>>,
    distinct: HyperLogLog,
    /// When units expire, of those that do.
    expires_s: HashMap<Vec<u8>, u32>,
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
            expires_s: HashMap::new(),
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
        expires_s: u32,
    ) -> Result<(), VaultError> {
        if expires_s == 0 {
            self.expires_s.remove(id);
        } else {
            self.expires_s.insert(id.to_vec(), expires_s);
        }
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
        self.expires_s.remove(id);
        self.lsh.remove(&id.to_vec());
    }

    /// Whether a unit is to be taken for absent.
    pub(crate) fn is_over(&self, id: &[u8], now_ms: u64) -> bool {
        let expires_s = self.expires_s.get(id).copied();
        expires_s.is_some_and(|expires_s| is_over(expires_s, now_ms))
    }

    pub(crate) fn query(
        &self,
        signature: &Signature,
        threshold: f64,
        now_ms: u64,
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
        found.retain(|(id, similarity)| *similarity >= threshold && !self.is_over(id, now_ms));
        Ok(found)
    }
}
