//! One shard of the compact index: open addressing with linear probing (Knuth, TAOCP 3, 6.4).
//!
//! A hash picks its home line by multiplication, so that a table may have any size: it grows by a
//! quarter when seven eighths are used, so 12.8 bytes per slot are never more than 18.3 per key once
//! it has grown. Removal shifts back (Algorithm R), so there are no grave markers.
//!
//! Hashes and words share cache lines, five of each, with a small filter of the hashes that found a
//! line full and lie behind it: nearly all lookups touch one line, also those of absent keys (the
//! idea is that of F14's overflow counts, Folly 2019). Readers take no lock. One writer at a time changes the table in place: a word is stored before the hash that
//! leads to it, and steps that move words (or belong to a batch) happen between
//! [`begin`](Shard::begin) and [`finish`](Shard::finish), over which readers look again (a seqlock:
//! Lameter 2005; Boehm, "Can seqlocks get along with programming language memory models?", 2012).

use super::lines::{LINE_SLOTS, Line, Lines, Slabs};
use super::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence, pause};
use super::word::Word;
use crate::codec::Fields;

const LINES_MIN: usize = 2;

#[derive(Debug, Default)]
pub(crate) struct Shard {
    lines: Lines,
    len: AtomicUsize,
    /// Odd while words move.
    version: AtomicU64,
}

/// All words under a hash; seldom more than one.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) first: Option<Word>,
    pub(crate) rest: Vec<Word>,
}

impl Words {
    fn push(&mut self, word: Word) {
        match self.first {
            None => self.first = Some(word),
            Some(_) => self.rest.push(word),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Word> + '_ {
        self.first.iter().chain(&self.rest).copied()
    }
}

impl Shard {
    fn with(lines: Lines) -> Self {
        Self {
            lines,
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        std::mem::size_of_val(&*self.lines)
    }

    fn slots(&self) -> usize {
        self.lines.len() * LINE_SLOTS
    }

    /// All slots in order, free ones (0, 0) included. Only the writer sees them stand still.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.lines.iter().flat_map(|line| {
            let hashes = line.hashes.iter().map(|hash| hash.load(Ordering::Relaxed));
            hashes.zip(line.words.iter().map(|word| word.load(Ordering::Relaxed)))
        })
    }

    fn occupied(&self) -> impl Iterator<Item = (u32, Word)> + '_ {
        self.pairs()
            .filter_map(|(hash, bits)| Some((hash, Word::from_bits(bits)?)))
    }

    /// Number of slots, number of words, all hashes, all words; free slots included. Called by the
    /// writer, or where none is.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.slots() as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.len() as u64).to_le_bytes());
        for (hash, _) in self.pairs() {
            bytes.extend_from_slice(&hash.to_le_bytes());
        }
        for (_, word) in self.pairs() {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// The first slot where `hash` may be.
    fn home(&self, hash: u32) -> usize {
        self.home_line(hash) * LINE_SLOTS
    }

    fn home_line(&self, hash: u32) -> usize {
        home_line(hash, self.lines.len())
    }

    fn next(&self, slot: usize) -> usize {
        if slot + 1 == self.slots() {
            0
        } else {
            slot + 1
        }
    }

    fn line_behind(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() {
            0
        } else {
            line + 1
        }
    }

    /// Notes that a hash lies in `line`, in the lines that it passed on the way there from home.
    fn note_passed(&self, hash: u32, line: usize) {
        let mut at = self.home_line(hash);
        while at != line {
            let passed = &self.lines[at].passed;
            let bits = passed.load(Ordering::Relaxed) | Line::bit(hash);
            passed.store(bits, Ordering::Relaxed);
            at = self.line_behind(at);
        }
    }

    fn hash_at(&self, slot: usize) -> &AtomicU32 {
        &self.lines[slot / LINE_SLOTS].hashes[slot % LINE_SLOTS]
    }

    fn word_at(&self, slot: usize) -> &AtomicU64 {
        &self.lines[slot / LINE_SLOTS].words[slot % LINE_SLOTS]
    }

    /// Fetches the line where `hash` is at home into the cache; what it returns means nothing.
    pub(crate) fn warm(&self, hash: u32) -> u32 {
        let line = self.lines.get(self.home_line(hash.max(1)));
        line.map_or(0, |line| line.hashes[0].load(Ordering::Relaxed))
    }

    /// All words under `hash` as of one moment. Takes no lock; waits while words move.
    pub(crate) fn words(&self, hash: u32) -> Words {
        let hash = hash.max(1);
        let mut tries = 0;
        loop {
            let before = self.version.load(Ordering::Acquire);
            if before & 1 == 0 {
                let words = self.collect(hash);
                fence(Ordering::Acquire);
                if self.version.load(Ordering::Relaxed) == before {
                    return words;
                }
            }
            tries += 1;
            pause(tries);
        }
    }

    fn collect(&self, hash: u32) -> Words {
        let mut words = Words::default();
        let Some(mut line) = Some(self.home_line(hash)).filter(|_| !self.lines.is_empty()) else {
            return words;
        };
        loop {
            let Line {
                hashes,
                words: bits,
                ..
            } = &self.lines[line];
            for (known, bits) in hashes.iter().zip(bits) {
                let known = known.load(Ordering::Acquire);
                if known == 0 {
                    return words;
                }
                if known == hash
                    && let Some(word) = Word::from_bits(bits.load(Ordering::Acquire))
                {
                    words.push(word);
                }
            }
            line = self.line_behind(line);
        }
    }

    /// As [`words`](Self::words), only the first.
    #[inline]
    pub(crate) fn first(&self, hash: u32) -> Option<Word> {
        let hash = hash.max(1);
        let before = self.version.load(Ordering::Acquire);
        let first = self.find_first(hash);
        fence(Ordering::Acquire);
        if before & 1 == 0 && self.version.load(Ordering::Relaxed) == before {
            return first;
        }
        self.words(hash).first
    }

    /// One line at a time without a branch for each slot: which slot it is cannot be foretold, and
    /// a processor that guesses wrong begins nothing else until the line has come. For the same
    /// reason it does not look for a free slot, but whether anything went past the line.
    #[inline]
    fn find_first(&self, hash: u32) -> Option<Word> {
        let lines = &*self.lines;
        let mut at = self.home_line(hash);
        // Once around at most: as long as words move, anything may be there.
        for _ in lines {
            let line = lines.get(at)?;
            let mut equal = 0_u32;
            for (slot, known) in line.hashes.iter().enumerate() {
                equal |= u32::from(known.load(Ordering::Acquire) == hash) << slot;
            }
            if equal != 0 {
                let word = line.words.get(equal.trailing_zeros() as usize)?;
                return Word::from_bits(word.load(Ordering::Acquire));
            }
            if line.passed.load(Ordering::Acquire) & Line::bit(hash) == 0 {
                return None;
            }
            at = self.line_behind(at);
        }
        None
    }

    /// All words; only the writer sees them stand still.
    pub(crate) fn all(&self) -> impl Iterator<Item = Word> + '_ {
        self.occupied().map(|(_, word)| word)
    }
}

