//! Finding special tokens in text.

use std::collections::HashMap;

/// A part of a text: plain, or one special token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Token(u32),
}

/// The special tokens of a vocabulary.
#[derive(Debug, Clone, Default)]
pub(super) struct SpecialTokens {
    by_text: HashMap<String, Entry>,
    /// Lengths in bytes of those that begin with a byte, longest first.
    lengths: HashMap<u8, Vec<usize>>,
}

#[derive(Debug, Clone)]
struct Entry {
    token: u32,
    /// A control token is found only when the caller asks; a user-defined one always.
    control: bool,
}

impl SpecialTokens {
    /// Adds a token, unless its text is known; empty text is never found.
    pub(super) fn insert(&mut self, text: &str, token: u32, control: bool) {
        let Some(first) = text.as_bytes().first() else {
            return;
        };
        if self.by_text.contains_key(text) {
            return;
        }
        self.by_text
            .insert(text.to_owned(), Entry { token, control });
        let lengths = self.lengths.entry(*first).or_default();
        if let Err(at) = lengths.binary_search_by(|len| text.len().cmp(len)) {
            lengths.insert(at, text.len());
        }
    }

    /// Splits `text` at its special tokens: leftmost first, the longest on a tie.
    ///
    /// Cost: O(n * k) for n bytes and special tokens of k lengths with the same first byte.
    pub(super) fn split<'a>(&self, text: &'a str, with_control: bool) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let mut plain_from = 0;
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
            match self.at_start(rest, with_control) {
                Some((len, token)) => {
                    parts.extend(
                        text.get(plain_from..at)
                            .filter(|t| !t.is_empty())
                            .map(Part::Text),
                    );
                    parts.push(Part::Token(token));
                    at += len;
                    plain_from = at;
                }
                None => at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
        parts.extend(
            text.get(plain_from..)
                .filter(|t| !t.is_empty())
                .map(Part::Text),
        );
        parts
    }

    fn at_start(&self, rest: &str, with_control: bool) -> Option<(usize, u32)> {
        let lengths = self.lengths.get(rest.as_bytes().first()?)?;
        lengths.iter().find_map(|len| {
            let entry = self.by_text.get(rest.get(..*len)?)?;
            (with_control || !entry.control).then_some((*len, entry.token))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_leftmost_longest_and_keeps_control_tokens_as_text_on_request() {
        let mut special = SpecialTokens::default();
        special.insert("<a>", 1, true);
        special.insert("<a>b", 2, true);
        special.insert("<u>", 3, false);
        let text = "x<a>b\u{e9}<u><a>";
        let all = [
            Part::Text("x"),
            Part::Token(2),
            Part::Text("\u{e9}"),
            Part::Token(3),
            Part::Token(1),
        ];
        assert_eq!(special.split(text, true), all);
        let plain = [Part::Text("x<a>b\u{e9}"), Part::Token(3), Part::Text("<a>")];
        assert_eq!(special.split(text, false), plain);
        assert_eq!(special.split("", true), []);
    }
}
