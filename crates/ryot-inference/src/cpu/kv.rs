//! Keys and values of one sequence, as attention reads them.

use super::Isa;
use super::ahead::Ahead;
use super::buffer::Buffer;
use super::half::{bf16_pair, of_bf16_pair};
use super::lanes::lanes;
use super::shared::SharedRows;
use crate::kv::{KvElement, KvValues};

/// Tokens whose keys stand side by side, and numbers of a value that do.
pub(super) const GROUP: usize = 16;
/// Tokens in one step of a sum of values, and numbers in one of a score, where they are bfloat16.
/// The tokens that there is room for are a multiple of it.
pub(super) const STEP: usize = 2 * GROUP;
/// Tokens of room that a sequence starts with.
const CAPACITY_MIN: usize = 2 * STEP;

/// Sizes that decide the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KvLayout {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) element: KvElement,
}

impl KvLayout {
    /// Numbers of a head in memory: those past the head are zero.
    pub(crate) fn padded(self) -> usize {
        self.head_dim.next_multiple_of(match self.element {
            KvElement::F32 => GROUP,
            KvElement::Bf16 => STEP,
        })
    }

    /// Bytes for keys and values of one token.
    pub(crate) fn token_bytes(self) -> usize {
        2 * self.layers * self.kv_heads * self.padded() * self.element.bytes()
    }

    /// Tokens that a sequence of `needed` tokens makes room for, where `limit` is the context.
    pub(crate) fn capacity(self, needed: usize, limit: usize) -> usize {
        needed
            .next_power_of_two()
            .max(CAPACITY_MIN)
            .min(limit.next_multiple_of(STEP))
            .max(needed.next_multiple_of(STEP))
    }

    /// Words of one token's key, or of its value, in one head.
    fn token_words(self) -> usize {
        self.padded() * self.element.bytes() / size_of::<u32>()
    }

    /// Where number `d` of a token's key stands in its head: the word that holds it. A word holds an
    /// f32, or the bfloat16 of an even `d` in its low half and of the next in its high half.
    fn key_word(self, token: usize, d: usize) -> usize {
        let (line, lines) = match self.element {
            KvElement::F32 => (d, self.padded()),
            KvElement::Bf16 => (d / 2, self.padded() / 2),
        };
        (token / GROUP * lines + line) * GROUP + token % GROUP
    }

    /// Where number `d` of a token's value stands in its head: the word that holds it. A word holds
    /// an f32, or the bfloat16 of an even token in its low half and of the next in its high half.
    fn value_word(self, token: usize, d: usize) -> usize {
        match self.element {
            KvElement::F32 => token * self.padded() + d,
            KvElement::Bf16 => {
                let column = token / STEP * (self.padded() / GROUP) + d / GROUP;
                (column * GROUP + token % STEP / 2) * GROUP + d % GROUP
            }
        }
    }
}

/// Per layer and head keys, then values; all in one piece of memory, so that large pages can back it.
///
/// | element | keys | values |
/// |---|---|---|
/// | f32 | `[token / 16][number][token % 16]` | `[token][number]` |
/// | bf16 | `[token / 16][number / 2][token % 16][2]` | `[token / 32][number / 16][token % 32 / 2][number % 16][2]` |
///
/// The latter is what tiles of bfloat16 multiply, and what vectors widen by shifts.
#[derive(Debug)]
pub(crate) struct CpuKv {
    layout: KvLayout,
    capacity: usize,
    data: Buffer,
}

/// Keys and values of one layer, to be written head by head.
pub(super) struct LayerMut<'a> {
    layout: KvLayout,
    /// Of each head keys, then values.
    planes: SharedRows<'a, u32>,
}

/// Keys and values of one head, laid out as [`CpuKv`] says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) element: KvElement,
    pub(super) keys: &'a [u32],
    pub(super) values: &'a [u32],
    /// What is needed next.
    pub(super) ahead: Option<Ahead>,
}

impl CpuKv {
    pub(crate) fn new(layout: KvLayout) -> Self {
        Self {
            layout,
            capacity: 0,
            data: Buffer::zeroed(0),
        }
    }