/// A shard as [`encode`](Shard::encode) wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded<'a> {
    len: usize,
    hashes: &'a [u8],
    words: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// `None` where too few bytes are left.
    pub(crate) fn take(fields: &mut Fields<'a>) -> Option<Self> {
        let slots = usize::try_from(fields.u64()?).ok()?;
        let len = usize::try_from(fields.u64()?).ok()?;
        let hashes = fields.bytes(slots.checked_mul(4)?)?;
        let words = fields.bytes(slots.checked_mul(8)?)?;
        Some(Self { len, hashes, words })
    }

    /// Number of lines, rounded up.
    pub(crate) fn lines(&self) -> usize {
        (self.words.len() / 8).div_ceil(LINE_SLOTS)
    }

    /// The number of lines that it needs for `more` words.
    pub(crate) fn lines_with(&self, more: usize) -> usize {
        // A table that is too full is none, whatever its length says.
        let is_sound = has_room(self.len, 0, self.slots());
        if !is_sound || has_room(self.len, more, self.slots()) {
            return self.lines();
        }
        lines_grown(self.lines(), self.len.saturating_add(more))
    }

    fn slots(&self) -> usize {
        self.words.len() / 8
    }

    /// Whether there is a word under this hash.
    pub(crate) fn has(&self, hash: u32) -> bool {
        let hash = hash.max(1);
        let (hashes, _) = self.hashes.as_chunks::<4>();
        let home = home_line(hash, self.lines()) * LINE_SLOTS;
        let Some((before, from_home)) = hashes.split_at_checked(home) else {
            return false;
        };
        let hash = hash.to_le_bytes();
        let known = from_home.iter().chain(before);
        let mut known = known.take_while(|known| **known != [0; 4]);
        known.any(|known| *known == hash)
    }

    /// The shard in `lines`, which are free and at least as many as it [has](Self::lines); `None` for
    /// what [`encode`](Shard::encode) does not write.
    pub(crate) fn decode(&self, lines: Lines) -> Option<Shard> {
        let (hashes, _) = self.hashes.as_chunks::<4>();
        let (words, _) = self.words.as_chunks::<8>();
        let used = words.iter().filter(|word| **word != [0; 8]).count();
        let hashed = hashes.iter().filter(|hash| **hash != [0; 4]).count();
        // A full table would make probing endless.
        let bounded = has_room(self.len, 0, self.slots());
        let whole = self.lines() * LINE_SLOTS == self.slots();
        if !whole || !bounded || used != self.len || hashed != self.len {
            return None;
        }
        if lines.len() != self.lines() {
            let shard = Shard::with(lines);
            for (hash, word) in hashes.iter().zip(words) {
                if let Some(word) = Word::from_bits(u64::from_le_bytes(*word)) {
                    shard.insert(u32::from_le_bytes(*hash), word);
                }
            }
            return Some(shard);
        }
        let (hashes, _) = hashes.as_chunks::<LINE_SLOTS>();
        let (words, _) = words.as_chunks::<LINE_SLOTS>();
        for (line, (hashes, words)) in lines.iter().zip(hashes.iter().zip(words)) {
            for (slot, hash) in line.hashes.iter().zip(hashes) {
                slot.store(u32::from_le_bytes(*hash), Ordering::Relaxed);
            }
            for (slot, word) in line.words.iter().zip(words) {
                slot.store(u64::from_le_bytes(*word), Ordering::Relaxed);
            }
        }
        let shard = Shard {
            lines,
            len: AtomicUsize::new(self.len),
            version: AtomicU64::new(0),
        };
        for (line, Line { hashes, .. }) in shard.lines.iter().enumerate() {
            for hash in hashes.iter().map(|hash| hash.load(Ordering::Relaxed)) {
                if hash != 0 {
                    shard.note_passed(hash, line);
                }
            }
        }
        Some(shard)
    }
}

