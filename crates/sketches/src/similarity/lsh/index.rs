//! The dynamic, verified LSH index.

use alloc::vec::Vec;
use core::hash::Hash;

use super::{banding::Banding, buckets::Buckets};
use crate::{
    error::{SketchError, check_seeds},
    hash::{DEFAULT_SEED, hash_of},
    similarity::{Scheme, Signature},
    slot_table::SlotTable,
};

const NAME: &str = "lsh index";

/// Finds the stored signatures that are similar to a given one, without comparing all of them.
///
/// Every answer is verified: it carries the estimated Jaccard similarity, which is at or above the
/// threshold. A stored signature whose similarity is exactly the threshold is found with
/// probability 0.9 or more, a more similar one with a higher probability; see [`Banding`].
///
/// Signatures must have the seed and the number of permutations of the index. Ids may come and go
/// in any order; answers do not depend on the platform.
///
/// Cost: insert O(bands); remove the same and the buckets it is in; query O(bands) and one
/// comparison for each candidate. Memory: the signature and the id, and 12 to 24 bytes for each
/// band of a signature; see [`memory_bytes`](Self::memory_bytes).
///
/// ```
/// use sketches::{LshIndex, MinHash};
///
/// let signature = |range: core::ops::Range<u32>| {
///     let mut set = MinHash::default();
///     set.extend(range);
///     set.into_signature()
/// };
/// let mut index = LshIndex::new(0.7, 128)?;
/// index.insert("a", signature(0..1000))?;
/// index.insert("b", signature(5000..6000))?;
/// let near = index.query(&signature(20..1020))?;
/// assert_eq!(near.len(), 1);
/// assert_eq!(near[0].0, "a");
/// assert!(near[0].1 > 0.85);
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LshIndex<Id> {
    threshold: f64,
    permutations: usize,
    seed: u64,
    scheme: Scheme,
    banding: Banding,
    /// Entries by slot; a removed entry leaves a hole that the next insert fills.
    entries: Vec<Option<Entry<Id>>>,
    holes: Vec<u32>,
    /// Slot of each id.
    ids: SlotTable,
    /// Nodes under the tag of each band; the node of a slot in a band is `slot * bands + band`.
    buckets: Buckets,
    /// Number of inserts so far, which orders equal answers.
    inserts: u64,
}

#[derive(Debug, Clone)]
struct Entry<Id> {
    id: Id,
    signature: Signature,
    order: u64,
}

impl<Id: Eq + Hash + Clone> LshIndex<Id> {
    /// Most entries of an index with one or two bands; with more, `2^32 / bands`.
    pub const ENTRIES_MAX: usize = SlotTable::SLOTS_MAX;

    /// An empty index for signatures of the default seed that answers with a similarity of
    /// `threshold` or more.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the threshold is not above 0 and at most 1, or
    /// `permutations` is outside 1 to 4,096.
    pub fn new(threshold: f64, permutations: usize) -> Result<Self, SketchError> {
        Self::with_seed(threshold, permutations, DEFAULT_SEED)
    }

