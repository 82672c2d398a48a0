//! A decoder's configuration and tensors out of a GGUF file.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::HashSet;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};

use super::gguf::{FORMAT, GgufHeader, GgufTensor, GgufType, GgufValue};
use super::reader::{BlockReader, RangeReader, Tally};
use super::{LoadOptions, Loaded, Matrix, Role, Totals, WeightSource, load_tokenizer_file};
use crate::chat::ChatTemplate;
use crate::error::{InferError, Result};
use crate::model::{Architecture, ModelConfig, RopeConfig, RopePairs, RopeScaling};
use crate::tokenizer::Tokenizer;

/// Loads everything but the tensors, which are read when the decoder asks for them.
pub(super) fn open(path: &Path, options: &LoadOptions) -> Result<Loaded> {
    let (mut reader, file_bytes) = RangeReader::open(path)?;
    let header = GgufHeader::read(BufReader::new(reader.file()), file_bytes)?;
    let mut config = config_from(&header)?;
    if let Some(freqs) = header.tensor(ROPE_FREQS) {
        config.rope.scaling = rope_freqs(freqs, &mut reader)?;
    }
    if let Some(limit) = options.context_tokens_max {
        config.context_tokens = config.context_tokens.min(limit);
    }
    config.validate(FORMAT)?;
    let tokenizer = match &options.tokenizer_path {
        Some(path) => load_tokenizer_file(path, None)?,
        None => Tokenizer::from_gguf(&header)?,
    };
    let template = match &options.chat_template {
        Some(source) => Some(ChatTemplate::new(source.clone())?),
        None => header
            .typed("tokenizer.chat_template", "a string", GgufValue::as_str)?
            .map(|source| ChatTemplate::new(source.to_owned()))
            .transpose()?,
    };
    let name = match header.typed("general.name", "a string", GgufValue::as_str)? {
        Some(name) => name.to_owned(),
        None => path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    };
    let source = GgufSource {
        header,
        reader,
        device: options.device.clone(),
        used: HashSet::new(),
        tally: Tally::new(),
    };
    Ok(Loaded {
        name,
        trained: true,
        config,
        source: Box::new(source),
        tokenizer,
        template,
    })
}

const ROPE_FREQS: &str = "rope_freqs.weight";

/// Reads and checks the configuration, `rope_freqs.weight` apart.
fn config_from(header: &GgufHeader) -> Result<ModelConfig> {
    let name = header.required("general.architecture", "a string", GgufValue::as_str)?;
    let (architecture, pairs) = match name {
        "llama" => (Architecture::Llama, RopePairs::Adjacent),
        "qwen2" => (Architecture::Qwen2, RopePairs::Halves),
        "qwen3" => (Architecture::Qwen3, RopePairs::Halves),
        other => {
            return Err(InferError::UnsupportedArchitecture {
                found: other.chars().take(64).collect(),
                supported: "llama, qwen2, qwen3",
            });
        }
    };
    let keys = Keys {
        header,
        architecture: name,
    };
    reject_unsupported(&keys)?;
    let hidden = keys.size("embedding_length")?;
    let heads = keys.size("attention.head_count")?;
    let kv_heads = keys
        .optional_size("attention.head_count_kv")?
        .unwrap_or(heads);
    let head_dim = match keys.optional_size("attention.key_length")? {
        Some(n) => n,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    let table = header
        .tensor("token_embd.weight")
        .ok_or_else(|| InferError::MissingTensor {
            tensor: "token_embd.weight".to_owned(),
        })?;
    let vocab = table
        .shape
        .first()
        .copied()
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(0);
    let config = ModelConfig {
        architecture,
        layers: keys.size("block_count")?,
        hidden,
        feed_forward: keys.size("feed_forward_length")?,
        heads,
        kv_heads,
        head_dim,
        vocab,
        context_tokens: keys.size("context_length")?,
        rms_eps: keys
            .float("attention.layer_norm_rms_epsilon")?
            .unwrap_or(1e-5),
        rope: RopeConfig {
            base: keys.float("rope.freq_base")?.unwrap_or(10_000.0),
            pairs,
            scaling: linear_scaling(&keys)?,
        },
    };
    config.validate(FORMAT)?;
    same_head_sizes(&keys, head_dim)?;
    Ok(config)
}

/// Values must be as long as keys, and whole heads must be rotated.
fn same_head_sizes(keys: &Keys<'_>, head_dim: usize) -> Result<()> {
    let value_dim = keys
        .optional_size("attention.value_length")?
        .unwrap_or(head_dim);
    let rotated = keys
        .optional_size("rope.dimension_count")?
        .unwrap_or(head_dim);
    for (field, value) in [("value size", value_dim), ("rope dimension count", rotated)] {
        if value != head_dim {
            return Err(InferError::BadField {
                format: FORMAT,
                field: field.to_owned(),
                value: value.to_string(),
                allowed: format!("the head size of {head_dim}"),
            });
        }
    }
    Ok(())
}

/// The metadata of one architecture.
struct Keys<'a> {
    header: &'a GgufHeader,
    architecture: &'a str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let wanted = "one non-negative integer";
        let value = self
            .header
            .typed(&self.key(name), wanted, GgufValue::as_u64)?;
        // a size that does not fit is far over every cap of the configuration
        Ok(value.map(|v| usize::try_from(v).unwrap_or(usize::MAX)))
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?
            .ok_or_else(|| InferError::MissingField {
                format: FORMAT,
                field: self.key(name),
            })
    }

    fn float(&self, name: &str) -> Result<Option<f64>> {
        self.header
            .typed(&self.key(name), "a float", GgufValue::as_f64)
    }
}