/// Whether a table of so many slots with `len` words may have `more`.
fn has_room(len: usize, more: usize, slots: usize) -> bool {
    len.saturating_add(more).saturating_mul(8) <= slots.saturating_mul(7)
}

/// The lines of a table in place of one of so many lines, for `len` words.
fn lines_grown(lines: usize, len: usize) -> usize {
    let needed = len.saturating_mul(8).div_ceil(7 * LINE_SLOTS);
    (lines + lines / 4).max(LINES_MIN).max(needed)
}

/// The line of so many that a hash is at home in.
fn home_line(hash: u32, lines: usize) -> usize {
    usize::try_from((u64::from(hash) * lines as u64) >> 32).unwrap_or(0)
}

/// What only the one writer does.
impl Shard {
    /// Readers wait from here to [`finish`](Self::finish).
    pub(crate) fn begin(&self) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version | 1, Ordering::Relaxed);
        fence(Ordering::Release);
    }

    pub(crate) fn finish(&self) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store((version | 1) + 1, Ordering::Release);
    }

    /// Whether `more` words may be inserted.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        has_room(self.len(), more, self.slots())
    }

    /// A copy with room for `more` words.
    pub(crate) fn grown(&self, more: usize, slabs: &mut Slabs) -> Self {
        let lines = lines_grown(self.lines.len(), self.len() + more);
        let larger = Self::with(slabs.take(lines));
        for (hash, word) in self.occupied() {
            larger.insert(hash, word);
        }
        larger
    }

    /// A copy as of now.
    pub(crate) fn copied(&self) -> Self {
        let copy = Self::with(Lines::own(self.lines.len()));
        for (slot, (hash, word)) in self.pairs().enumerate() {
            copy.hash_at(slot).store(hash, Ordering::Relaxed);
            copy.word_at(slot).store(word, Ordering::Relaxed);
        }
        for (line, copied) in self.lines.iter().zip(&*copy.lines) {
            let passed = line.passed.load(Ordering::Relaxed);
            copied.passed.store(passed, Ordering::Relaxed);
        }
        copy.len.store(self.len(), Ordering::Relaxed);
        copy
    }

    /// Adds a word; there is [room](Self::has_room).
    pub(crate) fn insert(&self, hash: u32, word: Word) {
        let hash = hash.max(1);
        let mut slot = self.home(hash);
        while self.hash_at(slot).load(Ordering::Relaxed) != 0 {
            slot = self.next(slot);
        }
        self.note_passed(hash, slot / LINE_SLOTS);
        self.word_at(slot).store(word.bits(), Ordering::Relaxed);
        self.hash_at(slot).store(hash, Ordering::Release);
        self.len.store(self.len() + 1, Ordering::Relaxed);
    }

    /// Keeps the words for which `keep` holds; returns how many went. Between `begin` and `finish`.
    pub(crate) fn retain(&self, keep: impl Fn(Word) -> bool) -> u64 {
        let gone: Vec<(u32, Word)> = self.occupied().filter(|(_, word)| !keep(*word)).collect();
        for (hash, word) in &gone {
            self.remove(*hash, *word);
        }
        gone.len() as u64
    }

    fn find(&self, hash: u32, word: Word) -> Option<usize> {
        let hash = hash.max(1);
        let mut slot = self.home(hash);
        while !self.lines.is_empty() {
            match self.hash_at(slot).load(Ordering::Relaxed) {
                0 => break,
                known if known == hash && self.bits_at(slot) == word.bits() => return Some(slot),
                _ => slot = self.next(slot),
            }
        }
        None
    }

    fn bits_at(&self, slot: usize) -> u64 {
        self.word_at(slot).load(Ordering::Relaxed)
    }

    /// Puts `new` in the place of `old`; false where `old` is not there.
    pub(crate) fn replace(&self, hash: u32, old: Word, new: Word) -> bool {
        let found = self.find(hash, old);
        if let Some(slot) = found {
            self.word_at(slot).store(new.bits(), Ordering::Release);
        }
        found.is_some()
    }

    /// False where it is not there. Between `begin` and `finish`.
    pub(crate) fn remove(&self, hash: u32, word: Word) -> bool {
        let Some(mut hole) = self.find(hash, word) else {
            return false;
        };
        self.len.store(self.len() - 1, Ordering::Relaxed);
        let mut slot = self.next(hole);
        // What follows moves into the hole unless its home lies behind it.
        loop {
            let known = self.hash_at(slot).load(Ordering::Relaxed);
            if known == 0 {
                break;
            }
            let home = self.home(known);
            let stays = if hole <= slot {
                hole < home && home <= slot
            } else {
                hole < home || home <= slot
            };
            if !stays {
                let bits = self.bits_at(slot);
                self.word_at(hole).store(bits, Ordering::Relaxed);
                self.hash_at(hole).store(known, Ordering::Relaxed);
                hole = slot;
            }
            slot = self.next(slot);
        }
        self.word_at(hole).store(0, Ordering::Relaxed);
        self.hash_at(hole).store(0, Ordering::Relaxed);
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

    fn add(shard: &mut Shard, hash: u32, word: Word) {
        if !shard.has_room(1) {
            *shard = shard.grown(1, &mut Slabs::new(1));
        }
        shard.insert(hash, word);
    }

    fn encoded(shard: &Shard) -> Vec<u8> {
        let mut bytes = Vec::new();
        shard.encode(&mut bytes);
        bytes
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
                        add(&mut shard, hash, word(number));
                        twin.insert(hash, word(number));
                    }
                }
                if number % 16 == 0 || hashes < 100 {
                    let mut found: Vec<_> = shard.words(hash).iter().map(Word::bits).collect();
                    let twins = twin.0.get(&hash).into_iter().flatten();
                    let mut expected: Vec<_> = twins.map(|word| word.bits()).collect();
                    found.sort_unstable();
                    expected.sort_unstable();
                    assert_eq!(found, expected);
                    assert_eq!(shard.first(hash), shard.words(hash).first);
                    let absent = hash.wrapping_add(7);
                    assert_eq!(shard.first(absent), shard.words(absent).first);
                }
            }
            let count = twin.0.values().map(Vec::len).sum::<usize>();
            assert_eq!((shard.len(), shard.all().count()), (count, count));
            let bytes = encoded(&shard);
            let decoded = Encoded::take(&mut Fields::new(&bytes)).unwrap();
            let decoded = decoded.decode(Lines::own(decoded.lines())).unwrap();
            for (hash, words) in &twin.0 {
                for shard in [&shard, &shard.copied(), &decoded] {
                    assert_eq!(shard.words(*hash).iter().count(), words.len());
                    assert_eq!(shard.first(*hash), shard.words(*hash).first);
                }
            }
        }
    }

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!(size_of::<Line>(), 64);
    }

    /// While one thread shifts words back and forth, others never miss one that stays.
    #[test]
    fn readers_see_what_stays_while_words_move() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let shard = Shard::default().grown(40, &mut Slabs::new(1));
        // All at home in the last line, so that they run over the end.
        let stays: Vec<u32> = (0..10).map(|n| u32::MAX - n).collect();
        let comes: Vec<u32> = (100..110).map(|n| u32::MAX - n).collect();
        for (a, b) in comes.iter().zip(&stays) {
            shard.insert(*a, word(u64::from(!*a)));
            shard.insert(*b, word(u64::from(!*b)));
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            for hash in &stays {
                                let words = shard.words(*hash);
                                assert_eq!(words.first, Some(word(u64::from(!*hash))));
                                assert!(words.rest.is_empty());
                                assert_eq!(shard.first(*hash), words.first);
                            }
                        }
                    })
                })
                .collect();
            for round in 0..20_000 {
                if readers
                    .iter()
                    .any(std::thread::ScopedJoinHandle::is_finished)
                {
                    break;
                }
                let hash = comes[round % comes.len()];
                shard.begin();
                assert!(shard.remove(hash, word(u64::from(!hash))));
                shard.finish();
                shard.insert(hash, word(u64::from(!hash)));
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn memory_stays_below_twenty_bytes_per_key_at_every_size() {
        let mut shard = Shard::default();
        let mut hash = 1_u32;
        for number in 0..200_000_u64 {
            hash = hash.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            add(&mut shard, hash, word(number));
            if number > 1000 {
                assert!(shard.memory_bytes() <= shard.len() * 19, "{number}");
            }
        }
    }
}