    /// As [`new`](Self::new), for signatures of another seed.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_seed(threshold: f64, permutations: usize, seed: u64) -> Result<Self, SketchError> {
        let banding = Banding::for_threshold(threshold, permutations)?;
        Ok(Self {
            threshold,
            permutations,
            seed,
            scheme: Scheme::Permutations,
            banding,
            entries: Vec::new(),
            holes: Vec::new(),
            ids: SlotTable::new(),
            buckets: Buckets::default(),
            inserts: 0,
        })
    }

    /// Makes the empty index one for signatures of another scheme; the default is that of
    /// [`MinHash`](crate::MinHash).
    ///
    /// # Errors
    /// [`SketchError::ShapeMismatch`] where signatures of another scheme are stored already.
    pub fn with_scheme(mut self, scheme: Scheme) -> Result<Self, SketchError> {
        if !self.is_empty() && self.scheme != scheme {
            let (left, right) = (self.scheme.name(), scheme.name());
            return Err(SketchError::shape(NAME, "scheme", left, right));
        }
        self.scheme = scheme;
        Ok(self)
    }

    /// Stores a signature under an id and returns the one that was stored there before.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`] or [`SketchError::ShapeMismatch`] where the signature is of
    /// another kind than the index; [`SketchError::Full`] at [`ENTRIES_MAX`](Self::ENTRIES_MAX).
    /// Nothing is changed then.
    pub fn insert(
        &mut self,
        id: Id,
        signature: Signature,
    ) -> Result<Option<Signature>, SketchError> {
        self.check_kind(&signature)?;
        let previous = self.remove(&id);
        let bands = self.banding.bands();
        let allowed = Self::ENTRIES_MAX.min(Buckets::NODES_MAX / bands);
        if self.holes.is_empty() && self.entries.len() >= allowed {
            let len = self.entries.len();
            return Err(SketchError::Full {
                sketch: NAME,
                len,
                allowed,
            });
        }
        let slot = self.holes.pop().unwrap_or_else(|| self.new_slot());
        for (tag, node) in nodes_of(self.banding, slot, &signature) {
            self.buckets.insert(tag, node);
        }
        self.ids.insert(hash_of(&id, DEFAULT_SEED), slot);
        if let Some(place) = self.entries.get_mut(slot as usize) {
            *place = Some(Entry {
                id,
                signature,
                order: self.inserts,
            });
        }
        self.inserts += 1;
        Ok(previous)
    }

    /// Removes an id and returns its signature; `None` where it is not stored.
    pub fn remove(&mut self, id: &Id) -> Option<Signature> {
        let hash = hash_of(id, DEFAULT_SEED);
        let entries = &self.entries;
        let is_it = |slot: u32| matches!(entries.get(slot as usize), Some(Some(e)) if e.id == *id);
        let slot = self.ids.remove(hash, is_it)?;
        let entry = self.entries.get_mut(slot as usize)?.take()?;
        self.holes.push(slot);
        for (tag, node) in nodes_of(self.banding, slot, &entry.signature) {
            self.buckets.remove(tag, node);
        }
        Some(entry.signature)
    }

    /// Ids whose similarity to the signature is at or above the threshold, with that similarity,
    /// most similar first; equals in the order of their insertion.
    ///
    /// # Errors
    /// [`SketchError::SeedMismatch`] or [`SketchError::ShapeMismatch`] where the signature is of
    /// another kind than the index.
    pub fn query(&self, signature: &Signature) -> Result<Vec<(Id, f64)>, SketchError> {
        self.check_kind(signature)?;
        let mut found: Vec<(f64, &Entry<Id>)> = self
            .candidates(signature)
            .into_iter()
            .filter_map(|slot| self.entry(slot))
            .filter_map(|entry| Some((self.verified(signature, &entry.signature)?, entry)))
            .collect();
        found.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(x.order.cmp(&y.order)));
        Ok(found
            .into_iter()
            .map(|(similarity, entry)| (entry.id.clone(), similarity))
            .collect())
    }

    /// All stored pairs whose similarity is at or above the threshold, most similar first; the
    /// earlier inserted id comes first in a pair, and equals are in the order of insertion.
    #[must_use]
    pub fn similar_pairs(&self) -> Vec<(Id, Id, f64)> {
        let mut pairs: Vec<(f64, &Entry<Id>, &Entry<Id>)> = Vec::new();
        for later in self.entries.iter().flatten() {
            for slot in self.candidates(&later.signature) {
                let earlier = self.entry(slot).filter(|entry| entry.order < later.order);
                let Some(earlier) = earlier else { continue };
                if let Some(similarity) = self.verified(&earlier.signature, &later.signature) {
                    pairs.push((similarity, earlier, later));
                }
            }
        }
        pairs.sort_by(|(a, left, right), (b, other_left, other_right)| {
            b.total_cmp(a)
                .then(left.order.cmp(&other_left.order))
                .then(right.order.cmp(&other_right.order))
        });
        pairs
            .into_iter()
            .map(|(similarity, left, right)| (left.id.clone(), right.id.clone(), similarity))
            .collect()
    }

    /// Signature stored under an id.
    #[must_use]
    pub fn get(&self, id: &Id) -> Option<&Signature> {
        let hash = hash_of(id, DEFAULT_SEED);
        let slot = self
            .ids
            .find(hash, |slot| self.entry(slot).is_some_and(|e| e.id == *id))?;
        Some(&self.entry(slot)?.signature)
    }

    /// Whether an id is stored.
    #[must_use]
    pub fn contains(&self, id: &Id) -> bool {
        self.get(id).is_some()
    }

    /// Slots that share a band with the signature, each once.
    fn candidates(&self, signature: &Signature) -> Vec<u32> {
        /// Slots that are known to be listed already: most share many bands.
        const LISTED: usize = 256;
        let bands = u32::try_from(self.banding.bands()).unwrap_or(u32::MAX);
        let mut nodes: Vec<u32> = nodes_of(self.banding, 0, signature)
            .filter_map(|(tag, _)| self.buckets.latest(tag))
            .collect();
        let (mut slots, mut listed) = (Vec::new(), [u32::MAX; LISTED]);
        while !nodes.is_empty() {
            for node in &nodes {
                let slot = node / bands;
                let place = &mut listed[slot as usize % LISTED];
                if *place != slot {
                    *place = slot;
                    slots.push(slot);
                }
            }
            self.buckets.step(&mut nodes);
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// An empty slot at the end, with room for its nodes.
    fn new_slot(&mut self) -> u32 {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact((len / 8).max(8));
        }
        self.entries.push(None);
        self.buckets.reserve((len + 1) * self.banding.bands());
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 4096")]
    fn verified(&self, left: &Signature, right: &Signature) -> Option<f64> {
        let similarity = left.equal_minima(right) as f64 / self.permutations as f64;
        (similarity >= self.threshold).then_some(similarity)
    }

    fn entry(&self, slot: u32) -> Option<&Entry<Id>> {
        self.entries.get(slot as usize)?.as_ref()
    }

    fn check_kind(&self, signature: &Signature) -> Result<(), SketchError> {
        check_seeds(NAME, self.seed, signature.seed())?;
        let (left, right) = (self.permutations, signature.permutations());
        if left != right {
            return Err(SketchError::shape(NAME, "permutations", left, right));
        }
        signature.check_scheme(NAME, self.scheme)
    }
}

impl<Id> LshIndex<Id> {
    /// Number of stored signatures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.len() == 0
    }

    /// The threshold this index was built with.
    #[must_use]
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Permutations of the signatures.
    #[must_use]
    pub const fn permutations(&self) -> usize {
        self.permutations
    }

    /// Seed of the signatures.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of memory in use, without what the ids themselves own.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let signatures = self.len() * 4 * self.permutations;
        let entries = self.entries.capacity() * size_of::<Option<Entry<Id>>>();
        let slots = self.ids.memory_bytes() + 4 * self.holes.capacity();
        size_of::<Self>() + signatures + entries + slots + self.buckets.memory_bytes()
    }

    /// How the signatures are made.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// How signatures are cut into bands.
    #[must_use]
    pub const fn banding(&self) -> Banding {
        self.banding
    }

    /// Stored ids with their signatures, in no documented order.
    pub fn iter(&self) -> impl Iterator<Item = (&Id, &Signature)> {
        self.entries
            .iter()
            .flatten()
            .map(|entry| (&entry.id, &entry.signature))
    }
}

