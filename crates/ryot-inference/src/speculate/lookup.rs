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

/// A place that ends as the tokens end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Index of the length of the ending: 0 is the longest.
    pub(super) length: usize,
    /// Position of what followed the ending there.
    at: usize,
}

impl Found {
    /// What followed, `count` tokens: where that runs into the end of `tokens`, it goes on with the
    /// guesses themselves, as a copy that overlaps its source does in Lempel-Ziv 1977, because a text
    /// that has begun to go in circles is found one round back.
    pub(super) fn guesses(self, tokens: &[u32], count: usize) -> Vec<u32> {
        let followed = tokens.get(self.at..).unwrap_or_default();
        followed.iter().copied().cycle().take(count).collect()
    }
}

/// FNV-1a over token ids; a clash is found when the tokens are compared.
fn hash(tokens: &[u32]) -> u64 {
    let step = |h: u64, t: &u32| (h ^ u64::from(*t)).wrapping_mul(0x0100_0000_01b3);
    tokens.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

impl Lookup {
    /// Number of lengths.
    pub(super) const KINDS: usize = LENGTHS.len();

    /// The latest place before the end of `tokens` with the same ending, the longest that there is.
    /// `tokens` must begin with those of the call before.
    ///
    /// Cost: three look-ups, and three entries per token that is new.
    pub(super) fn find(&mut self, tokens: &[u32]) -> Option<Found> {
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
            if at.checked_sub(*length).and_then(|s| tokens.get(s..at)) == Some(ending) {
                return Some(Found { length: kind, at });
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
    fn plain(tokens: &[u32]) -> Option<Found> {
        LENGTHS.iter().enumerate().find_map(|(kind, length)| {
            let start = tokens.len().checked_sub(*length)?;
            let mut places = (*length..tokens.len()).rev();
            let at = places.find(|&at| tokens[at - length..at] == tokens[start..])?;
            Some(Found { length: kind, at })
        })
    }

    #[test]
    fn the_latest_continuation_of_the_longest_ending_is_found() {
        let tokens = [1, 2, 3, 1, 2, 4, 1, 2];
        let found = Lookup::default().find(&tokens).unwrap();
        assert_eq!((found.at, found.length), (5, 2));
        assert_eq!(found.guesses(&tokens, 2), [4, 1]);
        assert_eq!(Lookup::default().find(&[1, 2, 3]), None);
        assert_eq!(Lookup::default().find(&[]), None);
    }

    #[test]
    fn a_circle_goes_on() {
        let tokens = [7, 7, 7];
        let found = Lookup::default().find(&tokens).unwrap();
        assert_eq!(found.guesses(&tokens, 5), [7; 5]);
        let tokens = [1, 2, 3, 1, 2, 3, 1, 2];
        let found = Lookup::default().find(&tokens).unwrap();
        assert_eq!(found.guesses(&tokens, 7), [3, 1, 2, 3, 1, 2, 3]);
        assert_eq!(found.guesses(&tokens, 0), [0; 0]);
    }

    proptest! {
        #[test]
        fn equals_searching_backwards(
            tokens in proptest::collection::vec(0_u32..3, 0..60),
            first in 0_usize..60,
        ) {
            let mut lookup = Lookup::default();
            for end in first.min(tokens.len())..=tokens.len() {
                prop_assert_eq!(lookup.find(&tokens[..end]), plain(&tokens[..end]));
            }
        }
    }
}
