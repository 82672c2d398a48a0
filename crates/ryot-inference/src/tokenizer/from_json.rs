//! The tokenizer in a `tokenizer.json`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::OnceLock;

use serde_json::Value;
use tokenizers::PostProcessorWrapper;
use tokenizers::Tokenizer as Pipeline;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;

use super::byte_chars::ByteChars;
use super::from_gguf::byte_of;
use super::handle::{Encoder, Tokenizer};
use super::sentencepiece::SPACE;
use super::special::SpecialTokens;
use super::table::PieceTable;
use crate::error::{InferError, Result};

const FORMAT: &str = "tokenizer.json";
/// Highest token id plus one.
const VOCAB_MAX: usize = 1 << 22;

impl Tokenizer {
    /// Builds a tokenizer from the bytes of `tokenizer.json`. `config` is `tokenizer_config.json`
    /// or null; `end_tokens` come from the model's configuration.
    pub(crate) fn from_json(bytes: &[u8], config: &Value, end_tokens: &[u32]) -> Result<Self> {
        let failed = |operation| move |source| InferError::Tokenizer { operation, source };
        let mut pipeline = parse(bytes).map_err(failed("parse tokenizer.json"))?;
        // a prompt is never cut or filled up silently
        pipeline
            .with_truncation(None)
            .map_err(failed("configure"))?;
        pipeline.with_padding(None);
        let spelling = Spelling::of(&pipeline)?;
        let table = table(&pipeline, &spelling)?;
        let rules = serde_json::to_value(pipeline.get_post_processor())
            .map_err(|e| failed("read the post-processor of")(e.into()))?;
        let prefix = prefix(&pipeline, &rules);
        // what it adds is known now; it is not run, because it panics on inconsistent files
        pipeline.with_post_processor(None::<PostProcessorWrapper>);
        let named = |key: &str| token_id(&pipeline, config.get(key));
        let (bos, add_bos) = match prefix.as_slice() {
            [] => (named("bos_token"), false),
            [bos] => (Some(*bos), true),
            more => {
                return Err(InferError::Unsupported {
                    feature: "number of tokens that the tokenizer puts first",
                    value: more.len().to_string(),
                    supported: "0, 1",
                });
            }
        };
        let mut end: Vec<u32> = Vec::new();
        for token in end_tokens.iter().copied().chain(named("eos_token")) {
            if (token as usize) < table.len() && !end.contains(&token) {
                end.push(token);
            }
        }
        let strip_first_space = spelling.strip_first_space;
        let encoder = Encoder::Json {
            special: Box::new(pipeline),
            literal: OnceLock::new(),
        };
        let special = SpecialTokens::default();
        Ok(Self {
            encoder,
            table,
            special,
            bos,
            end,
            add_bos,
            strip_first_space,
        })
    }
}

/// Parses the file; a panic of the library becomes an error.
///
/// `tokenizers` 0.23 panics on some files that are JSON but not a tokenizer (its `DecoderWrapper`
/// expects), so unwinding is caught here, where nothing but the result is shared. A program built
/// with `panic = "abort"` is not protected against such a file.
fn parse(bytes: &[u8]) -> tokenizers::Result<Pipeline> {
    // a syntax error gets its line and column, and never reaches the library
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes)?;
    match std::panic::catch_unwind(|| Pipeline::from_bytes(bytes)) {
        Ok(parsed) => parsed,
        Err(_) => Err("the tokenizers library panicked on the file".into()),
    }
}

/// How tokens spell their bytes.
struct Spelling {
    kind: SpellingKind,
    strip_first_space: bool,
}

enum SpellingKind {
    /// Stand-in characters for bytes, as GPT-2.
    ByteLevel(ByteChars),
    /// A mark for spaces and `<0xNN>` for bytes, as SentencePiece.
    Marked,
}