    pub(crate) fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.capacity * self.layout.token_bytes()
    }

    /// Makes room for `needed` tokens, of which `held` are kept; at most doubles, up to `limit`.
    pub(crate) fn reserve(&mut self, held: usize, needed: usize, limit: usize) {
        if needed <= self.capacity {
            return;
        }
        *self = self.resized(held, self.layout.capacity(needed, limit));
    }

    /// A copy with just the room that `held` tokens need.
    pub(crate) fn fork(&self, held: usize) -> Self {
        self.resized(held, held.next_multiple_of(CAPACITY_MIN))
    }

    fn resized(&self, held: usize, capacity: usize) -> Self {
        let each = self.layout.token_words();
        let planes = 2 * self.layout.layers * self.layout.kv_heads;
        let mut data = Buffer::zeroed(planes * capacity * each * size_of::<u32>());
        // whole steps are copied; both layouts hold `held * each` words then
        let copied = held.next_multiple_of(STEP).min(self.capacity) * each;
        if copied > 0 {
            let old = self.data.as_u32().chunks_exact(self.capacity * each);
            let new = data.as_mut_u32().chunks_exact_mut(capacity * each);
            for (new, old) in new.zip(old) {
                new[..copied].copy_from_slice(&old[..copied]);
            }
        }
        Self {
            layout: self.layout,
            capacity,
            data,
        }
    }

    /// Words of a head's keys, or of its values.
    fn plane(&self) -> usize {
        self.capacity * self.layout.token_words()
    }

    pub(super) fn layer_mut(&mut self, layer: usize) -> LayerMut<'_> {
        let plane = self.plane();
        let each = 2 * self.layout.kv_heads * plane;
        LayerMut {
            layout: self.layout,
            planes: SharedRows::new(
                &mut self.data.as_mut_u32()[layer * each..(layer + 1) * each],
                plane,
            ),
        }
    }

    pub(super) fn head(&self, layer: usize, head: usize) -> Head<'_> {
        let plane = self.plane();
        let from = 2 * (layer * self.layout.kv_heads + head) * plane;
        let (keys, values) = self.data.as_u32()[from..from + 2 * plane].split_at(plane);
        Head {
            element: self.layout.element,
            keys,
            values,
            ahead: None,
        }
    }

    /// Makes the values of tokens `start..end` zero: a token that is no longer held has the weight
    /// zero in sums over whole steps, and what is not a number would still spoil them.
    pub(crate) fn clear(&mut self, start: usize, end: usize) {
        let end = end.min(self.capacity);
        if self.layout.element == KvElement::F32 || start >= end {
            return;
        }
        for layer in 0..self.layout.layers {
            for head in 0..self.layout.kv_heads {
                let target = self.layer_mut(layer);
                // SAFETY: this is the only thread.
                let values = unsafe { target.planes.row(2 * head + 1) };
                for token in start..end {
                    for column in (0..target.layout.padded()).step_by(GROUP) {
                        let at = target.layout.value_word(token, column);
                        for word in &mut values[at..at + GROUP] {
                            *word &= kept_half(token);
                        }
                    }
                }
            }
        }
    }

    /// The numbers of tokens `start..end`: per layer, keys then values, each
    /// `[token][head][head_dim]`.
    pub(crate) fn read(&self, start: usize, end: usize) -> KvValues {
        let KvLayout {
            layers,
            kv_heads,
            head_dim,
            element,
        } = self.layout;
        let numbers = 2 * layers * kv_heads * head_dim * (end - start);
        let mut out = KvValues::with_capacity(element, numbers);
        for layer in 0..layers {
            let heads: Vec<Head<'_>> = (0..kv_heads).map(|head| self.head(layer, head)).collect();
            for token in start..end {
                for head in &heads {
                    self.read_key(head.keys, token, &mut out);
                }
            }
            for token in start..end {
                for head in &heads {
                    self.read_value(head.values, token, &mut out);
                }
            }
        }
        out
    }

    pub(super) fn read_key(&self, keys: &[u32], token: usize, out: &mut KvValues) {
        let head_dim = self.layout.head_dim;
        let words = keys[self.layout.key_word(token, 0)..].iter().step_by(GROUP);
        match out {
            KvValues::F32(out) => out.extend(words.take(head_dim).map(|w| f32::from_bits(*w))),
            KvValues::Bf16(out) => {
                let len = out.len();
                for word in words.take(head_dim.div_ceil(2)) {
                    out.extend(halves(*word));
                }
                out.truncate(len + head_dim);
            }
        }
    }

    pub(super) fn read_value(&self, values: &[u32], token: usize, out: &mut KvValues) {
        let head_dim = self.layout.head_dim;
        for column in (0..head_dim).step_by(GROUP) {
            let at = self.layout.value_word(token, column);
            let words = &values[at..at + GROUP.min(head_dim - column)];
            match out {
                KvValues::F32(out) => out.extend(words.iter().map(|w| f32::from_bits(*w))),
                KvValues::Bf16(out) => out.extend(words.iter().map(|w| halves(*w)[token % 2])),
            }
        }
    }

    /// Writes the tokens of `pieces`, `count` each, from `start` on, laid out as [`CpuKv::read`] gives
    /// them; there is room, and the numbers are of this element.
    ///
    /// Where there is much to write, `threads` share the layers.
    pub(crate) fn write(&mut self, start: usize, pieces: &[(usize, &KvValues)], threads: usize) {
        let layout = self.layout;
        let count: usize = pieces.iter().map(|(count, _)| count).sum();
        let bytes = count * layout.token_bytes();
        let threads = threads.min(bytes / THREAD_BYTES_MIN).max(1);
        let plane = self.plane();
        let each = 2 * layout.kv_heads * plane;
        let mut layers: Vec<(usize, &mut [u32])> = if each == 0 {
            Vec::new()
        } else {
            let layers = self.data.as_mut_u32().chunks_exact_mut(each);
            layers.enumerate().collect()
        };
        let write = |layers: &mut [(usize, &mut [u32])]| {
            for (layer, words) in layers {
                let mut at = start;
                for (count, values) in pieces {
                    layout.write_layer(words, plane, (at, *count), *layer, values);
                    at += count;
                }
            }
        };
        let share = layers.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let mut parts = layers.chunks_mut(share);
            let own = parts.next();
            for part in parts {
                scope.spawn(move || write(part));
            }
            own.map(write);
        });
    }
}

