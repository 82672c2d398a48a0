//! The public handle on a tokenizer.

use std::sync::OnceLock;

use super::sentencepiece::SentencePiece;
use super::special::{Part, SpecialTokens};
use super::table::PieceTable;
use crate::error::{InferError, Result};

/// How text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// Put the begin-of-sequence token first if the model wants one and the text does not already
    /// start with it. Default true.
    pub add_bos: bool,
    /// Read the text of control tokens (`<|eot_id|>` and the like) as those tokens. Default true;
    /// set it to false for text that a stranger wrote.
    pub parse_special: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            add_bos: true,
            parse_special: true,
        }
    }
}

impl EncodeOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`EncodeOptions::add_bos`](Self#structfield.add_bos).
    pub fn add_bos(mut self, add: bool) -> Self {
        self.add_bos = add;
        self
    }

    /// Sets [`EncodeOptions::parse_special`](Self#structfield.parse_special).
    pub fn parse_special(mut self, parse: bool) -> Self {
        self.parse_special = parse;
        self
    }
}

/// A model's tokenizer.
///
/// ```
/// use ryot_inference::Model;
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let model = Model::toy(1)?;
/// let tokens = model.tokenizer().encode("na\u{ef}ve")?;
/// assert_eq!(model.tokenizer().decode(&tokens), "na\u{ef}ve");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    pub(super) encoder: Encoder,
    pub(super) table: PieceTable,
    pub(super) special: SpecialTokens,
    pub(super) bos: Option<u32>,
    pub(super) end: Vec<u32>,
    pub(super) add_bos: bool,
    pub(super) strip_first_space: bool,
}

/// What turns text into tokens.
#[derive(Debug)]
pub(super) enum Encoder {
    /// Token id = byte.
    Bytes,
    /// Byte-level BPE; special tokens are taken out before.
    Pipeline(Box<tokenizers::Tokenizer>),
    /// SentencePiece merging by score; special tokens are taken out before.
    SentencePiece(SentencePiece),
    /// A `tokenizer.json`, which finds special tokens by its own rules, or leaves them text.
    Json {
        special: Box<tokenizers::Tokenizer>,
        /// The copy that leaves them text; made when first asked for.
        literal: OnceLock<Box<tokenizers::Tokenizer>>,
    },
}

impl Tokenizer {
    /// One token per byte, then `specials` from id 256: the first is begin, the second end of
    /// sequence.
    pub(crate) fn bytes(specials: &[&str]) -> Self {
        let mut table = PieceTable::default();
        let mut special = SpecialTokens::default();
        for byte in 0..=u8::MAX {
            table.push(&[byte], false);
        }
        for (token, text) in (256u32..).zip(specials) {
            table.push(text.as_bytes(), true);
            special.insert(text, token, true);
        }
        let id = |index: u32| (specials.len() > index as usize).then_some(256 + index);
        Self {
            encoder: Encoder::Bytes,
            table,
            special,
            bos: id(0),
            end: id(1).into_iter().collect(),
            add_bos: id(0).is_some(),
            strip_first_space: false,
        }
    }

    /// Encodes with the default options: begin-of-sequence if the model wants it, special tokens
    /// read as such.
    ///
    /// # Errors
    /// [`InferError::Tokenizer`] when the tokenizer's own rules fail
    /// on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_with(text, EncodeOptions::default())
    }

    /// Encodes with `options`.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>> {
        let mut tokens = Vec::new();
        let mut after_special = true;
        for part in self.special.split(text, options.parse_special) {
            match part {
                Part::Token(token) => {
                    tokens.push(token);
                    after_special = true;
                }
                Part::Text(text) => {
                    self.encode_part(text, after_special, options, &mut tokens)?;
                    after_special = false;
                }
            }
        }
        if let Some(bos) = self.bos.filter(|_| options.add_bos && self.add_bos)
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// Encodes a text between special tokens; `first` if it starts the text or follows one.
    fn encode_part(
        &self,
        text: &str,
        first: bool,
        options: EncodeOptions,
        tokens: &mut Vec<u32>,
    ) -> Result<()> {
        let pipeline = match &self.encoder {
            Encoder::Bytes => {
                tokens.extend(text.bytes().map(u32::from));
                return Ok(());
            }
            Encoder::SentencePiece(model) => {
                model.encode(text, first, tokens);
                return Ok(());
            }
            Encoder::Pipeline(pipeline) => pipeline,
            Encoder::Json { special, .. } if options.parse_special => special,
            Encoder::Json { special, literal } => literal.get_or_init(|| {
                let mut copy = special.clone();
                copy.set_encode_special_tokens(true);
                copy
            }),
        };
        let failed = |source| InferError::Tokenizer {
            operation: "encode",
            source,
        };
        let encoding = pipeline.encode_fast(text, false).map_err(failed)?;
        tokens.extend(encoding.get_ids());
        Ok(())
    }

    /// The text of `tokens` without special tokens; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::new();
        for &token in tokens.iter().filter(|t| !self.is_special(**t)) {
            bytes.extend_from_slice(self.token_bytes(token).unwrap_or_default());
        }
        let text = match bytes.strip_prefix(b" ").filter(|_| self.strip_first_space) {
            Some(stripped) => stripped,
            None => &bytes,
        };
        String::from_utf8_lossy(text).into_owned()
    }

    /// Number of tokens.
    pub fn vocab(&self) -> usize {
        self.table.len()
    }

    /// The bytes a token stands for; a special token's name for a special one.
    pub fn token_bytes(&self, token: u32) -> Option<&[u8]> {
        self.table.bytes(token)
    }

    /// Whether the token is a control token that decoding skips.
    pub fn is_special(&self, token: u32) -> bool {
        self.table.is_special(token)
    }

    /// The begin-of-sequence token.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens that end a generation.
    pub fn end_tokens(&self) -> &[u32] {
        &self.end
    }

    /// Whether encoding puts the begin-of-sequence token first by default.
    pub fn adds_bos(&self) -> bool {
        self.add_bos
    }

    pub(crate) fn bos_text(&self) -> String {
        self.name(self.bos)
    }

    pub(crate) fn eos_text(&self) -> String {
        self.name(self.end.first().copied())
    }

    fn name(&self, token: Option<u32>) -> String {
        let bytes = token.and_then(|t| self.token_bytes(t)).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bos_is_added_once_and_specials_can_stay_text() {
        let t = Tokenizer::bytes(&["<s>", "</s>"]);
        assert_eq!(t.encode("a").unwrap(), [256, 97]);
        assert_eq!(t.encode("<s>a").unwrap(), [256, 97]);
        assert_eq!(t.encode("").unwrap(), [256]);
        let raw = EncodeOptions::new().add_bos(false).parse_special(false);
        assert_eq!(t.encode_with("<s>", raw).unwrap(), [60, 115, 62]);
        assert_eq!(t.decode(&[256, 97, 257, 98, 999]), "ab");
        assert_eq!((t.bos(), t.end_tokens()), (Some(256), &[257][..]));
        assert_eq!(t.vocab(), 258);
    }
}
