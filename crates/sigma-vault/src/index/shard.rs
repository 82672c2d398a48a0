//! One shard of the compact index: open addressing with linear probing (Knuth, TAOCP 3, 6.4).
//!
//! A hash picks its home slot by multiplication, so that a table may have any size: it grows by a
//! quarter when seven eighths are used, so 12 bytes per slot are never more than 17.2 per key once
//! it has grown. Removal shifts back (Algorithm R), so there are no grave markers.

use super::word::Word;
use crate::codec::Fields;

const SLOTS_MIN: usize = 8;

#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    /// 0 where the slot is free: an absent key is told by these alone. 1 stands for hash 0 too.
    hashes: Vec<u32>,
    /// 0 where the slot is free.
    words: Vec<u64>,
    len: usize,
}

impl Shard {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.hashes.capacity() * 4 + self.words.capacity() * 8
    }

    /// Number of slots, number of words, all hashes, all words; free slots included.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.words.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.len as u64).to_le_bytes());
        for hash in &self.hashes {
            bytes.extend_from_slice(&hash.to_le_bytes());
        }
        for word in &self.words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// `None` for what [`encode`](Self::encode) does not write.
    pub(crate) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let slots = usize::try_from(fields.u64()?).ok()?;
        let len = usize::try_from(fields.u64()?).ok()?;
        let hashes = fields.bytes(slots.checked_mul(4)?)?;
        let words = fields.bytes(slots.checked_mul(8)?)?;
        let (hashes, _) = hashes.as_chunks::<4>();
        let (words, _) = words.as_chunks::<8>();
        let shard = Self {
            hashes: hashes
                .iter()
                .map(|bytes| u32::from_le_bytes(*bytes))
                .collect(),
            words: words
                .iter()
                .map(|bytes| u64::from_le_bytes(*bytes))
                .collect(),
            len,
        };
        let used = shard.words.iter().filter(|word| **word != 0).count();
        let hashed = shard.hashes.iter().filter(|hash| **hash != 0).count();
        // A full table would make probing endless.
        let bounded = len.checked_mul(8)? <= slots.checked_mul(7)?;
        (used == len && hashed == len && bounded).then_some(shard)
    }

    fn home(&self, hash: u32) -> usize {
        let slots = self.words.len() as u64;
        usize::try_from((u64::from(hash) * slots) >> 32).unwrap_or(0)
    }

    fn next(&self, slot: usize) -> usize {
        if slot + 1 == self.words.len() {
            0
        } else {
            slot + 1
        }
    }

    /// The slots from the home of `hash` to the next free one, with their hashes.
    fn probe(&self, hash: u32) -> impl Iterator<Item = (usize, u32)> + '_ {
        let mut slot = self.home(hash);
        std::iter::from_fn(move || {
            let known = self.hashes.get(slot).copied().filter(|known| *known != 0)?;
            let found = (slot, known);
            slot = self.next(slot);
            Some(found)
        })
    }

    /// All words under `hash`.
    pub(crate) fn candidates(&self, hash: u32) -> impl Iterator<Item = Word> + '_ {
        let hash = hash.max(1);
        self.probe(hash)
            .filter(move |(_, known)| *known == hash)
            .filter_map(|(slot, _)| Word::from_bits(*self.words.get(slot)?))
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = Word> + '_ {
        self.words.iter().filter_map(|bits| Word::from_bits(*bits))
    }

    pub(crate) fn insert(&mut self, hash: u32, word: Word) {
        if (self.len + 1) * 8 > self.words.len() * 7 {
            self.grow();
        }
        self.place(hash.max(1), word);
        self.len += 1;
    }

    fn place(&mut self, hash: u32, word: Word) {
        let used = self.probe(hash).count();
        let slots = self.words.len().max(1);
        let slot = (self.home(hash) + used) % slots;
        if let (Some(target), Some(known)) = (self.words.get_mut(slot), self.hashes.get_mut(slot)) {
            *target = word.bits();
            *known = hash;
        }
    }

    fn grow(&mut self) {
        let slots = (self.words.len() + self.words.len() / 4).max(SLOTS_MIN);
        let hashes = std::mem::replace(&mut self.hashes, vec![0; slots]);
        let words = std::mem::replace(&mut self.words, vec![0; slots]);
        for (hash, bits) in hashes.into_iter().zip(words) {
            if let Some(word) = Word::from_bits(bits) {
                self.place(hash, word);
            }
        }
    }

    /// Keeps the words for which `keep` holds; returns how many went.
    pub(crate) fn retain(&mut self, keep: impl Fn(Word) -> bool) -> u64 {
        let words = self.hashes.iter().zip(&self.words);
        let gone: Vec<(u32, Word)> = words
            .filter_map(|(hash, bits)| Some((*hash, Word::from_bits(*bits)?)))
            .filter(|(_, word)| !keep(*word))
            .collect();
        for (hash, word) in &gone {
            self.remove(*hash, *word);
        }
        gone.len() as u64
    }

    fn find(&self, hash: u32, word: Word) -> Option<usize> {
        let hash = hash.max(1);
        let here = |slot: usize| self.words.get(slot) == Some(&word.bits());
        let mut slots = self.probe(hash);
        let found = slots.find(|(slot, known)| *known == hash && here(*slot));
        found.map(|(slot, _)| slot)
    }

    /// Puts `new` in the place of `old`; false where `old` is not there.
    pub(crate) fn replace(&mut self, hash: u32, old: Word, new: Word) -> bool {
        let found = self.find(hash, old);
        if let Some(target) = found.and_then(|slot| self.words.get_mut(slot)) {
            *target = new.bits();
        }
        found.is_some()
    }

    /// False where it is not there.
    pub(crate) fn remove(&mut self, hash: u32, word: Word) -> bool {
        let Some(mut hole) = self.find(hash, word) else {
            return false;
        };
        self.len -= 1;
        let mut slot = self.next(hole);
        // What follows moves into the hole unless its home lies behind it.
        while let (Some(&bits @ 1..), Some(&known)) = (self.words.get(slot), self.hashes.get(slot))
        {
            let home = self.home(known);
            let stays = if hole <= slot {
                hole < home && home <= slot
            } else {
                hole < home || home <= slot
            };
            if !stays {
                self.words[hole] = bits;
                self.hashes[hole] = known;
                hole = slot;
            }
            slot = self.next(slot);
        }
        self.words[hole] = 0;
        self.hashes[hole] = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn word(number: u64) -> Word {
        Word::new(0, (number + 8) * 8, 64).unwrap()
    }

    /// The plain form of the same thing.
    #[derive(Default)]
    struct Twin(BTreeMap<u32, Vec<Word>>);

    impl Twin {
        fn insert(&mut self, hash: u32, word: Word) {
            self.0.entry(hash).or_default().push(word);
        }
        fn replace(&mut self, hash: u32, old: Word, new: Word) -> bool {
            let words = self.0.entry(hash).or_default();
            let found = words.iter_mut().find(|word| **word == old);
            found.map(|word| *word = new).is_some()
        }
        fn remove(&mut self, hash: u32, word: Word) -> bool {
            let words = self.0.entry(hash).or_default();
            let found = words.iter().position(|known| *known == word);
            found.map(|at| words.swap_remove(at)).is_some()
        }
    }

    #[test]
    fn a_shard_does_what_its_plain_twin_does() {
        for (seed, hashes) in [(1_u64, 3_u64), (2, 40), (3, 5000), (4, 1 << 32)] {
            let mut state = seed;
            let mut next = |bound: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(seed);
                (state >> 29) % bound
            };
            let mut shard = Shard::default();
            let mut twin = Twin::default();
            // Hashes at both ends of the range, so that probing wraps around.
            let spread = (1 << 32) / hashes;
            for number in 0..20_000_u64 {
                let hash = u32::try_from(next(hashes) * spread).unwrap();
                let known = twin.0.get(&hash).and_then(|words| words.last().copied());
                match (next(5), known) {
                    (0, Some(old)) | (4, Some(old)) if number % 3 > 0 => {
                        assert_eq!(shard.remove(hash, old), twin.remove(hash, old));
                    }
                    (1, Some(old)) => {
                        let new = word(number);
                        assert!(shard.replace(hash, old, new) && twin.replace(hash, old, new));
                    }
                    (2, _) => {
                        let absent = word(1 << 24);
                        assert!(!shard.remove(hash, absent));
                        assert!(!shard.replace(hash, absent, absent));
                    }
                    _ => {
                        shard.insert(hash, word(number));
                        twin.insert(hash, word(number));
                    }
                }
                if number % 16 == 0 || hashes < 100 {
                    let mut found: Vec<_> = shard.candidates(hash).map(Word::bits).collect();
                    let twins = twin.0.get(&hash).into_iter().flatten();
                    let mut expected: Vec<_> = twins.map(|word| word.bits()).collect();
                    found.sort_unstable();
                    expected.sort_unstable();
                    assert_eq!(found, expected);
                }
            }
            let count = twin.0.values().map(Vec::len).sum::<usize>();
            assert_eq!((shard.len(), shard.words().count()), (count, count));
            for (hash, words) in &twin.0 {
                assert_eq!(shard.candidates(*hash).count(), words.len());
            }
        }
    }

    #[test]
    fn memory_stays_below_twenty_bytes_per_key_at_every_size() {
        let mut shard = Shard::default();
        let mut hash = 1_u32;
        for number in 0..200_000_u64 {
            hash = hash.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            shard.insert(hash, word(number));
            if number > 1000 {
                assert!(shard.memory_bytes() <= shard.len() * 18, "{number}");
            }
        }
    }
}