/// Run by `ci/loom.sh`.
#[cfg(all(test, neurectomy_loom))]
mod model {
    use std::sync::Arc;

    use super::*;

    fn word(number: u64) -> Word {
        Word::new(0, number * 8, 64).unwrap()
    }

    #[test]
    fn loom_a_word_that_stays_is_found_while_others_come_and_go() {
        loom::model(|| {
            let shard = Arc::new(Shard::default().grown(3, &mut Slabs::new(1)));
            // All at home in the last line, the second shifted when the first goes.
            let (goes, stays, comes) = (u32::MAX, u32::MAX - 1, u32::MAX - 2);
            shard.insert(goes, word(10));
            shard.insert(stays, word(20));
            let writer = loom::thread::spawn({
                let shard = Arc::clone(&shard);
                move || {
                    shard.begin();
                    assert!(shard.remove(goes, word(10)));
                    shard.finish();
                    shard.insert(comes, word(30));
                    assert!(shard.replace(stays, word(20), word(40)));
                }
            });
            let found = shard.words(stays);
            assert!([word(20), word(40)].contains(&found.first.unwrap()));
            assert!(found.rest.is_empty());
            assert!([word(20), word(40)].contains(&shard.first(stays).unwrap()));
            let new = shard.words(comes);
            assert!([None, Some(word(30))].contains(&new.first));
            writer.join().unwrap();
            assert_eq!(shard.words(goes).first, None);
        });
    }

