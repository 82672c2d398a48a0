//! Text out of tokens, a piece at a time, never cutting a character.

use super::Tokenizer;

/// Turns a stream of tokens into a stream of whole characters.
///
/// Bytes of an unfinished character are held back until the character is complete. Bytes that can
/// never become one turn into U+FFFD, by the same rule as `String::from_utf8_lossy`: the pieces
/// joined are the same text that [`Tokenizer::decode`] gives for all tokens at once, except that a
/// stream keeps the space which a SentencePiece tokenizer puts before the first word.
///
/// ```
/// use ryot_inference::{Model, StreamDecoder};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let model = Model::toy(1)?;
/// let mut stream = StreamDecoder::new();
/// let bytes = "\u{e9}".as_bytes(); // the toy tokenizer has one token per byte
/// assert_eq!(stream.push(model.tokenizer(), bytes[0].into()), "");
/// assert_eq!(stream.push(model.tokenizer(), bytes[1].into()), "\u{e9}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct StreamDecoder {
    pending: Vec<u8>,
}

impl StreamDecoder {
    /// A stream without held bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a token and gives the text that is complete now; special tokens give nothing.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> String {
        if !tokenizer.is_special(token) {
            self.pending
                .extend_from_slice(tokenizer.token_bytes(token).unwrap_or_default());
        }
        self.take_complete()
    }

    /// Whether bytes of an unfinished character are held.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Ends the stream: held bytes become U+FFFD, or nothing when none are held.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }

    fn take_complete(&mut self) -> String {
        let mut text = String::new();
        let mut used = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            used += chunk.valid().len();
            let invalid = chunk.invalid();
            let at_end = used + invalid.len() == self.pending.len();
            if invalid.is_empty() || (at_end && is_unfinished(invalid)) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            used += invalid.len();
        }
        self.pending.drain(..used);
        text
    }
}

/// Whether more bytes could complete the sequence.
fn is_unfinished(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(e) if e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(bytes: &[u8]) -> (Vec<String>, String) {
        let tokenizer = Tokenizer::bytes(&[]);
        let mut stream = StreamDecoder::new();
        let mut out: Vec<String> = bytes
            .iter()
            .map(|b| stream.push(&tokenizer, u32::from(*b)))
            .collect();
        out.push(stream.finish());
        let joined = out.concat();
        (out, joined)
    }

    #[test]
    fn every_character_waits_for_its_last_byte() {
        let text = "a\u{e9}\u{20ac}\u{1f980}z";
        let (out, joined) = pieces(text.as_bytes());
        assert_eq!(joined, text);
        let expected = [
            "a",
            "",
            "\u{e9}",
            "",
            "",
            "\u{20ac}",
            "",
            "",
            "",
            "\u{1f980}",
            "z",
            "",
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn a_cut_character_becomes_one_replacement_at_the_end() {
        let (out, _) = pieces(&[b'x', 0xe2, 0x82]);
        assert_eq!(out, ["x", "", "", "\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn joined_pieces_equal_the_lossy_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let (_, joined) = pieces(&bytes);
            prop_assert_eq!(joined, String::from_utf8_lossy(&bytes).into_owned());
        }

        #[test]
        fn valid_text_never_shows_a_replacement(text in "\\PC{0,24}") {
            prop_assume!(!text.contains('\u{fffd}'));
            let (out, joined) = pieces(text.as_bytes());
            let broken = out.iter().any(|p| p.contains('\u{fffd}'));
            prop_assert!(!broken);
            prop_assert_eq!(joined, text);
        }
    }
}
