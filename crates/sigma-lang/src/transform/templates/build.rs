//! Collects segments into templates and columns.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64;

use super::{COLUMNS_MAX, HOLES_MAX, TEMPLATES_MAX};

/// A part of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "content is at most 2^30 bytes long"
    )]
    pub(super) fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(super) fn of(self, content: &[u8]) -> &[u8] {
        content
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// Which column a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// By the literal text in front of it.
    Text,
    /// By a number that the cutter knows: a field's index, a key's hash.
    Known(u64),
}

/// Bytes of literal text in front of a value that choose its column.
const CONTEXT_BYTES: usize = 16;

/// Keys are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type ByHash<T> = HashMap<u64, T, BuildHasherDefault<AsIs>>;

/// Templates and columns as they grow. The segments follow each other without gaps.
#[derive(Debug)]
pub(super) struct Builder<'c> {
    pub(super) content: &'c [u8],
    hole: u8,
    /// Where the open segment begins, and where its last value ends.
    segment: usize,
    literal: usize,
    /// Hash of its literals so far.
    key: u64,
    values: Vec<Span>,
    contexts: Vec<Context>,
    by_text: ByHash<u32>,
    /// Text of all templates, and where each ends.
    pub(super) texts: Vec<u8>,
    pub(super) text_ends: Vec<usize>,
    /// Columns of the holes of all templates, and where each template's end.
    pub(super) holes: Vec<u32>,
    hole_ends: Vec<usize>,
    by_context: ByHash<u32>,
    pub(super) columns: Vec<Vec<Span>>,
    /// Template of each segment.
    pub(super) segments: Vec<u32>,
}

impl<'c> Builder<'c> {
    /// `hole` must not occur in the content.
    pub(super) fn new(content: &'c [u8], hole: u8) -> Self {
        Builder {
            content,
            hole,
            segment: 0,
            literal: 0,
            key: 0,
            values: Vec::new(),
            contexts: Vec::new(),
            by_text: ByHash::default(),
            texts: Vec::new(),
            text_ends: Vec::new(),
            holes: Vec::new(),
            hole_ends: Vec::new(),
            by_context: ByHash::default(),
            columns: Vec::new(),
            segments: Vec::new(),
        }
    }

    /// This part of the content is a value of the open segment; what is between values is literal.
    #[inline]
    pub(super) fn value(&mut self, start: usize, end: usize, context: Context) {
        self.key = hash_on(self.key, self.content, self.literal, start);
        self.values.push(Span::new(start, end));
        self.contexts.push(context);
        self.literal = end;
    }

    /// Ends the open segment at `end`. False if there are too many templates, columns or holes.
    #[must_use]
    pub(super) fn close(&mut self, end: usize) -> bool {
        let key = hash_on(self.key, self.content, self.literal, end);
        let Some(template) = self.find(key, end) else {
            return false;
        };
        self.segments.push(template);
        let index = template as usize;
        let holes_end = self.hole_ends.get(index).copied().unwrap_or(0);
        let holes = self.holes.get(holes_end - self.values.len()..holes_end);
        for (&span, &column) in self.values.iter().zip(holes.unwrap_or_default()) {
            if let Some(column) = self.columns.get_mut(column as usize) {
                column.push(span);
            }
        }
        self.values.clear();
        self.contexts.clear();
        self.key = 0;
        self.segment = end;
        self.literal = end;
        true
    }

    /// Number of the template of the open segment, made if new.
    fn find(&mut self, mut key: u64, end: usize) -> Option<u32> {
        while let Some(&template) = self.by_text.get(&key) {
            if self.is_template(template as usize, end) {
                return Some(template);
            }
            key = key.wrapping_add(1);
        }
        let template = u32::try_from(self.text_ends.len()).ok()?;
        if self.text_ends.len() >= TEMPLATES_MAX {
            return None;
        }
        self.by_text.insert(key, template);
        let text = self.texts.len();
        let mut from = self.segment;
        for value in &self.values {
            let literal = self.content.get(from..value.start as usize);
            self.texts.extend_from_slice(literal.unwrap_or_default());
            self.texts.push(self.hole);
            from = value.end as usize;
        }
        let literal = self.content.get(from..end).unwrap_or_default();
        self.texts.extend_from_slice(literal);
        self.text_ends.push(self.texts.len());
        self.add_holes(text);
        self.hole_ends.push(self.holes.len());
        (self.columns.len() <= COLUMNS_MAX && self.holes.len() <= HOLES_MAX).then_some(template)
    }