/// Tag and node of each band of a signature in a slot.
fn nodes_of(
    banding: Banding,
    slot: u32,
    signature: &Signature,
) -> impl Iterator<Item = (u32, u32)> + '_ {
    let first = u64::from(slot) * banding.bands() as u64;
    let bands = signature.minima().chunks_exact(banding.rows());
    // Nodes fit 32 bits: insert keeps the slots below the most nodes over the bands.
    (0_u64..)
        .zip(bands)
        .map(move |(band, rows)| (band_tag(band, rows), low_half(first + band)))
}

/// A well-mixed tag of a band; equal rows of different bands have unrelated tags.
fn band_tag(band: u64, rows: &[u32]) -> u32 {
    const MULTIPLIER: u64 = 0x9fb2_1c65_1e98_df25;
    let (pairs, rest) = rows.as_chunks::<2>();
    let mut state = (band + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for [low, high] in pairs {
        state = (state ^ (u64::from(*high) << 32) ^ u64::from(*low)).wrapping_mul(MULTIPLIER);
        state ^= state >> 29;
    }
    for row in rest {
        state = (state ^ u64::from(*row)).wrapping_mul(MULTIPLIER);
        state ^= state >> 29;
    }
    low_half(state.wrapping_mul(MULTIPLIER) >> 32)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn low_half(number: u64) -> u32 {
    number as u32
}