impl KvLayout {
    /// Writes the `count` tokens of `values` from `start` on into the words of one layer.
    fn write_layer(
        self,
        words: &mut [u32],
        plane: usize,
        (start, count): (usize, usize),
        layer: usize,
        values: &KvValues,
    ) {
        let (head_dim, row) = (self.head_dim, self.kv_heads * self.head_dim);
        let from = layer * 2 * count * row;
        let whole = start.is_multiple_of(GROUP) && head_dim.is_multiple_of(GROUP);
        let groups = if whole { count / GROUP * GROUP } else { 0 };
        let heads = words.chunks_exact_mut(2 * plane);
        for (head, words) in heads.enumerate() {
            let (keys, vals) = words.split_at_mut(plane);
            match values {
                KvValues::F32(data) => {
                    let (k, v) = data[from..].split_at(count * row);
                    for i in 0..count {
                        let at = i * row + head * head_dim;
                        for d in 0..head_dim {
                            keys[self.key_word(start + i, d)] = k[at + d].to_bits();
                            vals[self.value_word(start + i, d)] = v[at + d].to_bits();
                        }
                    }
                }
                KvValues::Bf16(data) => {
                    let (k, v) = data[from..].split_at(count * row);
                    for i in (0..groups).step_by(GROUP) {
                        let at = i * row + head * head_dim;
                        let to = &mut keys[self.key_word(start + i, 0)..];
                        write_key_group(&k[at..], row, head_dim, to);
                        let to = &mut vals[self.value_word(start + i, 0)..];
                        write_value_group(&v[at..], row, head_dim, to);
                    }
                    for i in groups..count {
                        let at = i * row + head * head_dim;
                        for d in 0..head_dim {
                            let word = &mut keys[self.key_word(start + i, d)];
                            set_half(word, d, k[at + d]);
                            let word = &mut vals[self.value_word(start + i, d)];
                            set_half(word, start + i, v[at + d]);
                        }
                    }
                }
            }
        }
    }
}

/// Bytes of keys and values that are worth a thread.
const THREAD_BYTES_MIN: usize = 2 << 20;

