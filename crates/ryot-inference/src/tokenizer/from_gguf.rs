//! The tokenizer that a GGUF file carries.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::HashMap;

use tokenizers::models::bpe::Vocab;

use super::byte_chars::{ByteChars, char_of};
use super::byte_pair::{PreTokenizer, pipeline};
use super::handle::{Encoder, Tokenizer};
use super::sentencepiece::{SPACE, SentencePiece};
use super::special::SpecialTokens;
use super::table::PieceTable;
use crate::error::{InferError, Result};
use crate::gguf::{GgufArray, GgufHeader, GgufValue};

const FORMAT: &str = "gguf";
/// Most tokens of a vocabulary.
const VOCAB_MAX: usize = 1 << 22;

/// Kinds of tokens in `tokenizer.ggml.token_type`.
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// Control tokens that end a turn, whatever the file's end-of-sequence id is; llama.cpp treats
/// the same names so.
const END_NAMES: [&str; 8] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<EOT>",
];

impl Tokenizer {
    /// Builds the tokenizer of a GGUF file.
    pub(crate) fn from_gguf(header: &GgufHeader) -> Result<Self> {
        let model = header.typed("tokenizer.ggml.model", "a string", GgufValue::as_str)?;
        match model {
            Some("gpt2") => byte_pair(&Parts::read(header)?),
            Some("llama") => sentencepiece(&Parts::read(header)?),
            Some(other) => Err(InferError::Unsupported {
                feature: "tokenizer.ggml.model",
                value: other.chars().take(64).collect(),
                supported: "gpt2, llama",
            }),
            None => Err(InferError::MissingTokenizer {
                looked_for: "tokenizer.ggml.model in the file".to_owned(),
            }),
        }
    }
}

/// The metadata that both kinds share.
struct Parts<'a> {
    header: &'a GgufHeader,
    tokens: &'a [String],
    kinds: Vec<i32>,
}

impl<'a> Parts<'a> {
    fn read(header: &'a GgufHeader) -> Result<Self> {
        let key = "tokenizer.ggml.tokens";
        let tokens = header.required(key, "an array of strings", |v| v.as_array()?.as_strings())?;
        if tokens.is_empty() || tokens.len() > VOCAB_MAX {
            return Err(bad(key, tokens.len(), &format!("1 to {VOCAB_MAX} tokens")));
        }
        let key = "tokenizer.ggml.token_type";
        let kinds = header.typed(key, "an array of integers", |v| v.as_array()?.to_i32s())?;
        let kinds = kinds.unwrap_or_else(|| vec![1; tokens.len()]);
        same_length(key, kinds.len(), tokens.len())?;
        Ok(Self {
            header,
            tokens,
            kinds,
        })
    }

    fn each(&self) -> impl Iterator<Item = (u32, &'a str, i32)> {
        let tokens = self.tokens.iter().map(String::as_str);
        (0u32..)
            .zip(tokens)
            .zip(self.kinds.iter())
            .map(|((id, text), kind)| (id, text, *kind))
    }

    /// The token id under `key`, checked against the vocabulary.
    fn id(&self, key: &str) -> Result<Option<u32>> {
        let id = self.header.typed(key, "a token id", GgufValue::as_u64)?;
        // older files write all ones for "none"
        let Some(id) = id.filter(|id| *id != u64::from(u32::MAX)) else {
            return Ok(None);
        };
        match u32::try_from(id)
            .ok()
            .filter(|id| (*id as usize) < self.tokens.len())
        {
            Some(id) => Ok(Some(id)),
            None => Err(bad(
                key,
                id,
                &format!("below the {} tokens", self.tokens.len()),
            )),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.header.typed(key, "a bool", GgufValue::as_bool)
    }

    fn end_tokens(&self, eos: Option<u32>) -> Result<Vec<u32>> {
        let mut end: Vec<u32> = eos.into_iter().collect();
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            end.extend(self.id(key)?);
        }
        let named = self.each().filter(|(_, text, kind)| {
            matches!(*kind, CONTROL | USER_DEFINED) && END_NAMES.contains(text)
        });
        end.extend(named.map(|(id, _, _)| id));
        let mut seen = std::collections::HashSet::new();
        end.retain(|id| seen.insert(*id));
        Ok(end)
    }

    fn special(&self) -> SpecialTokens {
        let mut special = SpecialTokens::default();
        for (id, text, kind) in self.each() {
            if matches!(kind, CONTROL | UNKNOWN | USER_DEFINED) {
                special.insert(text, id, kind != USER_DEFINED);
            }
        }
        special
    }

    fn finish(
        &self,
        encoder: Encoder,
        table: PieceTable,
        bos: Option<u32>,
        eos: Option<u32>,
        add_bos: bool,
        strip_first_space: bool,
    ) -> Result<Tokenizer> {
        Ok(Tokenizer {
            encoder,
            table,
            special: self.special(),
            bos,
            end: self.end_tokens(eos)?,
            add_bos,
            strip_first_space,
        })
    }
}

