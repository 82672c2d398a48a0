//! Bit maps of the content: one bit per byte and kind of byte, to go from mark to mark by whole words
//! instead of byte by byte.

use crate::simd::{self, Kernel};

/// Bits of the class of a byte, see [`Marks::of`].
pub(super) type Class = u8;

/// Bytes per word of a map.
const WORD: usize = 64;

/// One bit per byte of the content. Beyond the content all bits are 0.
#[derive(Debug)]
pub(super) struct Marks(Vec<u64>);

/// Makes the maps.
struct Classify<'c, F> {
    content: &'c [u8],
    class: F,
}

impl<const N: usize, F: Fn(u8) -> Class> Kernel<[Marks; N]> for Classify<'_, F> {
    #[inline(always)]
    fn run(self) -> [Marks; N] {
        let Classify { content, class } = self;
        let words = content.len().div_ceil(WORD);
        let mut maps: [Vec<u64>; N] = std::array::from_fn(|_| Vec::with_capacity(words));
        /// Words at a time: their classes stay in the first cache.
        const BATCH: usize = 32;
        let mut classes = [[0u8; WORD]; BATCH];
        for batch in content.chunks(WORD * BATCH) {
            let used = batch.len().div_ceil(WORD);
            let (used, _) = classes.split_at_mut_checked(used).unwrap_or_default();
            if let Some(last) = used.last_mut() {
                *last = [0; WORD];
            }
            for (place, &byte) in used.as_flattened_mut().iter_mut().zip(batch) {
                *place = class(byte);
            }
            simd::push_bits(used, &mut maps);
        }
        maps.map(Marks)
    }
}

impl Marks {
    /// Maps of `N` kinds: bit *k* of the class that `class` gives a byte is that of map *k*.
    pub(super) fn of<const N: usize>(content: &[u8], class: impl Fn(u8) -> Class) -> [Marks; N] {
        simd::run(Classify { content, class })
    }

    /// Marks the byte behind each run of these marked bytes in which one of `inner`, which are among them, is
    /// marked.
    pub(super) fn ends_of_runs_with(&self, inner: &Marks) -> Marks {
        // Added to its run of ones, a one in it carries to the zero behind the run.
        let mut carry = false;
        let mut end = |(&run, &inner): (&u64, &u64)| {
            let (sum, over) = run.overflowing_add(inner);
            let (sum, more) = sum.overflowing_add(u64::from(carry));
            carry = over | more;
            sum & !run
        };
        let mut ends: Vec<u64> = self.0.iter().zip(&inner.0).map(&mut end).collect();
        ends.push(end((&0, &0)));
        Marks(ends)
    }

    /// Whether this byte is marked.
    pub(super) fn has(&self, at: usize) -> bool {
        self.word(at / WORD) >> (at % WORD) & 1 == 1
    }

    /// Every marked byte in order, then ever again a place behind the map.
    pub(super) fn places(&self) -> Places<'_> {
        Places {
            map: self,
            index: 0,
            word: self.word(0),
        }
    }

    fn word(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// The first marked byte at or behind `from`; the end of the map if there is none.
    pub(super) fn next(&self, from: usize) -> usize {
        let mut index = from / WORD;
        let mut word = self.word(index) >> (from % WORD) << (from % WORD);
        while word == 0 {
            index += 1;
            if index >= self.0.len() {
                return self.0.len() * WORD;
            }
            word = self.word(index);
        }
        index * WORD + word.trailing_zeros() as usize
    }

    /// The first byte at or behind `from` that is not marked.
    pub(super) fn next_free(&self, from: usize) -> usize {
        let mut index = from / WORD;
        let mut word = !self.word(index) >> (from % WORD) << (from % WORD);
        while word == 0 {
            index += 1;
            word = !self.word(index);
        }
        index * WORD + word.trailing_zeros() as usize
    }

    /// Where the marked bytes right in front of `end` begin.
    pub(super) fn run_start(&self, end: usize) -> usize {
        let Some(last) = end.checked_sub(1) else {
            return 0;
        };
        let mut index = last / WORD;
        let mut word = !self.word(index) << (WORD - 1 - last % WORD);
        let mut at = last;
        while word == 0 {
            let Some(before) = index.checked_sub(1) else {
                return 0;
            };
            index = before;
            at = index * WORD + WORD - 1;
            word = !self.word(index);
        }
        at + 1 - word.leading_zeros() as usize
    }
}

/// The marked bytes of a map.
#[derive(Debug)]
pub(super) struct Places<'m> {
    map: &'m Marks,
    index: usize,
    /// What is left of the word.
    word: u64,
}

impl Places<'_> {
    #[inline]
    pub(super) fn next(&mut self) -> usize {
        while self.word == 0 {
            self.index += 1;
            if self.index >= self.map.0.len() {
                self.index = self.map.0.len();
                return self.index * WORD;
            }
            self.word = self.map.word(self.index);
        }
        let place = self.index * WORD + self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_a_plain_search() {
        for length in [0usize, 1, 63, 64, 65, 130, 200, 449] {
            // Runs of many lengths of a, b and others.
            let content: Vec<u8> = (0..length)
                .map(|n| b"abx"[(n * n / 29 + n / 70) % 3])
                .collect();
            let [a, either]: [Marks; 2] = Marks::of(&content, |byte| {
                u8::from(byte == b'a') | u8::from(byte != b'x') << 1
            });
            let end = length.div_ceil(WORD) * WORD;
            for (map, is) in [(a, "a"), (either, "ab")] {
                let marked = |at: usize| content.get(at).is_some_and(|&b| is.contains(b as char));
                for from in 0..=length {
                    assert_eq!(
                        map.next(from),
                        (from..end)
                            .find(|&at| marked(at))
                            .unwrap_or(end.max(from / WORD * WORD))
                    );
                    assert_eq!(
                        map.next_free(from),
                        (from..).find(|&at| !marked(at)).unwrap()
                    );
                    let run = (0..from).rev().take_while(|&at| marked(at)).count();
                    assert_eq!(map.run_start(from), from - run);
                }
            }
        }
    }

    #[test]
    fn ends_of_runs_are_those_of_a_plain_search() {
        for length in [0usize, 1, 63, 64, 65, 127, 128, 130, 200, 448, 449] {
            for seed in 1..20 {
                // Runs of a and b between others; some runs over several words of the map.
                let content: Vec<u8> = (0..length)
                    .map(|n| b"aaaaabxb"[(n * n / 29 + n * seed / 70 + n / 90) % (6 + seed % 3)])
                    .collect();
                let [word, inner]: [Marks; 2] = Marks::of(&content, |byte| {
                    u8::from(byte != b'x') | u8::from(byte == b'b') << 1
                });
                let ends = word.ends_of_runs_with(&inner);
                let mut expected = Vec::new();
                let mut start = 0;
                for (at, end) in (0..=length).map(|at| (at, content.get(at) == Some(&b'x'))) {
                    if end || at == length {
                        if content[start..at].contains(&b'b') {
                            expected.push(at);
                        }
                        start = at + 1;
                    }
                }
                let mut places = ends.places();
                for place in &expected {
                    assert_eq!(places.next(), *place);
                    assert!(ends.has(*place));
                }
                assert!(places.next() > length);
                assert!(places.next() > length);
            }
        }
    }
}
