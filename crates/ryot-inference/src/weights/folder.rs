//! A decoder out of a folder with `config.json`, safetensors and a tokenizer.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashSet};
use std::io::BufReader;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use super::hf_config;
use super::reader::{RangeReader, Tally};
use super::safetensors::{FloatType, StoredTensor, read_header};
use super::{
    LoadOptions, Loaded, Matrix, Role, Totals, WeightSource, load_tokenizer_file, read_bounded,
};
use crate::chat::ChatTemplate;
use crate::error::{InferError, Result};
use crate::model::ModelConfig;

const SHARDS_MAX: u64 = 1024;
const SIDE_FILE_BYTES_MAX: u64 = 4 << 20;

/// Loads everything but the tensors, which are read when the decoder asks for them.
pub(super) fn open(folder: &Path, options: &LoadOptions) -> Result<Loaded> {
    let mut config = hf_config::read(&folder.join("config.json"))?;
    if let Some(limit) = options.context_tokens_max {
        config.model.context_tokens = config.model.context_tokens.min(limit);
    }
    config.model.validate(hf_config::FORMAT)?;
    let side = SideFiles::read(folder)?;
    let mut end_tokens = std::mem::take(&mut config.end_tokens);
    end_tokens.extend(&side.end_tokens);
    let path = match &options.tokenizer_path {
        Some(path) => path.clone(),
        None => folder.join("tokenizer.json"),
    };
    let tokenizer = load_tokenizer_file(&path, Some((&side.tokenizer, &end_tokens)))?;
    let template = match options.chat_template.clone().or(side.template) {
        Some(source) => Some(ChatTemplate::new(source)?),
        None => None,
    };
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let source = FolderSource {
        shards: open_shards(folder)?,
        tied: config.tied,
        device: options.device.clone(),
        used: HashSet::new(),
        tally: Tally::new(),
    };
    let config = config.model;
    Ok(Loaded {
        name,
        trained: true,
        config,
        source: Box::new(source),
        tokenizer,
        template,
    })
}

/// The small JSON files around a tokenizer; all are optional.
#[derive(Default)]
struct SideFiles {
    tokenizer: Value,
    end_tokens: Vec<u32>,
    template: Option<String>,
}