    #[test]
    fn loom_words_of_one_batch_appear_together() {
        loom::model(|| {
            let shard = Arc::new(Shard::default().grown(2, &mut Slabs::new(1)));
            let (first, second) = (u32::MAX, u32::MAX - 1);
            let writer = loom::thread::spawn({
                let shard = Arc::clone(&shard);
                move || {
                    shard.begin();
                    shard.insert(first, word(10));
                    shard.insert(second, word(20));
                    shard.finish();
                }
            });
            if shard.words(second).first.is_some() {
                assert!(shard.words(first).first.is_some());
            }
            writer.join().unwrap();
        });
    }

    /// As above, by the way that looks at one line; the second word lies behind the line of both.
    #[test]
    fn loom_the_first_words_of_one_batch_appear_together() {
        loom::model(|| {
            let shard = Arc::new(Shard::default().grown(7, &mut Slabs::new(1)));
            for number in 0..4 {
                shard.insert(u32::MAX / 4 - number, word(u64::from(number) + 1));
            }
            let (first, second) = (u32::MAX / 4 - 10, u32::MAX / 4 - 11);
            let writer = loom::thread::spawn({
                let shard = Arc::clone(&shard);
                move || {
                    shard.begin();
                    shard.insert(first, word(10));
                    shard.insert(second, word(20));
                    shard.finish();
                }
            });
            if shard.first(second).is_some() {
                assert!(shard.first(first).is_some());
            }
            writer.join().unwrap();
            assert_eq!(shard.first(first), Some(word(10)));
            assert_eq!(shard.first(second), Some(word(20)));
        });
    }
}