impl Spelling {
    fn of(pipeline: &Pipeline) -> Result<Self> {
        let decoder = pipeline.get_decoder();
        let steps = match decoder {
            Some(DecoderWrapper::Sequence(steps)) => steps.get_decoders(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        let byte_level = steps
            .iter()
            .any(|s| matches!(s, DecoderWrapper::ByteLevel(_)));
        if byte_level {
            let kind = SpellingKind::ByteLevel(ByteChars::new());
            return Ok(Self {
                kind,
                strip_first_space: false,
            });
        }
        let marked = steps.iter().all(|s| {
            matches!(
                s,
                DecoderWrapper::Replace(_)
                    | DecoderWrapper::ByteFallback(_)
                    | DecoderWrapper::Fuse(_)
                    | DecoderWrapper::Strip(_)
                    | DecoderWrapper::Metaspace(_)
            )
        });
        if steps.is_empty() || !marked {
            return Err(InferError::Unsupported {
                feature: "decoder of tokenizer.json",
                value: match decoder {
                    None => "none".to_owned(),
                    Some(d) => format!("{d:?}").chars().take(64).collect(),
                },
                supported: "ByteLevel, Metaspace, or Replace/ByteFallback/Fuse/Strip",
            });
        }
        let strip_first_space = steps.iter().any(|s| match s {
            DecoderWrapper::Strip(strip) => strip.content == ' ' && strip.start > 0,
            DecoderWrapper::Metaspace(m) => m.get_prepend_scheme() != PrependScheme::Never,
            _ => false,
        });
        Ok(Self {
            kind: SpellingKind::Marked,
            strip_first_space,
        })
    }

    fn bytes(&self, text: &str) -> Vec<u8> {
        match &self.kind {
            SpellingKind::ByteLevel(chars) => chars.decode(text),
            SpellingKind::Marked => match byte_of(text) {
                Some(byte) => vec![byte],
                None => text.replace(SPACE, " ").into_bytes(),
            },
        }
    }
}

fn table(pipeline: &Pipeline, spelling: &Spelling) -> Result<PieceTable> {
    let vocab = pipeline.get_vocab(true);
    let size = vocab.values().max().map_or(0, |id| *id as usize + 1);
    if size == 0 || size > VOCAB_MAX {
        return Err(InferError::BadField {
            format: FORMAT,
            field: "highest token id plus one".to_owned(),
            value: size.to_string(),
            allowed: format!("1 to {VOCAB_MAX}"),
        });
    }
    let mut texts = vec![None; size];
    for (text, id) in &vocab {
        if let Some(slot) = texts.get_mut(*id as usize) {
            *slot = Some(text.as_str());
        }
    }
    let added = pipeline.get_added_tokens_decoder();
    let mut table = PieceTable::default();
    for (id, text) in (0u32..).zip(texts) {
        match (added.get(&id), text) {
            (Some(token), _) => table.push(token.content.as_bytes(), token.special),
            (None, Some(text)) => table.push(&spelling.bytes(text), false),
            (None, None) => table.push(&[], false),
        }
    }
    Ok(table)
}

/// Tokens that the post-processor puts before a text.
///
/// A template names them before its first sequence; a sequence of post-processors holds at most
/// one template. The processors of BERT and RoBERTa put their `cls` token first.
fn prefix(pipeline: &Pipeline, rules: &Value) -> Vec<u32> {
    let list = |key: &str| rules.get(key).and_then(Value::as_array);
    match rules.get("type").and_then(Value::as_str) {
        Some("Sequence") => {
            let steps = list("processors").map(Vec::as_slice).unwrap_or_default();
            let found = steps.iter().map(|step| match step.get("type") {
                // a sequence inside a sequence is not written by any trainer
                Some(kind) if kind == "Sequence" => Vec::new(),
                _ => prefix(pipeline, step),
            });
            found
                .into_iter()
                .find(|tokens| !tokens.is_empty())
                .unwrap_or_default()
        }
        Some("TemplateProcessing") => {
            let steps = list("single").map(Vec::as_slice).unwrap_or_default();
            let names = steps
                .iter()
                .map_while(|step| step.get("SpecialToken")?.get("id")?.as_str());
            names
                .filter_map(|name| pipeline.token_to_id(name))
                .collect()
        }
        Some("BertProcessing" | "RobertaProcessing") => {
            let token = rules
                .get("cls")
                .and_then(|cls| cls.get(0))
                .and_then(Value::as_str);
            token
                .and_then(|name| pipeline.token_to_id(name))
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// `bos_token` and the like are a string or an object with the string as `content`.
fn token_id(pipeline: &Pipeline, value: Option<&Value>) -> Option<u32> {
    let value = value?;
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    pipeline.token_to_id(text)
}