impl SideFiles {
    fn read(folder: &Path) -> Result<Self> {
        let tokenizer = read_json(&folder.join("tokenizer_config.json"))?;
        let generation = read_json(&folder.join("generation_config.json"))?;
        let file = folder.join("chat_template.jinja");
        let template = match file.exists() {
            true => {
                let bytes = read_bounded(&file, "chat template", SIDE_FILE_BYTES_MAX)?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            false => tokenizer
                .get("chat_template")
                .and_then(Value::as_str)
                .map(str::to_owned),
        };
        let end_tokens = hf_config::end_tokens(generation.get("eos_token_id"));
        Ok(Self {
            tokenizer,
            end_tokens,
            template,
        })
    }
}

fn read_json(path: &Path) -> Result<Value> {
    if !path.exists() {
        return Ok(Value::Null);
    }
    let bytes = read_bounded(path, "json", SIDE_FILE_BYTES_MAX)?;
    serde_json::from_slice(&bytes).map_err(|source| InferError::Json {
        path: path.to_path_buf(),
        source: Box::new(source),
    })
}

/// One safetensors file.
struct Shard {
    reader: RangeReader,
    tensors: BTreeMap<String, StoredTensor>,
}

/// Opens every `*.safetensors` file of the folder, in name order.
fn open_shards(folder: &Path) -> Result<Vec<Shard>> {
    let entries = std::fs::read_dir(folder).map_err(InferError::io("list", folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(InferError::io("list", folder))?.path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(InferError::MissingField {
            format: "model folder",
            field: "*.safetensors".to_owned(),
        });
    }
    if paths.len() as u64 > SHARDS_MAX {
        return Err(InferError::OverLimit {
            format: "model folder",
            what: "number of safetensors files",
            value: paths.len() as u64,
            limit: SHARDS_MAX,
        });
    }
    let mut seen = HashSet::new();
    let mut shards = Vec::new();
    for path in paths {
        let (reader, file_bytes) = RangeReader::open(&path)?;
        let tensors = read_header(BufReader::new(reader.file()), file_bytes, &path)?;
        if let Some(name) = tensors.keys().find(|name| !seen.insert((*name).clone())) {
            let name = name.clone();
            return Err(InferError::Duplicate {
                format: "safetensors",
                what: "tensor",
                name,
            });
        }
        shards.push(Shard { reader, tensors });
    }
    Ok(shards)
}

struct FolderSource {
    shards: Vec<Shard>,
    tied: bool,
    device: Device,
    used: HashSet<String>,
    tally: Tally,
}

fn tensor_name(role: Role, layer: Option<usize>) -> String {
    let part = match role {
        Role::TokenEmbedding => "model.embed_tokens.weight",
        Role::OutputNorm => "model.norm.weight",
        Role::Output => "lm_head.weight",
        Role::AttentionNorm => "input_layernorm.weight",
        Role::Query => "self_attn.q_proj.weight",
        Role::Key => "self_attn.k_proj.weight",
        Role::Value => "self_attn.v_proj.weight",
        Role::QueryBias => "self_attn.q_proj.bias",
        Role::KeyBias => "self_attn.k_proj.bias",
        Role::ValueBias => "self_attn.v_proj.bias",
        Role::QueryNorm => "self_attn.q_norm.weight",
        Role::KeyNorm => "self_attn.k_norm.weight",
        Role::AttentionOutput => "self_attn.o_proj.weight",
        Role::FeedForwardNorm => "post_attention_layernorm.weight",
        Role::Gate => "mlp.gate_proj.weight",
        Role::Up => "mlp.up_proj.weight",
        Role::Down => "mlp.down_proj.weight",
    };
    match layer {
        Some(layer) => format!("model.layers.{layer}.{part}"),
        None => part.to_owned(),
    }
}

impl FolderSource {
    /// Reads a tensor and widens it to f32.
    fn read(&mut self, name: String, expected: &[usize]) -> Result<Tensor> {
        let found = self.shards.iter_mut().find_map(|shard| {
            shard
                .tensors
                .get(&name)
                .map(|tensor| (tensor, &mut shard.reader))
        });
        let Some((tensor, reader)) = found else {
            return Err(InferError::MissingTensor { tensor: name });
        };
        let wanted: Vec<u64> = expected.iter().map(|n| *n as u64).collect();
        if tensor.shape != wanted {
            return Err(InferError::TensorShape {
                tensor: name,
                found: tensor.shape.clone(),
                expected: wanted,
            });
        }
        let bytes = reader.read(tensor.start, tensor.bytes)?;
        self.tally
            .add(&name, tensor.kind.name(), &tensor.shape, bytes.as_slice());
        let kind = match tensor.kind {
            FloatType::F32 => DType::F32,
            FloatType::F16 => DType::F16,
            FloatType::BF16 => DType::BF16,
        };
        self.used.insert(name);
        Tensor::from_raw_buffer(bytes.as_slice(), kind, expected, &self.device)
            .and_then(|t| t.to_dtype(DType::F32))
            .map_err(InferError::backend("load tensor"))
    }

    fn holds(&self, name: &str) -> bool {
        self.shards
            .iter()
            .any(|shard| shard.tensors.contains_key(name))
    }
}

impl WeightSource for FolderSource {
    fn has(&self, role: Role, layer: Option<usize>) -> bool {
        match role {
            // some tied models store a copy of the table; others must have the matrix
            Role::Output => !self.tied,
            _ => self.holds(&tensor_name(role, layer)),
        }
    }

    fn matrix(
        &mut self,
        role: Role,
        layer: Option<usize>,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix> {
        self.read(tensor_name(role, layer), &[rows, columns])
            .map(Matrix::Dense)
    }

    fn vector(&mut self, role: Role, layer: Option<usize>, len: usize) -> Result<Tensor> {
        self.read(tensor_name(role, layer), &[len])
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn finish(&mut self, config: &ModelConfig) -> Result<Totals> {
        let derived = |name: &str| {
            name.ends_with(".rotary_emb.inv_freq") || (self.tied && name == "lm_head.weight")
        };
        let names = self.shards.iter().flat_map(|shard| shard.tensors.keys());
        let left = names
            .into_iter()
            .find(|n| !derived(n) && !self.used.contains(*n));
        match left {
            Some(tensor) => Err(InferError::UnexpectedTensor {
                tensor: tensor.clone(),
                architecture: config.architecture.name().to_owned(),
            }),
            None => Ok(self.tally.finish(config)),
        }
    }
}