fn reject_unsupported(keys: &Keys<'_>) -> Result<()> {
    for name in ["expert_count", "attention.sliding_window"] {
        if let Some(n) = keys.optional_size(name)?.filter(|n| *n > 0) {
            let feature = match name {
                "expert_count" => "number of experts",
                _ => "sliding attention window",
            };
            return Err(InferError::Unsupported {
                feature,
                value: n.to_string(),
                supported: "0",
            });
        }
    }
    Ok(())
}

fn linear_scaling(keys: &Keys<'_>) -> Result<RopeScaling> {
    let kind = keys.header.typed(
        &keys.key("rope.scaling.type"),
        "a string",
        GgufValue::as_str,
    )?;
    match kind {
        None | Some("none") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear(
            keys.float("rope.scaling.factor")?.unwrap_or(1.0),
        )),
        Some(other) => Err(InferError::Unsupported {
            feature: "rope scaling type",
            value: other.chars().take(64).collect(),
            supported: "none, linear, or divisors in rope_freqs.weight",
        }),
    }
}

fn rope_freqs(tensor: &GgufTensor, reader: &mut RangeReader) -> Result<RopeScaling> {
    if tensor.kind != GgufType::F32 || tensor.bytes > 4 * 4096 {
        return Err(InferError::UnsupportedTensorType {
            tensor: tensor.name.clone(),
            found: format!("{} with {} bytes", tensor.kind.name(), tensor.bytes),
            supported: "F32 with at most 4096 numbers",
        });
    }
    let bytes = reader.read(tensor.start, tensor.bytes)?;
    let (values, _) = bytes.as_slice().as_chunks();
    Ok(RopeScaling::PerFrequency(
        values.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    ))
}

/// Tensors of a GGUF file by role.
struct GgufSource {
    header: GgufHeader,
    reader: RangeReader,
    device: Device,
    used: HashSet<String>,
    tally: Tally,
}

