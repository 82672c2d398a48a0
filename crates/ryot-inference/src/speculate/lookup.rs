//! Guesses from what was there before: the continuation of the latest place with the same ending.

use std::collections::HashMap;

/// Lengths of the endings that are looked for, longest first.
const LENGTHS: [usize; 3] = [6, 4, 2];

/// Where every ending of the known tokens was seen last.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// Position after the ending, per length.
    after: [HashMap<u64, usize>; LENGTHS.len()],
    /// Tokens whose endings are known; those at the very end are entered with the next token.
    known: usize,
}

/// Guesses, and the length of the ending that they follow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Index of the length: 0 is the longest.
    pub(super) length: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// FNV-1a over token ids; a clash is found when the tokens are compared.
fn hash(tokens: &[u32]) -> u64 {
    let step = |h: u64, t: &u32| (h ^ u64::from(*t)).wrapping_mul(0x0100_0000_01b3);
    tokens.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

impl Lookup {
    /// Number of lengths.
    pub(super) const KINDS: usize = LENGTHS.len();

    /// Where the guesses for what follows `tokens` are in `tokens`, at most `count`. `tokens` must
    /// begin with those of the call before.
    ///
    /// Cost: three look-ups, and three entries per token that is new.
    pub(super) fn find(&mut self, tokens: &[u32], count: usize) -> Option<Found> {
        for end in self.known.max(1)..tokens.len() {
            for (length, after) in LENGTHS.iter().zip(&mut self.after) {
                if let Some(ending) = end.checked_sub(*length).and_then(|s| tokens.get(s..end)) {
                    after.insert(hash(ending), end);
                }
            }
        }
        self.known = tokens.len();
        for (kind, (length, after)) in LENGTHS.iter().zip(&self.after).enumerate() {
            let Some(start) = tokens.len().checked_sub(*length) else {
                continue;
            };
            let ending = tokens.get(start..).unwrap_or_default();
            let Some(&at) = after.get(&hash(ending)) else {
                continue;
            };
            let same = at.checked_sub(*length).and_then(|s| tokens.get(s..at)) == Some(ending);
            let end = at.saturating_add(count).min(tokens.len());
            if same && end > at {
                return Some(Found {
                    length: kind,
                    start: at,
                    end,
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The plain twin: search backwards.
    fn plain(tokens: &[u32], count: usize) -> Option<Found> {
        for (kind, length) in LENGTHS.iter().enumerate() {
            let Some(start) = tokens.len().checked_sub(*length) else {
                continue;
            };
            let at = (*length..tokens.len())
                .rev()
                .find(|&at| tokens[at - length..at] == tokens[start..]);
            if let Some(at) = at {
                let end = (at + count).min(tokens.len());
                return (count > 0).then_some(Found {
                    length: kind,
                    start: at,
                    end,
                });
            }
        }
        None
    }

    #[test]
    fn the_latest_continuation_of_the_longest_ending_is_found() {
        let tokens = [1, 2, 3, 1, 2, 4, 1, 2];
        let found = Lookup::default().find(&tokens, 2).unwrap();
        assert_eq!((found.start, found.end, found.length), (5, 7, 2));
        assert_eq!(Lookup::default().find(&[1, 2, 3], 4), None);
        assert_eq!(Lookup::default().find(&[], 4), None);
    }

    proptest! {
        #[test]
        fn equals_searching_backwards(
            tokens in proptest::collection::vec(0_u32..3, 0..60),
            count in 1_usize..9,
            first in 0_usize..60,
        ) {
            let mut lookup = Lookup::default();
            for end in first.min(tokens.len())..=tokens.len() {
                let found = lookup.find(&tokens[..end], count);
                prop_assert_eq!(found, plain(&tokens[..end], count));
            }
        }
    }
}
