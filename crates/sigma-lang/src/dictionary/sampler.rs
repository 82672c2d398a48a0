//! A fair sample of the records that pass, to train from.

use std::collections::BinaryHeap;

use super::prepared::Dictionary;
use crate::error::SigmaError;

/// Least memory for samples in bytes.
const SAMPLE_BYTES_MIN: usize = 4 << 10;

/// Keeps a uniform sample of all records shown to it, within a bound on memory, and trains
/// dictionaries from it.
///
/// ```
/// use sigma_lang::DictionarySampler;
/// let mut sampler = DictionarySampler::new(1 << 20)?;
/// for n in 0..5_000 {
///     sampler.observe(format!("{{\"agent\":{},\"tokens\":{},\"done\":true}}", n % 9, n * 37).as_bytes());
/// }
/// assert_eq!(sampler.observed(), 5_000);
/// let dictionary = sampler.train(2_048)?;
/// assert!(dictionary.as_bytes().len() <= 2_048);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
///
/// # Source
/// Priority form of reservoir sampling: the records with the smallest random tags are kept (Efraimidis
/// and Spirakis 2006, with equal weights).
#[derive(Debug)]
pub struct DictionarySampler {
    sample_bytes_max: usize,
    sample_bytes: usize,
    /// Random tag and record, a heap with the largest tag on top.
    kept: BinaryHeap<(u64, Vec<u8>)>,
    /// Records with a tag from here on are not taken: one with this tag had to go.
    tag_max: u64,
    observed: u64,
    state: u64,
}

impl DictionarySampler {
    /// A sampler that keeps at most `sample_bytes_max` bytes of records (4 KiB or more; about 100 times
    /// the dictionary is right).
    ///
    /// # Errors
    /// [`SigmaError::InvalidConfig`] below 4 KiB.
    pub fn new(sample_bytes_max: usize) -> Result<DictionarySampler, SigmaError> {
        if sample_bytes_max < SAMPLE_BYTES_MIN {
            return Err(SigmaError::InvalidConfig {
                name: "sample_bytes_max",
                value: i64::try_from(sample_bytes_max).unwrap_or(i64::MAX),
                allowed: "at least 4096 bytes",
            });
        }
        Ok(DictionarySampler {
            sample_bytes_max,
            sample_bytes: 0,
            kept: BinaryHeap::new(),
            tag_max: u64::MAX,
            observed: 0,
            state: 0,
        })
    }

    /// Shows a record. Records longer than a sixteenth of the sample and empty ones are counted and
    /// not kept. Cost: a few nanoseconds for a record that is not taken, a copy for one that is.
    pub fn observe(&mut self, record: &[u8]) {
        self.observed += 1;
        let tag = self.next_tag();
        if tag >= self.tag_max || record.is_empty() || record.len() > self.sample_bytes_max / 16 {
            return;
        }
        self.sample_bytes += record.len();
        self.kept.push((tag, record.to_vec()));
        while self.sample_bytes > self.sample_bytes_max {
            let Some((tag, record)) = self.kept.pop() else {
                return;
            };
            self.sample_bytes -= record.len();
            self.tag_max = tag;
        }
    }

    /// Records shown so far.
    pub fn observed(&self) -> u64 {
        self.observed
    }

    /// Records kept now.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of the records kept now.
    pub fn sample_bytes(&self) -> usize {
        self.sample_bytes
    }

    /// Trains a dictionary of at most `bytes_max` bytes from the records kept, as
    /// [`Dictionary::train`]. The sample stays.
    ///
    /// # Errors
    /// As [`Dictionary::train`].
    pub fn train(&self, bytes_max: usize) -> Result<Dictionary, SigmaError> {
        let samples: Vec<&[u8]> = self
            .kept
            .iter()
            .map(|(_, record)| record.as_slice())
            .collect();
        Dictionary::train(&samples, bytes_max)
    }

    /// Forgets the records kept, for a sample of what comes from now on.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.sample_bytes = 0;
        self.tag_max = u64::MAX;
    }

    /// splitmix64: the same records give the same sample.
    fn next_tag(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_early_and_late_records_alike_within_its_bound() {
        let mut sampler = DictionarySampler::new(64 << 10).unwrap();
        for n in 0..40_000u32 {
            let mut record = [0; 64];
            record[..4].copy_from_slice(&n.to_le_bytes());
            sampler.observe(&record);
            assert!(sampler.sample_bytes() <= 64 << 10);
        }
        sampler.observe(&[]);
        sampler.observe(&[7; 5000]);
        assert_eq!(sampler.observed(), 40_002);
        assert_eq!(sampler.kept(), 1024);
        // 512 expected, standard deviation 16.
        let number = |record: &[u8]| u32::from_le_bytes(record[..4].try_into().unwrap());
        let early = sampler
            .kept
            .iter()
            .filter(|(_, record)| number(record) < 20_000)
            .count();
        assert!((432..592).contains(&early), "{early}");
        assert!(DictionarySampler::new(4095).is_err());
        sampler.clear();
        assert_eq!((sampler.kept(), sampler.sample_bytes()), (0, 0));
    }
}
