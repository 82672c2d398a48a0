//! Stop strings over a stream of pieces, and the holding back that they need.

use std::collections::VecDeque;

use super::Piece;

/// Pieces on their way out.
///
/// A piece is released when its whole text is known not to be part of a stop string and no byte of
/// an unfinished character is waiting to join it.
#[derive(Debug, Default)]
pub(super) struct StopBuffer {
    stops: Vec<String>,
    held: VecDeque<Piece>,
    text: String,
}

impl StopBuffer {
    pub(super) fn new(stops: Vec<String>) -> Self {
        Self {
            stops,
            held: VecDeque::new(),
            text: String::new(),
        }
    }

    /// Adds a piece and moves what is safe to `ready`. `unfinished` says that bytes of the piece's
    /// token are still missing from its text. Returns whether a stop string was completed; all
    /// pieces are then released, cut before it.
    pub(super) fn push(
        &mut self,
        piece: Piece,
        unfinished: bool,
        ready: &mut VecDeque<Piece>,
    ) -> bool {
        self.text.push_str(&piece.text);
        self.held.push_back(piece);
        if let Some(at) = self.first_stop() {
            self.text.truncate(at);
            self.release(at, self.held.len(), ready);
            return true;
        }
        let safe = self.text.len() - self.partial_stop();
        let count = self.held.len() - usize::from(unfinished);
        self.release_whole(safe, count, ready);
        false
    }

    /// Ends the stream: `tail` joins the last piece and everything held is released.
    pub(super) fn finish(&mut self, tail: &str, ready: &mut VecDeque<Piece>) {
        if let Some(last) = self.held.back_mut() {
            last.text.push_str(tail);
        }
        ready.append(&mut self.held);
        self.text.clear();
    }

    /// Start of the earliest stop string in the held text.
    fn first_stop(&self) -> Option<usize> {
        self.stops
            .iter()
            .filter_map(|stop| self.text.find(stop.as_str()))
            .min()
    }

    /// Length of the longest end of the held text that a stop string begins with.
    fn partial_stop(&self) -> usize {
        let text = self.text.as_bytes();
        let longest = |stop: &String| {
            let stop = stop.as_bytes();
            let most = text.len().min(stop.len().saturating_sub(1));
            (1..=most)
                .rev()
                .find(|&n| text.ends_with(stop.get(..n).unwrap_or_default()))
        };
        self.stops.iter().filter_map(longest).max().unwrap_or(0)
    }

    /// Releases leading pieces, at most `count`, whose text ends within the first `safe` bytes.
    fn release_whole(&mut self, safe: usize, count: usize, ready: &mut VecDeque<Piece>) {
        let mut used = 0;
        for _ in 0..count {
            match self.held.front() {
                Some(front) if used + front.text.len() <= safe => used += front.text.len(),
                _ => break,
            }
            ready.extend(self.held.pop_front());
        }
        self.text.drain(..used);
    }

    /// Releases `count` pieces with their text cut after `len` bytes in all.
    fn release(&mut self, len: usize, count: usize, ready: &mut VecDeque<Piece>) {
        let mut left = len;
        for mut piece in self.held.drain(..count) {
            piece.text.truncate(left);
            left -= piece.text.len();
            ready.push_back(piece);
        }
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], texts: &[&str]) -> (Vec<String>, bool) {
        let mut buffer = StopBuffer::new(stops.iter().map(|s| (*s).to_owned()).collect());
        let mut ready = VecDeque::new();
        let mut stopped = false;
        for text in texts {
            let piece = Piece {
                token: 0,
                text: (*text).to_owned(),
                logprob: None,
            };
            if buffer.push(piece, false, &mut ready) {
                stopped = true;
                break;
            }
        }
        if !stopped {
            buffer.finish("", &mut ready);
        }
        (ready.into_iter().map(|p| p.text).collect(), stopped)
    }

    #[test]
    fn a_stop_string_over_three_tokens_is_cut_out() {
        let (out, stopped) = run(&["STOP"], &["one S", "TO", "P two", "never"]);
        assert_eq!(
            (out, stopped),
            (vec!["one ".into(), String::new(), String::new()], true)
        );
    }

    #[test]
    fn a_false_start_is_released_unchanged() {
        let (out, stopped) = run(&["STOP"], &["S", "T", "A", "RT"]);
        assert_eq!((out.concat(), stopped), ("START".to_owned(), false));
        assert_eq!(out.len(), 4);
    }

    #[test]
    fn the_earliest_stop_wins() {
        let (out, _) = run(&["bc", "ab"], &["xabc"]);
        assert_eq!(out.concat(), "x");
        let (out, _) = run(&["aab"], &["a", "a", "a", "b", "c"]);
        assert_eq!(out.concat(), "a");
    }

    #[test]
    fn a_piece_is_held_only_while_it_may_be_a_stop() {
        let mut buffer = StopBuffer::new(vec!["##".into()]);
        let mut ready = VecDeque::new();
        let piece = |t: &str| Piece {
            token: 0,
            text: t.into(),
            logprob: None,
        };
        assert!(!buffer.push(piece("a"), false, &mut ready));
        assert_eq!(ready.len(), 1);
        assert!(!buffer.push(piece("b#"), false, &mut ready));
        assert_eq!(ready.len(), 1);
        assert!(!buffer.push(piece("c"), false, &mut ready));
        assert_eq!(ready.len(), 3);
    }

    #[test]
    fn a_tail_joins_the_last_piece() {
        let mut buffer = StopBuffer::new(Vec::new());
        let mut ready = VecDeque::new();
        let piece = Piece {
            token: 9,
            text: String::new(),
            logprob: None,
        };
        assert!(!buffer.push(piece, true, &mut ready));
        assert!(ready.is_empty());
        buffer.finish("\u{fffd}", &mut ready);
        assert_eq!(ready.pop_front().unwrap().text, "\u{fffd}");
    }

    proptest! {
        /// Pieces joined equal the whole text cut at the first stop string, however it is split.
        #[test]
        fn equals_searching_the_whole_text(
            texts in proptest::collection::vec("[abc]{0,3}", 0..12),
            stops in proptest::collection::vec("[abc]{1,4}", 0..3),
        ) {
            let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
            let stop_refs: Vec<&str> = stops.iter().map(String::as_str).collect();
            let (out, stopped) = run(&stop_refs, &refs);
            // the plain twin: search after every token
            let mut whole = String::new();
            let mut expected = None;
            for text in &texts {
                whole.push_str(text);
                if let Some(at) = stops.iter().filter_map(|s| whole.find(s.as_str())).min() {
                    expected = Some(whole.get(..at).unwrap_or_default().to_owned());
                    break;
                }
            }
            prop_assert_eq!(stopped, expected.is_some());
            prop_assert_eq!(out.concat(), expected.unwrap_or(whole));
        }
    }
}
