//! Byte-level BPE out of a GGUF file: which pre-tokenizer, and the pipeline around the merges.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer as Pipeline};

use crate::error::{InferError, Result};

/// How a vocabulary splits text before merging, by its name in `tokenizer.ggml.pre`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreTokenizer {
    patterns: &'static [&'static str],
    /// A piece that is a whole token is taken as it is, without merging.
    pub(super) whole_pieces_first: bool,
    /// Whether the begin-of-sequence token is added when the file does not say.
    pub(super) adds_bos: bool,
    compose: bool,
}

/// Contractions, words, numbers, other, spaces: the pattern of GPT-2.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3: digits in groups of at most three.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2 and 3: as Llama 3, digits one by one.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";

/// Names that are known, for error messages.
const SUPPORTED: &str = "default, gpt-2, llama-bpe, llama3, llama-v3, qwen2, smollm";

impl PreTokenizer {
    /// The rules of `name`; a file without a name uses `default`.
    pub(super) fn by_name(name: &str) -> Result<Self> {
        let plain = Self {
            patterns: &[],
            whole_pieces_first: false,
            adds_bos: false,
            compose: false,
        };
        Ok(match name {
            "llama-bpe" | "llama3" | "llama-v3" => Self {
                patterns: &[LLAMA3],
                whole_pieces_first: true,
                adds_bos: true,
                ..plain
            },
            "qwen2" => Self {
                patterns: &[QWEN2],
                compose: true,
                ..plain
            },
            "smollm" => Self {
                patterns: &[DIGIT, GPT2],
                ..plain
            },
            "gpt-2" => Self {
                patterns: &[GPT2],
                ..plain
            },
            "default" => Self {
                patterns: &[r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
                ..plain
            },
            other => {
                return Err(InferError::Unsupported {
                    feature: "tokenizer.ggml.pre",
                    value: other.chars().take(64).collect(),
                    supported: SUPPORTED,
                });
            }
        })
    }

    /// Splits with each pattern in turn, then maps bytes to their stand-ins.
    fn wrapper(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        for pattern in self.patterns {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?.into());
        }
        steps.push(ByteLevel::new(false, false, false).into());
        Ok(Sequence::new(steps).into())
    }
}

/// Builds the pipeline for plain text; special tokens are found before it.
pub(super) fn pipeline(
    vocab: Vocab,
    merges: Vec<(String, String)>,
    pre: PreTokenizer,
) -> Result<Pipeline> {
    let failed = |source| InferError::Tokenizer {
        operation: "build byte-pair model",
        source,
    };
    let model = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .ignore_merges(pre.whole_pieces_first)
        .build()
        .map_err(failed)?;
    let mut pipeline = Pipeline::new(model);
    pipeline.with_pre_tokenizer(Some(pre.wrapper().map_err(failed)?));
    if pre.compose {
        let compose = tokenizers::normalizers::unicode::NFC;
        pipeline.with_normalizer(Some(compose)).map_err(failed)?;
    }
    Ok(pipeline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    fn splits(name: &str, text: &str) -> Vec<String> {
        let mut parts = PreTokenizedString::from(text);
        let pre = PreTokenizer::by_name(name).unwrap();
        pre.wrapper().unwrap().pre_tokenize(&mut parts).unwrap();
        let parts = parts.get_splits(OffsetReferential::Original, OffsetType::Byte);
        parts
            .into_iter()
            .map(|(s, _, _)| s.replace('\u{120}', "_").replace('\u{10a}', "/"))
            .collect()
    }

    #[test]
    fn families_split_as_their_published_tokenizers_do() {
        let text = "Hello'Ve  12345 x!\n\n a";
        let llama3 = ["Hello", "'Ve", "_", "_", "123", "45", "_x", "!//", "_a"];
        assert_eq!(splits("llama-bpe", text), llama3);
        let qwen2 = [
            "Hello", "'Ve", "_", "_", "1", "2", "3", "4", "5", "_x", "!//", "_a",
        ];
        assert_eq!(splits("qwen2", text), qwen2);
        let gpt2 = ["Hello", "'", "Ve", "_", "_12345", "_x", "!", "//", "_a"];
        assert_eq!(splits("gpt-2", text), gpt2);
        let smollm = [
            "Hello", "'", "Ve", "__", "1", "2", "3", "4", "5", "_x", "!", "//", "_a",
        ];
        assert_eq!(splits("smollm", text), smollm);
        let default = [
            "Hello", "'", "Ve", "_", "_", "123", "45", "_x", "!", "//", "_a",
        ];
        assert_eq!(splits("default", text), default);
    }

    #[test]
    fn unknown_names_are_refused() {
        let message = PreTokenizer::by_name("tekken").unwrap_err().to_string();
        assert!(
            message.starts_with("tokenizer.ggml.pre is tekken, supported: default"),
            "{message}"
        );
    }
}