    /// Whether the open segment, ending at `end`, has this template.
    fn is_template(&self, index: usize, end: usize) -> bool {
        let before = |ends: &[usize]| {
            index
                .checked_sub(1)
                .and_then(|before| ends.get(before).copied())
        };
        let start = before(&self.text_ends).unwrap_or(0);
        let text_end = self.text_ends.get(index).copied().unwrap_or(0);
        let mut text = self.texts.get(start..text_end).unwrap_or_default();
        let mut from = self.segment;
        for value in &self.values {
            let literal = self
                .content
                .get(from..value.start as usize)
                .unwrap_or_default();
            match text.split_at_checked(literal.len()) {
                Some((own, [hole, rest @ ..])) if *hole == self.hole && equal(own, literal) => {
                    text = rest;
                }
                _ => return false,
            }
            from = value.end as usize;
        }
        self.content.get(from..end) == Some(text)
    }

    /// Finds the columns of the holes of the open segment's new template, whose text begins at `text`.
    fn add_holes(&mut self, text: usize) {
        let mut contexts = self.contexts.iter();
        let hole = self.hole;
        let text = self.texts.get(text..).unwrap_or_default();
        let at_hole = |(_, byte): &(usize, &u8)| **byte == hole;
        for (position, _) in text.iter().enumerate().filter(at_hole) {
            let key = match contexts.next() {
                Some(Context::Known(key)) => xxh3_64(&key.to_le_bytes()),
                _ => {
                    let from = position.saturating_sub(CONTEXT_BYTES);
                    xxh3_64(text.get(from..position).unwrap_or_default())
                }
            };
            let columns = &mut self.columns;
            let column = *self.by_context.entry(key).or_insert_with(|| {
                columns.push(Vec::new());
                u32::try_from(columns.len() - 1).unwrap_or(u32::MAX)
            });
            self.holes.push(column);
        }
    }
}

/// Whether two strings of the same length are equal. Literals are short: a call of the library's comparison
/// takes longer than two loads.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    if let (Some(a_first), Some(b_first)) = (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        return u64::from_le_bytes(*a_first) == u64::from_le_bytes(*b_first)
            && if a.len() <= 16 {
                a.last_chunk::<8>() == b.last_chunk::<8>()
            } else {
                a == b
            };
    }
    if let (Some(a_first), Some(b_first)) = (a.first_chunk::<4>(), b.first_chunk::<4>()) {
        return u32::from_le_bytes(*a_first) == u32::from_le_bytes(*b_first)
            && a.last_chunk::<4>() == b.last_chunk::<4>();
    }
    a.iter().zip(b).all(|(a, b)| a == b)
}

/// Hash of `content[start..end]` behind what was hashed to `key`. Speed matters here, and little else:
/// what is found by it is compared.
#[inline]
fn hash_on(mut key: u64, content: &[u8], start: usize, end: usize) -> u64 {
    const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut position = start;
    while position + 8 < end {
        key = fold(key, word_at(content, position, 8), MIX);
        position += 8;
    }
    let left = end.saturating_sub(position);
    fold(
        key,
        word_at(content, position, left),
        MIX ^ (end - start) as u64,
    )
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "halves of the product")]
fn fold(key: u64, word: u64, factor: u64) -> u64 {
    let product = u128::from(key ^ word ^ 0xD6E8_FEB8_6659_FD93) * u128::from(factor);
    product as u64 ^ (product >> 64) as u64
}

/// `length` (0..=8) bytes as a number; those behind do not count. One load where eight bytes are there.
#[inline]
fn word_at(content: &[u8], position: usize, length: usize) -> u64 {
    let rest = content.get(position..).unwrap_or_default();
    let Some(&eight) = rest.first_chunk() else {
        let mut eight = [0; 8];
        for (place, &byte) in eight.iter_mut().zip(rest).take(length) {
            *place = byte;
        }
        return u64::from_le_bytes(eight);
    };
    // Shifted in two steps: no bytes are a shift by all 64 bits.
    let mask = !(u64::MAX << (4 * length) << (4 * length));
    u64::from_le_bytes(eight) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_that_of_slices() {
        let bytes: Vec<u8> = (0..40).collect();
        for length in 0..bytes.len() {
            let own = &bytes[..length];
            let copy = own.to_vec();
            assert!(equal(own, &copy));
            for place in 0..length {
                let mut other = own.to_vec();
                other[place] ^= 1;
                assert!(!equal(own, &other), "{length} bytes, byte {place}");
            }
        }
    }
}