fn byte_pair(parts: &Parts<'_>) -> Result<Tokenizer> {
    let name = parts
        .header
        .typed("tokenizer.ggml.pre", "a string", GgufValue::as_str)?;
    let pre = PreTokenizer::by_name(name.unwrap_or("default"))?;
    let key = "tokenizer.ggml.merges";
    let merges = parts
        .header
        .required(key, "an array of strings", |v| v.as_array()?.as_strings())?;
    let mut pairs = Vec::with_capacity(merges.len());
    for merge in merges {
        match split_merge(merge) {
            Some(pair) => pairs.push(pair),
            None => {
                let value = merge.chars().take(32).collect::<String>();
                return Err(bad(key, value, "two tokens with a space between"));
            }
        }
    }
    let mut vocab = Vocab::default();
    let mut table = PieceTable::default();
    let chars = ByteChars::new();
    for (id, text, kind) in parts.each() {
        vocab.entry(text.to_owned()).or_insert(id);
        match kind {
            CONTROL | UNKNOWN => table.push(text.as_bytes(), true),
            USER_DEFINED => table.push(text.as_bytes(), false),
            _ => table.push(&chars.decode(text), false),
        }
    }
    let missing = (0..=u8::MAX)
        .filter(|b| !vocab.contains_key(&char_of(*b).to_string()))
        .count();
    if missing > 0 {
        tracing::warn!(missing, "bytes without a token cannot be encoded");
    }
    let pipeline = Box::new(pipeline(vocab, pairs, pre)?);
    let bos = parts.id("tokenizer.ggml.bos_token_id")?;
    let eos = parts.id("tokenizer.ggml.eos_token_id")?;
    let add_bos = parts
        .flag("tokenizer.ggml.add_bos_token")?
        .unwrap_or(pre.adds_bos);
    parts.finish(Encoder::Pipeline(pipeline), table, bos, eos, add_bos, false)
}

/// Splits at the first space that is not the first character.
fn split_merge(merge: &str) -> Option<(String, String)> {
    let first = merge.chars().next()?.len_utf8();
    let at = merge.get(first..)?.find(' ')? + first;
    let (left, right) = (merge.get(..at)?, merge.get(at + 1..)?);
    if right.is_empty() {
        return None;
    }
    Some((left.to_owned(), right.to_owned()))
}

fn sentencepiece(parts: &Parts<'_>) -> Result<Tokenizer> {
    let key = "tokenizer.ggml.scores";
    let scores = parts
        .header
        .required(key, "an array of f32", |v| match v.as_array()? {
            GgufArray::F32(scores) => Some(scores.as_slice()),
            _ => None,
        })?;
    same_length(key, scores.len(), parts.tokens.len())?;
    if let Some(score) = scores.iter().find(|s| s.is_nan()) {
        return Err(bad(key, score, "numbers"));
    }
    let mut pieces = HashMap::new();
    let mut bytes: HashMap<u8, u32> = HashMap::new();
    let mut table = PieceTable::default();
    for ((id, text, kind), score) in parts.each().zip(scores) {
        match kind {
            CONTROL | UNKNOWN => table.push(text.as_bytes(), true),
            BYTE => {
                let byte = byte_of(text).ok_or_else(|| {
                    bad(
                        "byte token",
                        text.chars().take(32).collect::<String>(),
                        "<0xNN>",
                    )
                })?;
                bytes.entry(byte).or_insert(id);
                table.push(&[byte], false);
            }
            _ => {
                pieces.entry(text.to_owned()).or_insert((id, *score));
                table.push(text.replace(SPACE, " ").as_bytes(), false);
            }
        }
    }
    let unknown = match parts.id("tokenizer.ggml.unknown_token_id")? {
        Some(id) => Some(id),
        None => parts
            .each()
            .find(|(_, _, kind)| *kind == UNKNOWN)
            .map(|(id, _, _)| id),
    };
    let bytes = all_bytes(&bytes);
    if bytes.is_none() && unknown.is_none() {
        return Err(bad(
            "vocabulary",
            "without byte tokens",
            "256 byte tokens or an unknown token",
        ));
    }
    let space_prefix = parts
        .flag("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let model = SentencePiece::new(pieces, bytes, unknown, space_prefix);
    // the ids that SentencePiece gives by default
    let default = |id: u32| Some(id).filter(|id| (*id as usize) < parts.tokens.len());
    let bos = parts.id("tokenizer.ggml.bos_token_id")?.or(default(1));
    let eos = parts.id("tokenizer.ggml.eos_token_id")?.or(default(2));
    let add_bos = parts.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(true);
    parts.finish(
        Encoder::SentencePiece(model),
        table,
        bos,
        eos,
        add_bos,
        space_prefix,
    )
}

/// The byte of a token like `<0x0A>`.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

fn all_bytes(found: &HashMap<u8, u32>) -> Option<Box<[u32; 256]>> {
    let mut table = Box::new([0; 256]);
    for (byte, slot) in (0..=u8::MAX).zip(table.iter_mut()) {
        *slot = *found.get(&byte)?;
    }
    Some(table)
}

fn same_length(key: &str, found: usize, tokens: usize) -> Result<()> {
    if found == tokens {
        return Ok(());
    }
    Err(bad(
        key,
        format!("an array of {found}"),
        &format!("an array of {tokens}, one per token"),
    ))
}

fn bad(field: &str, value: impl ToString, allowed: &str) -> InferError {
    InferError::BadField {
        format: FORMAT,
        field: field.to_owned(),
        value: value.to_string(),
        allowed: allowed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_split_after_the_first_character() {
        assert_eq!(split_merge("a b"), Some(("a".into(), "b".into())));
        assert_eq!(
            split_merge("\u{120}a bc"),
            Some(("\u{120}a".into(), "bc".into()))
        );
        for bad in ["", "a", "ab", " ", "a "] {
            assert_eq!(split_merge(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn byte_tokens_are_read_strictly() {
        assert_eq!(byte_of("<0x0A>"), Some(10));
        assert_eq!(byte_of("<0xff>"), Some(255));
        for bad in ["<0x1>", "<0x+1>", "0x0A", "<0x0A", "<0x0AB>"] {
            assert_eq!(byte_of(bad), None, "{bad}");
        }
    }
}
