//! SentencePiece's merging by score, for GGUF files whose tokenizer model is `llama`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// What stands for a space inside pieces.
pub(super) const SPACE: char = '\u{2581}';

/// Pieces with scores, and what is emitted for characters that are no piece.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: HashMap<String, (u32, f32)>,
    bytes: Option<Box<[u32; 256]>>,
    unknown: Option<u32>,
    /// Whether a space is put before text that starts a sequence or follows a special token.
    space_prefix: bool,
}

impl SentencePiece {
    pub(super) fn new(
        pieces: HashMap<String, (u32, f32)>,
        bytes: Option<Box<[u32; 256]>>,
        unknown: Option<u32>,
        space_prefix: bool,
    ) -> Self {
        Self {
            pieces,
            bytes,
            unknown,
            space_prefix,
        }
    }

    /// Appends the tokens of `text`.
    ///
    /// Starts from single characters and merges, again and again, the neighbours whose piece has
    /// the highest score, the leftmost on a tie. Cost: O(n log n) for n characters.
    ///
    /// # Source
    /// Kudo and Richardson, "SentencePiece", 2018, its BPE model; same results as llama.cpp's
    /// `llm_tokenizer_spm`.
    pub(super) fn encode(&self, text: &str, first: bool, tokens: &mut Vec<u32>) {
        let mut normal = String::with_capacity(text.len() + 3);
        if first && self.space_prefix && !text.is_empty() {
            normal.push(SPACE);
        }
        normal.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        let mut chain = Chain::new(&normal);
        let mut queue = BinaryHeap::new();
        for right in 1..chain.links.len() {
            self.offer(&chain, right - 1, right, &mut queue);
        }
        while let Some(pair) = queue.pop() {
            if !chain.still_there(&pair) {
                continue;
            }
            chain.merge(pair.left, pair.right);
            let (before, after) = chain.neighbours(pair.left);
            if let Some(before) = before {
                self.offer(&chain, before, pair.left, &mut queue);
            }
            if let Some(after) = after {
                self.offer(&chain, pair.left, after, &mut queue);
            }
        }
        chain.for_each(|piece| self.emit(piece, tokens));
    }

    fn offer(&self, chain: &Chain<'_>, left: usize, right: usize, queue: &mut BinaryHeap<Pair>) {
        let Some(text) = chain.joined(left, right) else {
            return;
        };
        if let Some((_, score)) = self.pieces.get(text) {
            queue.push(Pair {
                score: *score,
                left,
                right,
                len: text.len(),
            });
        }
    }

    fn emit(&self, piece: &str, tokens: &mut Vec<u32>) {
        match (self.pieces.get(piece), &self.bytes) {
            (Some((token, _)), _) => tokens.push(*token),
            (None, Some(table)) => {
                tokens.extend(
                    piece
                        .bytes()
                        .filter_map(|b| table.get(usize::from(b)).copied()),
                );
            }
            (None, None) => tokens.extend(self.unknown),
        }
    }
}

/// Two neighbours that would make a piece of `len` bytes.
#[derive(Debug, PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The text as a linked list of spans, at first one per character.
struct Chain<'a> {
    text: &'a str,
    links: Vec<Link>,
}

/// A span; empty once it was merged into the one before.
#[derive(Clone, Copy)]
struct Link {
    start: usize,
    len: usize,
    before: Option<usize>,
    after: Option<usize>,
}

impl<'a> Chain<'a> {
    fn new(text: &'a str) -> Self {
        let count = text.chars().count();
        let link = |(index, (start, c)): (usize, (usize, char))| Link {
            start,
            len: c.len_utf8(),
            before: index.checked_sub(1),
            after: Some(index + 1).filter(|next| *next < count),
        };
        Self {
            text,
            links: text.char_indices().enumerate().map(link).collect(),
        }
    }

