//! The search for a base.

use std::collections::{HashMap, VecDeque};

use sketches::Signature;

use super::prefix::PrefixIndex;
use super::similar::SimilarIndex;
use crate::error::SigmaError;

/// Settings of a [`BaseFinder`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BaseFinderConfig {
    /// Jaccard similarity from which a base counts as similar. Default 0.3, legal 0.05..=1.
    pub similarity_min: f64,
    /// Bases kept; the oldest goes when one more comes. Default 65,536, legal 1..=16,777,216.
    pub bases_max: usize,
    /// Block of the prefix search in bytes: shorter common prefixes are not seen, and each block of
    /// a base costs about 24 bytes of memory. Default 1024, legal 64..=1,048,576.
    pub prefix_block_bytes: usize,
}

impl Default for BaseFinderConfig {
    fn default() -> Self {
        BaseFinderConfig {
            similarity_min: 0.3,
            bases_max: 65_536,
            prefix_block_bytes: 1024,
        }
    }
}

impl BaseFinderConfig {
    /// The defaults.
    pub fn new() -> Self {
        BaseFinderConfig::default()
    }

    /// Sets [`BaseFinderConfig::similarity_min`].
    pub fn similarity_min(mut self, similarity: f64) -> Self {
        self.similarity_min = similarity;
        self
    }

    /// Sets [`BaseFinderConfig::bases_max`].
    pub fn bases_max(mut self, bases: usize) -> Self {
        self.bases_max = bases;
        self
    }

    /// Sets [`BaseFinderConfig::prefix_block_bytes`].
    pub fn prefix_block_bytes(mut self, bytes: usize) -> Self {
        self.prefix_block_bytes = bytes;
        self
    }

    fn validate(&self) -> Result<(), SigmaError> {
        let invalid = |name, value: usize, allowed| SigmaError::InvalidConfig {
            name,
            value: i64::try_from(value).unwrap_or(i64::MAX),
            allowed,
        };
        if !(0.05..=1.0).contains(&self.similarity_min) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "thousandths for the message; a cast saturates"
            )]
            let value = (self.similarity_min * 1000.0) as i64;
            let (name, allowed) = ("similarity_min in thousandths", "50..=1000");
            return Err(SigmaError::InvalidConfig {
                name,
                value,
                allowed,
            });
        }
        if !(1..=1 << 24).contains(&self.bases_max) {
            return Err(invalid("bases_max", self.bases_max, "1..=16777216 bases"));
        }
        if !(64..=1 << 20).contains(&self.prefix_block_bytes) {
            let allowed = "64..=1048576 bytes";
            return Err(invalid(
                "prefix_block_bytes",
                self.prefix_block_bytes,
                allowed,
            ));
        }
        Ok(())
    }
}

/// Which base to use, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum BaseMatch {
    /// The data begins with the first `bytes` bytes of this base (a hash says so), at least.
    Prefix {
        /// Id given at insertion.
        id: u64,
        /// Length of the common prefix in whole blocks.
        bytes: u64,
    },
    /// The data shares parts with this base.
    Similar {
        /// Id given at insertion.
        id: u64,
        /// Estimated Jaccard similarity of the sampled shingles, to this base or to the one that it
        /// grew from.
        similarity: f64,
    },
}

impl BaseMatch {
    /// Id given at insertion.
    pub fn id(&self) -> u64 {
        match self {
            BaseMatch::Prefix { id, .. } | BaseMatch::Similar { id, .. } => *id,
        }
    }
}