/// Sixteen tokens' keys, rows of `data`.
fn write_key_group(data: &[u16], row: usize, head_dim: usize, to: &mut [u32]) {
    let rows: [&[u16]; GROUP] = std::array::from_fn(|t| &data[t * row..][..head_dim]);
    let (lines, _) = to[..head_dim / 2 * GROUP].as_chunks_mut::<GROUP>();
    for (line, words) in lines.iter_mut().enumerate() {
        for (word, row) in words.iter_mut().zip(rows) {
            *word = u32::from(row[2 * line]) | u32::from(row[2 * line + 1]) << 16;
        }
    }
}

/// Sixteen tokens' values, rows of `data`; they are half of a step.
fn write_value_group(data: &[u16], row: usize, head_dim: usize, to: &mut [u32]) {
    for pair in 0..GROUP / 2 {
        let (low, high) = (&data[2 * pair * row..], &data[(2 * pair + 1) * row..]);
        let columns = low[..head_dim].chunks_exact(GROUP);
        let columns = columns.zip(high[..head_dim].chunks_exact(GROUP));
        for (column, (low, high)) in columns.enumerate() {
            let words = &mut to[(column * GROUP + pair) * GROUP..][..GROUP];
            for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
                *word = u32::from(*low) | u32::from(*high) << 16;
            }
        }
    }
}

/// Sets the low half of a word where `index` is even, else the high one.
#[inline(always)]
fn set_half(word: &mut u32, index: usize, number: u16) {
    *word = *word & kept_half(index) | u32::from(number) << (index % 2 * 16);
}

/// The half of a word of values that belongs to the token beside this one.
#[inline(always)]
fn kept_half(token: usize) -> u32 {
    0xffff_0000 >> (token % 2 * 16)
}

fn halves(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_le_bytes();
    [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]
}

impl LayerMut<'_> {
    /// Keys and values of one head.
    ///
    /// # Safety
    /// No thread writes to the head while the result is in use.
    pub(super) unsafe fn head(&self, head: usize) -> Head<'_> {
        // SAFETY: passed on to the caller; only read from here on.
        let (keys, values) = unsafe { (self.planes.row(2 * head), self.planes.row(2 * head + 1)) };
        Head {
            element: self.layout.element,
            keys,
            values,
            ahead: None,
        }
    }

    /// Where a head lies.
    pub(super) fn ahead(&self, head: usize) -> Ahead {
        Ahead::new(self.planes.place(2 * head), self.planes.place(2 * head + 1))
    }

    /// Sets key and value of one token in one head.
    ///
    /// # Safety
    /// One thread a head.
    pub(super) unsafe fn set(
        &self,
        isa: Isa,
        head: usize,
        token: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let layout = self.layout;
        // SAFETY: passed on to the caller.
        let (all_keys, all_values) =
            unsafe { (self.planes.row(2 * head), self.planes.row(2 * head + 1)) };
        let all_keys = &mut all_keys[layout.key_word(token, 0)..];
        match layout.element {
            KvElement::F32 => {
                for (word, key) in all_keys.iter_mut().step_by(GROUP).zip(keys) {
                    *word = key.to_bits();
                }
                let at = layout.value_word(token, 0);
                for (word, value) in all_values[at..].iter_mut().zip(values) {
                    *word = value.to_bits();
                }
            }
            KvElement::Bf16 => {
                set_rounded_keys(isa, all_keys, keys);
                let from = layout.value_word(token, 0);
                set_rounded_values(isa, &mut all_values[from..], token % 2, values);
            }
        }
    }
}

lanes! {
    fn set_rounded_keys(target: &mut [u32], keys: &[f32]) = set_rounded_keys_body
}

#[inline(always)]
fn set_rounded_keys_body(target: &mut [u32], keys: &[f32]) {
    let (steps, rest) = keys.as_chunks::<STEP>();
    let mut words = target.iter_mut().step_by(GROUP);
    for numbers in steps {
        let mut pairs = [0; GROUP];
        for (pair, numbers) in pairs.iter_mut().zip(numbers.as_chunks::<2>().0) {
            *pair = bf16_pair(numbers[0], numbers[1]);
        }
        for (pair, word) in pairs.into_iter().zip(words.by_ref()) {
            *word = pair;
        }
    }
    for (word, numbers) in words.zip(rest.chunks(2)) {
        *word = bf16_pair(numbers[0], numbers.get(1).copied().unwrap_or(0.0));
    }
}

lanes! {
    fn set_rounded_values(target: &mut [u32], half: usize, values: &[f32]) = set_rounded_values_body
}

