//! Which loader a path goes to, and what loaders share.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{LoadOptions, WeightSource, folder, gguf_model};
use crate::chat::ChatTemplate;
use crate::error::{InferError, Result};
use crate::model::ModelConfig;
use crate::tokenizer::Tokenizer;

/// A model's parts before they are put together.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) trained: bool,
    pub(crate) config: ModelConfig,
    pub(crate) source: Box<dyn WeightSource>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: Option<ChatTemplate>,
}

/// Loads a folder or a GGUF file.
pub(crate) fn load(path: &Path, options: LoadOptions) -> Result<Loaded> {
    if path.is_dir() {
        folder::open(path, &options)
    } else {
        gguf_model::open(path, &options)
    }
}

/// Largest `tokenizer.json`; published ones reach about 35 MB.
const TOKENIZER_BYTES_MAX: u64 = 64 << 20;

/// Loads a `tokenizer.json`, with `tokenizer_config.json` and end tokens where there are any.
pub(super) fn load_tokenizer_file(
    path: &Path,
    around: Option<(&Value, &[u32])>,
) -> Result<Tokenizer> {
    if !path.exists() {
        return Err(InferError::MissingTokenizer {
            looked_for: path.display().to_string(),
        });
    }
    let bytes = read_bounded(path, "tokenizer.json", TOKENIZER_BYTES_MAX)?;
    let (config, end_tokens) = around.unwrap_or((&Value::Null, &[]));
    Tokenizer::from_json(&bytes, config, end_tokens)
}

/// Reads a whole file of at most `limit` bytes.
pub(super) fn read_bounded(path: &Path, format: &'static str, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(InferError::io("open", path))?;
    let mut bytes = Vec::new();
    // one byte more than allowed shows that there is more, whatever the size was said to be
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(InferError::io("read", path))?;
    if bytes.len() as u64 > limit {
        let value = bytes.len() as u64;
        return Err(InferError::OverLimit {
            format,
            what: "size in bytes",
            value,
            limit,
        });
    }
    Ok(bytes)
}