    fn joined(&self, left: usize, right: usize) -> Option<&'a str> {
        let (left, right) = (self.links.get(left)?, self.links.get(right)?);
        self.text.get(left.start..right.start + right.len)
    }

    /// Whether the pair's two spans are still neighbours as they were.
    fn still_there(&self, pair: &Pair) -> bool {
        let (Some(left), Some(right)) = (self.links.get(pair.left), self.links.get(pair.right))
        else {
            return false;
        };
        left.len > 0 && right.len > 0 && left.len + right.len == pair.len
    }

    fn merge(&mut self, left: usize, right: usize) {
        let Some(gone) = self.links.get_mut(right) else {
            return;
        };
        let (len, after) = (gone.len, gone.after);
        gone.len = 0;
        if let Some(kept) = self.links.get_mut(left) {
            kept.len += len;
            kept.after = after;
        }
        if let Some(next) = after.and_then(|i| self.links.get_mut(i)) {
            next.before = Some(left);
        }
    }

    fn neighbours(&self, index: usize) -> (Option<usize>, Option<usize>) {
        self.links
            .get(index)
            .map_or((None, None), |link| (link.before, link.after))
    }

    fn for_each(&self, mut visit: impl FnMut(&'a str)) {
        let mut at = if self.links.is_empty() { None } else { Some(0) };
        while let Some(link) = at.and_then(|i| self.links.get(i)) {
            visit(
                self.text
                    .get(link.start..link.start + link.len)
                    .unwrap_or_default(),
            );
            at = link.after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model(pieces: &[(&str, f32)]) -> SentencePiece {
        let table: HashMap<String, (u32, f32)> = (300u32..)
            .zip(pieces)
            .map(|(id, (piece, score))| ((*piece).to_owned(), (id, *score)))
            .collect();
        let bytes: [u32; 256] = std::array::from_fn(|b| u32::try_from(b).unwrap());
        SentencePiece::new(table, Some(Box::new(bytes)), None, true)
    }

    fn encode(model: &SentencePiece, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        model.encode(text, true, &mut tokens);
        tokens
    }

    /// The plain twin: look at every pair, merge the best, start over.
    fn plain(model: &SentencePiece, text: &str) -> Vec<u32> {
        let mut parts: Vec<String> = format!("{SPACE}{}", text.replace(' ', "\u{2581}"))
            .chars()
            .map(String::from)
            .collect();
        loop {
            let mut best: Option<(usize, f32)> = None;
            for i in 1..parts.len() {
                let joined = format!("{}{}", parts[i - 1], parts[i]);
                if let Some((_, score)) = model.pieces.get(&joined)
                    && best.is_none_or(|(_, b)| *score > b)
                {
                    best = Some((i, *score));
                }
            }
            let Some((i, _)) = best else { break };
            let right = parts.remove(i);
            parts[i - 1].push_str(&right);
        }
        let mut tokens = Vec::new();
        parts.iter().for_each(|p| model.emit(p, &mut tokens));
        tokens
    }

    #[test]
    fn higher_scores_merge_first() {
        let m = model(&[
            ("\u{2581}", -9.0),
            ("a", -9.0),
            ("b", -9.0),
            ("ab", -1.0),
            ("ba", -2.0),
        ]);
        // "_abba": ab (-1) before ba (-2), then b and a are left apart from the merged ab
        assert_eq!(encode(&m, "abba"), [300, 303, 304]);
        assert_eq!(encode(&m, "aba"), [300, 303, 301]);
    }

    #[test]
    fn unknown_characters_become_bytes_or_unknown() {
        let m = model(&[("\u{2581}", -1.0)]);
        assert_eq!(encode(&m, "\u{e9}"), [300, 0xc3, 0xa9]);
        let mut m = model(&[("\u{2581}", -1.0)]);
        m.bytes = None;
        m.unknown = Some(7);
        assert_eq!(encode(&m, "\u{e9}"), [300, 7]);
    }

    #[test]
    fn empty_text_gets_no_prefix() {
        assert!(encode(&model(&[("\u{2581}", -1.0)]), "").is_empty());
    }

    proptest! {
        #[test]
        fn equals_the_plain_twin(text in "[ab ]{0,24}", scores in proptest::collection::vec(0i8..4, 12)) {
            let names = [
                "\u{2581}", "a", "b", "ab", "ba", "aa", "bb", "\u{2581}a", "\u{2581}b", "aba", "abab", "bba",
            ];
            let pieces: Vec<(&str, f32)> =
                names.iter().zip(&scores).map(|(n, s)| (*n, f32::from(*s))).collect();
            let m = model(&pieces);
            prop_assume!(!text.is_empty());
            prop_assert_eq!(encode(&m, &text), plain(&m, &text));
        }
    }
}