/// Finds the base to compress new data against, among earlier data known by id. Keeps no copy of
/// the bases.
///
/// A base that shares at least half of the data as its exact start is taken at once (the grown
/// context). Otherwise the most similar base by MinHash is taken, or else a shorter common start.
/// The caller fetches the base by id and verifies nothing: a poor base costs size, not correctness.
///
/// Cost: `find` makes one pass of XXH3 for the prefixes and, where that does not settle it, one pass
/// of a rolling hash with a MinHash insertion (one permutation, 128 bins) per 16 bytes. `insert` makes
/// the first, and the second only where the base has not grown from a known one: what grows by
/// less than half shares the signature of what it grew from.
///
/// ```
/// use sigma_lang::{BaseFinder, BaseFinderConfig, BaseMatch, Config, compress_with_base};
/// let turn: Vec<u8> = (0..4_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
/// let mut finder = BaseFinder::new(BaseFinderConfig::new())?;
/// finder.insert(7, &turn)?;
///
/// let grown = [turn.as_slice(), b"and one more turn"].concat();
/// let found = finder.find(&grown)?;
/// assert!(matches!(found, Some(BaseMatch::Prefix { id: 7, bytes: 15_360 })));
/// let packed = compress_with_base(&turn, &grown, &Config::new())?;
/// assert!(packed.len() < 200);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
#[derive(Debug)]
pub struct BaseFinder {
    bases_max: usize,
    prefixes: PrefixIndex,
    similar: SimilarIndex,
    known: HashMap<u64, Known>,
    /// Bases that grew from one another and share a signature, by the number of the first.
    lineages: HashMap<u64, Lineage>,
    /// Ids in the order of insertion; an entry whose number is not that of `known` is out of date.
    order: VecDeque<(u64, u64)>,
    inserted: u64,
}

/// A base.
#[derive(Debug)]
struct Known {
    /// Number in the order of insertion.
    number: u64,
    /// Hashes of its prefixes.
    hashes: Vec<u64>,
    lineage: u64,
}

#[derive(Debug)]
struct Lineage {
    /// Length of the base that the signature is of.
    sketched_bytes: usize,
    /// Oldest first.
    members: Vec<u64>,
}

impl BaseFinder {
    /// An empty finder.
    ///
    /// # Errors
    /// [`SigmaError::InvalidConfig`] names the setting that is out of range.
    pub fn new(config: BaseFinderConfig) -> Result<BaseFinder, SigmaError> {
        config.validate()?;
        Ok(BaseFinder {
            bases_max: config.bases_max,
            prefixes: PrefixIndex::new(config.prefix_block_bytes),
            similar: SimilarIndex::new(config.similarity_min)?,
            known: HashMap::new(),
            lineages: HashMap::new(),
            order: VecDeque::new(),
            inserted: 0,
        })
    }

    /// Makes `base` known under `id`, in place of an earlier one of this id. Gives the id of the
    /// base that had to go to make room, if any.
    ///
    /// # Errors
    /// [`SigmaError::SimilarityFailed`] should the index refuse; then the base is not known.
    pub fn insert(&mut self, id: u64, base: &[u8]) -> Result<Option<u64>, SigmaError> {
        self.remove(id);
        let hashes = self.prefixes.hashes(base);
        self.insert_hashed(id, base, hashes, None)
    }

    /// The best base for `data`, as [`find`](BaseFinder::find) gives it, and then `data` made known under
    /// `id`, as [`insert`](BaseFinder::insert) does, in one pass over the data where two calls make two: for
    /// contexts that come one after the other. What `id` stood for before is forgotten first. Gives the base, and
    /// the id of the base that had to go to make room.
    ///
    /// ```
    /// use sigma_lang::{BaseFinder, BaseFinderConfig};
    /// let mut finder = BaseFinder::new(BaseFinderConfig::new())?;
    /// let turn = "a line of the conversation\n".repeat(100);
    /// let (found, _) = finder.find_and_insert(1, turn.as_bytes())?;
    /// assert!(found.is_none());
    /// let grown = turn + "one more turn";
    /// let (found, _) = finder.find_and_insert(2, grown.as_bytes())?;
    /// assert_eq!(found.map(|found| found.id()), Some(1));
    /// # Ok::<(), sigma_lang::SigmaError>(())
    /// ```
    ///
    /// # Errors
    /// [`SigmaError::SimilarityFailed`] should the index refuse; then the data is not known.
    pub fn find_and_insert(
        &mut self,
        id: u64,
        data: &[u8],
    ) -> Result<(Option<BaseMatch>, Option<u64>), SigmaError> {
        self.remove(id);
        let hashes = self.prefixes.hashes(data);
        let (found, signature) = self.find_hashed(data, &hashes)?;
        let gone = self.insert_hashed(id, data, hashes, signature)?;
        Ok((found, gone))
    }