/// `target` begins at the token's first number; sixteen further numbers are a tile on.
#[inline(always)]
fn set_rounded_values_body(target: &mut [u32], half: usize, values: &[f32]) {
    for (words, values) in target.chunks_mut(GROUP * GROUP).zip(values.chunks(GROUP)) {
        for (word, value) in words.iter_mut().zip(values) {
            *word = if half == 0 {
                // what the next token had is no longer held
                bf16_pair(*value, 0.0)
            } else {
                *word & 0xffff | bf16_pair(0.0, *value)
            };
        }
    }
}

/// The sixteen numbers in the low halves of words, and those in the high ones.
#[inline(always)]
pub(super) fn widened(words: &[u32; GROUP]) -> [[f32; GROUP]; 2] {
    let (mut low, mut high) = ([0f32; GROUP], [0f32; GROUP]);
    for lane in 0..GROUP {
        [low[lane], high[lane]] = of_bf16_pair(words[lane]);
    }
    [low, high]
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test numbers are small")]
mod tests {
    use super::*;
    use crate::sampler::SplitMix64;

    fn kv(head_dim: usize, element: KvElement) -> CpuKv {
        CpuKv::new(KvLayout {
            layers: 2,
            kv_heads: 2,
            head_dim,
            element,
        })
    }

    /// Tokens set one by one, written in pieces, grown, forked and read are the same numbers.
    #[test]
    fn every_way_in_and_out_agrees() {
        let mut rng = SplitMix64::new(3);
        let len = 75;
        for head_dim in [16, 33, 40, 64, 80, 128] {
            let row = 2 * head_dim;
            let numbers: Vec<f32> = (0..4 * len * row)
                .map(|_| (rng.next_unit() * 4.0 - 2.0) as f32)
                .collect();
            for element in [KvElement::F32, KvElement::Bf16] {
                let expected = KvValues::from_f32(element, numbers.clone());
                let mut set = kv(head_dim, element);
                set.reserve(0, len, 1000);
                for layer in 0..2 {
                    let target = set.layer_mut(layer);
                    for token in 0..len {
                        for head in 0..2 {
                            let from = (2 * layer * len + token) * row + head * head_dim;
                            let keys = &numbers[from..from + head_dim];
                            let values = &numbers[from + len * row..][..head_dim];
                            // SAFETY: this is the only thread.
                            unsafe { target.set(Isa::detect(), head, token, keys, values) };
                        }
                    }
                }
                assert_eq!(set.read(0, len), expected, "{head_dim} {element:?}");
                let mut written = kv(head_dim, element);
                for (start, end) in [(0, 1), (1, 33), (33, 64), (64, 75)] {
                    written.reserve(start, end, 1000);
                    let piece = set.read(start, end);
                    written.write(start, &[(end - start, &piece)], 1);
                }
                assert_eq!(written.read(0, len), expected, "{head_dim} {element:?}");
                assert_eq!(written.fork(len).read(0, len), expected);
                let pieces = [(0, 16), (16, 64), (64, 75)].map(|(a, b)| (b - a, set.read(a, b)));
                let pieces = pieces.each_ref().map(|(count, values)| (*count, values));
                for threads in [1, 3] {
                    let mut together = kv(head_dim, element);
                    together.reserve(0, len, 1000);
                    together.write(0, &pieces, threads);
                    assert_eq!(together.read(0, len), expected, "{head_dim} {element:?}");
                }
            }
        }
    }

    /// What is not a number and no longer held does not reach sums over whole steps.
    #[test]
    fn cleared_tokens_are_zero_and_their_neighbours_stay() {
        let (head_dim, len) = (40, 70);
        let mut kv = kv(head_dim, KvElement::Bf16);
        kv.reserve(0, len, 100);
        let values = KvValues::Bf16(vec![0x7fc1; 8 * len * head_dim]);
        kv.write(0, &[(len, &values)], 1);
        kv.clear(37, len);
        for (token, expected) in [(36, 0x7fc1), (37, 0), (38, 0), (69, 0)] {
            let KvValues::Bf16(bits) = kv.read(token, token + 1) else {
                panic!("bf16");
            };
            let values = bits.chunks(2 * head_dim).skip(1).step_by(2);
            assert!(values.flatten().all(|bits| *bits == expected), "{token}");
        }
    }
}
