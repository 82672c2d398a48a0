//! Byte-level BPE, trained on a sample of the corpus by the tokenizers crate.

use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer, TokenizerBuilder};

use super::Result;

/// Begin of text, start of a turn, end of a turn: ids 0, 1, 2.
pub(crate) const SPECIALS: [&str; 3] = ["<|begin|>", "<|turn|>", "<|end|>"];
/// The name under which loaders of GGUF know this way to split: digits one by one, then GPT-2's.
pub(crate) const PRE_TOKENIZER: &str = "smollm";
const DIGIT: &str = r"\p{N}";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// A trained vocabulary.
pub(crate) struct Vocabulary {
    tokenizer: Tokenizer,
}

impl Vocabulary {
    /// Learns `size` tokens from `texts`.
    pub(crate) fn train(texts: &[String], size: usize) -> Result<Self> {
        let mut trainer = BpeTrainer::builder()
            .vocab_size(size)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(SPECIALS.map(|s| AddedToken::from(s, true)).to_vec())
            .build();
        let mut tokenizer = TokenizerBuilder::default()
            .with_model(BPE::default())
            .with_normalizer(None::<tokenizers::NormalizerWrapper>)
            .with_pre_tokenizer(Some(pre_tokenizer()?))
            .with_post_processor(None::<tokenizers::PostProcessorWrapper>)
            .with_decoder(Some(ByteLevel::default()))
            .build()?;
        tokenizer.train(&mut trainer, texts.iter().map(String::as_str))?;
        // back to the general type, which knows the special tokens
        let json = tokenizer.to_string(false)?;
        let tokenizer = json.parse::<Tokenizer>()?;
        let found = tokenizer.get_vocab_size(true);
        if found != size {
            return Err(format!("the text has only {found} tokens, not {size}").into());
        }
        Ok(Self { tokenizer })
    }

    pub(crate) fn load(path: &Path) -> Result<Self> {
        let tokenizer = Tokenizer::from_file(path)?;
        Ok(Self { tokenizer })
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        self.tokenizer.save(path, false)?;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(&self, text: &str, tokens: &mut Vec<u32>) -> Result<()> {
        let encoding = self.tokenizer.encode_fast(text, false)?;
        tokens.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    /// Every token's text by id, and the merges in order, as GGUF keeps them.
    pub(crate) fn tables(&self) -> Result<(Vec<String>, Vec<String>)> {
        let name = |id| {
            self.tokenizer
                .id_to_token(id)
                .ok_or("a gap in the vocabulary")
        };
        let tokens = (0..u32::try_from(self.len())?).map(name);
        let tokens = tokens.collect::<std::result::Result<Vec<_>, _>>()?;
        let json: serde_json::Value = serde_json::from_str(&self.tokenizer.to_string(false)?)?;
        let merges = json["model"]["merges"].as_array().ok_or("no merges")?;
        let pair = |merge: &serde_json::Value| -> Result<String> {
            match merge {
                serde_json::Value::String(merge) => Ok(merge.clone()),
                pair => {
                    let part = |i: usize| pair[i].as_str().ok_or("a merge is not two texts");
                    Ok(format!("{} {}", part(0)?, part(1)?))
                }
            }
        };
        Ok((tokens, merges.iter().map(pair).collect::<Result<_>>()?))
    }
}

fn pre_tokenizer() -> Result<Sequence> {
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    for pattern in [DIGIT, GPT2] {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?.into());
    }
    steps.push(ByteLevel::new(false, false, false).into());
    Ok(Sequence::new(steps))
}
