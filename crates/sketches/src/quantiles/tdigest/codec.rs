//! Bytes of a [`TDigest`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::{clusters::Cluster, sketch::TDigest};
use crate::{
    codec::{Family, Writer, serde_through_bytes},
    error::SketchError,
    quantiles::ends::{Ends, open_unseeded},
};

/// Least bytes of a cluster: the mean and a varint.
const CLUSTER_BYTES_MIN: usize = 9;

impl TDigest {
    /// Encodes the digest, flushed: 56 bytes, and 9 to 18 for each cluster.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut flushed = self.clone();
        flushed.flush();
        let mut writer = Writer::new(Family::TDigest, 0, 32 + 12 * flushed.clusters.len());
        writer.u32(flushed.compression);
        writer.u64(flushed.ignored);
        writer.f64(flushed.min);
        writer.f64(flushed.max);
        writer.u32(u32::try_from(flushed.clusters.len()).unwrap_or(u32::MAX));
        for cluster in &flushed.clusters {
            writer.f64(cluster.mean);
            writer.varint(cluster.weight);
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut reader = open_unseeded(bytes, Family::TDigest)?;
        let at = reader.offset();
        let compression = reader.u32("compression")?;
        let Ok(mut digest) = Self::new(compression) else {
            let value = format!("{compression}");
            return Err(reader.bad_field("compression", at, value, "20 to 10000"));
        };
        digest.ignored = reader.u64("ignored")?;
        let ends = Ends::read(&mut reader)?;
        (digest.min, digest.max) = (ends.min, ends.max);
        // A merge may leave clusters that the limit would join; twice as many are never written.
        let most = usize::try_from(compression).unwrap_or(usize::MAX) * 2;
        let allowed = "at most twice the compression";
        let len = reader.count("clusters", 0..=most, CLUSTER_BYTES_MIN, allowed)?;
        digest.clusters = Vec::with_capacity(len);
        for _ in 0..len {
            let at = reader.offset();
            let cluster = Cluster {
                mean: reader.f64("mean")?,
                weight: reader.varint("weight")?,
            };
            let least = digest.clusters.last().map_or(digest.min, |last| last.mean);
            let inside = cluster.mean >= least && cluster.mean <= digest.max;
            let sum = digest.clustered.checked_add(cluster.weight);
            let (true, Some(sum), 1..) = (inside, sum, cluster.weight) else {
                let value = format!("{} times {}", cluster.weight, cluster.mean);
                let allowed = "ascending between least and greatest, weights that sum below 2^64";
                return Err(reader.bad_field("cluster", at, value, allowed));
            };
            digest.clustered = sum;
            digest.clusters.push(cluster);
        }
        ends.check(&reader, len == 0)?;
        reader.finish()?;
        Ok(digest)
    }
}

serde_through_bytes!(TDigest);