    /// Makes a base known, whose id is not, with the hashes of its prefixes and, if it was made, its
    /// signature.
    fn insert_hashed(
        &mut self,
        id: u64,
        base: &[u8],
        hashes: Vec<u64>,
        signature: Option<Signature>,
    ) -> Result<Option<u64>, SigmaError> {
        let number = self.inserted + 1;
        let lineage = match self.lineage_of(base.len(), &hashes) {
            Some(lineage) => lineage,
            None => {
                let signature = match signature {
                    Some(signature) => Some(signature),
                    None => self.similar.signature(base)?,
                };
                if let Some(signature) = signature {
                    self.similar.insert(number, signature)?;
                }
                let sketched_bytes = base.len();
                let members = Vec::new();
                self.lineages.insert(
                    number,
                    Lineage {
                        sketched_bytes,
                        members,
                    },
                );
                number
            }
        };
        if let Some(lineage) = self.lineages.get_mut(&lineage) {
            lineage.members.push(id);
        }
        self.prefixes.insert(id, &hashes);
        self.inserted = number;
        let known = Known {
            number,
            hashes,
            lineage,
        };
        self.known.insert(id, known);
        self.order.push_back((number, id));
        if self.known.len() <= self.bases_max {
            return Ok(None);
        }
        let oldest = self.oldest();
        if let Some(oldest) = oldest {
            self.remove(oldest);
        }
        Ok(oldest)
    }

    /// Forgets a base. False if it was not known.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(gone) = self.known.remove(&id) else {
            return false;
        };
        self.prefixes.remove(id, &gone.hashes);
        if let Some(lineage) = self.lineages.get_mut(&gone.lineage) {
            lineage.members.retain(|member| *member != id);
            if lineage.members.is_empty() {
                self.lineages.remove(&gone.lineage);
                self.similar.remove(gone.lineage);
            }
        }
        // Out-of-date entries must not pile up where bases are removed as often as inserted.
        if self.order.len() > 2 * self.known.len() + 16 {
            let known = &self.known;
            self.order
                .retain(|(number, id)| known.get(id).is_some_and(|now| now.number == *number));
        }
        true
    }

    /// The best base for `data`, if any is worth it.
    ///
    /// # Errors
    /// [`SigmaError::SimilarityFailed`] should the index refuse.
    pub fn find(&self, data: &[u8]) -> Result<Option<BaseMatch>, SigmaError> {
        let hashes = self.prefixes.hashes(data);
        self.find_hashed(data, &hashes).map(|(found, _)| found)
    }

    /// The best base, and the signature of the data if it had to be made.
    fn find_hashed(
        &self,
        data: &[u8],
        hashes: &[u64],
    ) -> Result<(Option<BaseMatch>, Option<Signature>), SigmaError> {
        let prefix = self.prefixes.find(hashes);
        let as_prefix = |(id, bytes)| BaseMatch::Prefix { id, bytes };
        if let Some((_, bytes)) = prefix
            && bytes >= data.len() as u64 / 2
        {
            return Ok((prefix.map(as_prefix), None));
        }
        let signature = self.similar.signature(data)?;
        let similar = match &signature {
            Some(signature) => self.similar.find(signature)?,
            None => None,
        };
        let as_similar = |(lineage, similarity)| {
            let id = *self.lineages.get(&lineage)?.members.last()?;
            Some(BaseMatch::Similar { id, similarity })
        };
        let found = similar.and_then(as_similar).or(prefix.map(as_prefix));
        Ok((found, signature))
    }

    /// Number of bases known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The lineage that a base of `bytes` bytes with these prefixes belongs to: that of the base which
    /// it begins with for two thirds, unless it has outgrown the lineage's signature by half.
    fn lineage_of(&self, bytes: usize, hashes: &[u64]) -> Option<u64> {
        let (ancestor, common) = self.prefixes.find(hashes)?;
        let lineage = self.known.get(&ancestor)?.lineage;
        let sketched_bytes = self.lineages.get(&lineage)?.sketched_bytes;
        let grown = 3 * common >= 2 * bytes as u64;
        let alike = 2 * bytes <= 3 * sketched_bytes && 2 * sketched_bytes <= 3 * bytes;
        (grown && alike).then_some(lineage)
    }

    fn oldest(&mut self) -> Option<u64> {
        while let Some((number, id)) = self.order.pop_front() {
            if self.known.get(&id).is_some_and(|now| now.number == number) {
                return Some(id);
            }
        }
        None
    }
}