fn tensor_name(role: Role, layer: Option<usize>) -> String {
    let part = match role {
        Role::TokenEmbedding => "token_embd.weight",
        Role::OutputNorm => "output_norm.weight",
        Role::Output => "output.weight",
        Role::AttentionNorm => "attn_norm.weight",
        Role::Query => "attn_q.weight",
        Role::Key => "attn_k.weight",
        Role::Value => "attn_v.weight",
        Role::QueryBias => "attn_q.bias",
        Role::KeyBias => "attn_k.bias",
        Role::ValueBias => "attn_v.bias",
        Role::QueryNorm => "attn_q_norm.weight",
        Role::KeyNorm => "attn_k_norm.weight",
        Role::AttentionOutput => "attn_output.weight",
        Role::FeedForwardNorm => "ffn_norm.weight",
        Role::Gate => "ffn_gate.weight",
        Role::Up => "ffn_up.weight",
        Role::Down => "ffn_down.weight",
    };
    match layer {
        Some(layer) => format!("blk.{layer}.{part}"),
        None => part.to_owned(),
    }
}

impl GgufSource {
    /// The entry of a tensor of the expected shape.
    fn tensor(&self, name: String, expected: &[usize]) -> Result<&GgufTensor> {
        let Some(tensor) = self.header.tensor(&name) else {
            return Err(InferError::MissingTensor { tensor: name });
        };
        let expected: Vec<u64> = expected.iter().map(|n| *n as u64).collect();
        if tensor.shape != expected {
            return Err(InferError::TensorShape {
                tensor: name,
                found: tensor.shape.clone(),
                expected,
            });
        }
        Ok(tensor)
    }

    fn read(&mut self, name: String, expected: &[usize]) -> Result<QTensor> {
        let tensor = self.tensor(name.clone(), expected)?.clone();
        let bytes = self.reader.read(tensor.start, tensor.bytes)?;
        self.tally
            .add(&name, tensor.kind.name(), &tensor.shape, bytes.as_slice());
        let kind = tensor.kind.candle();
        let shape: Vec<usize> = tensor
            .shape
            .iter()
            .map(|n| usize::try_from(*n).unwrap_or(usize::MAX))
            .collect();
        self.used.insert(name);
        QStorage::from_data(bytes.as_slice().into(), &self.device, kind)
            .and_then(|storage| QTensor::new(storage, shape))
            .map_err(InferError::backend("load tensor"))
    }
}

impl WeightSource for GgufSource {
    fn has(&self, role: Role, layer: Option<usize>) -> bool {
        self.header.tensor(&tensor_name(role, layer)).is_some()
    }

    fn matrix(
        &mut self,
        role: Role,
        layer: Option<usize>,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix> {
        let tensor = self.read(tensor_name(role, layer), &[rows, columns])?;
        Ok(Matrix::Quantised(Arc::new(tensor)))
    }

    fn blocks(
        &mut self,
        role: Role,
        layer: Option<usize>,
        shape: [usize; 2],
        wanted: &dyn Fn(GgmlDType) -> bool,
    ) -> Result<Option<BlockReader<'_>>> {
        let name = tensor_name(role, layer);
        let tensor = self.tensor(name.clone(), &shape)?.clone();
        let kind = tensor.kind.candle();
        if !wanted(kind) {
            return Ok(None);
        }
        self.tally
            .begin(&name, tensor.kind.name(), &tensor.shape, tensor.bytes);
        self.used.insert(name);
        let range = tensor.start..tensor.start.saturating_add(tensor.bytes);
        Ok(Some(BlockReader::new(
            kind,
            &mut self.reader,
            &mut self.tally,
            range,
        )))
    }

    fn vector(&mut self, role: Role, layer: Option<usize>, len: usize) -> Result<Tensor> {
        let tensor = self.read(tensor_name(role, layer), &[len])?;
        tensor
            .dequantize(&self.device)
            .and_then(|t| t.to_dtype(DType::F32))
            .map_err(InferError::backend("load tensor"))
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn finish(&mut self, config: &ModelConfig) -> Result<Totals> {
        let left = self.header.tensors().iter().find(|t| {
            let derived = t.name == ROPE_FREQS || t.name.ends_with(".attn_rot_embd.weight");
            !derived && !self.used.contains(&t.name)
        });
        match left {
            Some(tensor) => Err(InferError::UnexpectedTensor {
                tensor: tensor.name.clone(),
                architecture: config.architecture.name().to_owned(),
            }),
            None => Ok(self.tally.finish(config)),
        }
    }
}
