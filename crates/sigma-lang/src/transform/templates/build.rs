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

/// Templates and columns as they grow.
#[derive(Debug)]
pub(super) struct Builder<'c> {
    pub(super) content: &'c [u8],
    hole: u8,
    /// Template of the segment that is open.
    skeleton: Vec<u8>,
    values: Vec<(Span, Context)>,
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
            skeleton: Vec::new(),
            values: Vec::new(),
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

    /// The open segment goes on with this part of the content as literal text.
    pub(super) fn literal(&mut self, start: usize, end: usize) {
        self.skeleton
            .extend_from_slice(self.content.get(start..end).unwrap_or_default());
    }

    /// The open segment goes on with this part of the content as a value.
    pub(super) fn value(&mut self, start: usize, end: usize, context: Context) {
        self.skeleton.push(self.hole);
        self.values.push((Span::new(start, end), context));
    }

    /// Ends the open segment. False if there are too many templates, columns or holes.
    #[must_use]
    pub(super) fn close(&mut self) -> bool {
        let Some(template) = self.find() else {
            return false;
        };
        self.segments.push(template);
        let index = template as usize;
        let end = self.hole_ends.get(index).copied().unwrap_or(0);
        let holes = self.holes.get(end - self.values.len()..end);
        for (&(span, _), &column) in self.values.iter().zip(holes.unwrap_or_default()) {
            if let Some(column) = self.columns.get_mut(column as usize) {
                column.push(span);
            }
        }
        self.skeleton.clear();
        self.values.clear();
        true
    }

    /// Number of the template of the open segment, made if new.
    fn find(&mut self) -> Option<u32> {
        let mut key = xxh3_64(&self.skeleton);
        while let Some(&template) = self.by_text.get(&key) {
            let index = template as usize;
            let start = index
                .checked_sub(1)
                .and_then(|before| self.text_ends.get(before));
            let end = self.text_ends.get(index).copied().unwrap_or(0);
            let text = self.texts.get(start.copied().unwrap_or(0)..end);
            if text == Some(self.skeleton.as_slice()) {
                return Some(template);
            }
            key = key.wrapping_add(1);
        }
        let template = u32::try_from(self.text_ends.len()).ok()?;
        if self.text_ends.len() >= TEMPLATES_MAX {
            return None;
        }
        self.by_text.insert(key, template);
        self.texts.extend_from_slice(&self.skeleton);
        self.text_ends.push(self.texts.len());
        self.add_holes();
        self.hole_ends.push(self.holes.len());
        (self.columns.len() <= COLUMNS_MAX && self.holes.len() <= HOLES_MAX).then_some(template)
    }

    /// Finds the columns of the holes of the open segment's new template.
    fn add_holes(&mut self) {
        let mut values = self.values.iter();
        let hole = self.hole;
        let at_hole = |(_, byte): &(usize, &u8)| **byte == hole;
        for (position, _) in self.skeleton.iter().enumerate().filter(at_hole) {
            let key = match values.next() {
                Some((_, Context::Known(key))) => xxh3_64(&key.to_le_bytes()),
                _ => {
                    let from = position.saturating_sub(CONTEXT_BYTES);
                    xxh3_64(self.skeleton.get(from..position).unwrap_or_default())
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
