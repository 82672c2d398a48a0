//! Seeded models for the inference suite: real shapes, random weights, written as GGUF so that every
//! engine reads the very same file.

use crate::corpus::SplitMix64;
use crate::suite::BenchError;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use std::io::BufWriter;
use std::path::Path;

/// Sizes of a Llama-architecture model.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward part.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Entries of the vocabulary, at least 256.
    pub vocab: usize,
    /// Whether the embeddings are the output matrix, too.
    pub tied: bool,
}

/// A model small enough for a smoke run.
pub const TINY: Shape = Shape {
    layers: 2,
    hidden: 256,
    feed_forward: 512,
    heads: 4,
    kv_heads: 2,
    vocab: 512,
    tied: false,
};

/// Width and depth of the 30 M class: about 33 M parameters.
pub const SMALL: Shape = Shape {
    layers: 10,
    hidden: 512,
    feed_forward: 1536,
    heads: 8,
    kv_heads: 4,
    vocab: 4096,
    tied: false,
};

/// The shape of SmolLM2-135M with a smaller vocabulary: rows of 576 numbers, which are no multiple
/// of 256.
pub const MEDIUM: Shape = Shape {
    layers: 30,
    hidden: 576,
    feed_forward: 1536,
    heads: 9,
    kv_heads: 3,
    vocab: 16384,
    tied: false,
};

/// The shape of Llama-3.2-1B: 1.24 billion parameters, the output matrix being the embeddings.
pub const LARGE: Shape = Shape {
    layers: 16,
    hidden: 2048,
    feed_forward: 8192,
    heads: 32,
    kv_heads: 8,
    vocab: 128_256,
    tied: true,
};

/// How the matrices of a file are stored; norms are single precision in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantisation {
    /// Eight bits everywhere.
    Q8_0,
    /// Four bits; the output matrix in six (`Q6_K`) where its rows allow.
    Q4_0,
    /// llama.cpp's `Q4_K_M`: four bits, with the output, half of the value and half of the down
    /// matrices in six; rows that are no multiple of 256 fall back to `Q5_0` and `Q8_0`.
    Q4KM,
    /// One type everywhere.
    Only(GgmlDType),
}

/// A matrix of a block, or one of the two at the ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Embedding,
    Output,
    Query,
    Key,
    Value,
    AttentionOutput,
    Gate,
    Up,
    Down,
}

impl Quantisation {
    fn dtype(self, part: Part, (layer, layers): (usize, usize), columns: usize) -> GgmlDType {
        let more = match part {
            Part::Output => true,
            // The choice of llama.cpp: the first and last eighth, and each third one between.
            Part::Value | Part::Down => {
                let eighth = layers / 8;
                layer < eighth || layer >= 7 * eighth || (layer - eighth) % 3 == 2
            }
            _ => false,
        };
        let wide = columns.is_multiple_of(256);
        match (self, more, wide) {
            (Self::Only(dtype), ..) => dtype,
            (Self::Q4_0 | Self::Q4KM, true, true) if part == Part::Output => GgmlDType::Q6K,
            (Self::Q4KM, true, true) => GgmlDType::Q6K,
            (Self::Q4KM, false, true) => GgmlDType::Q4K,
            (Self::Q4KM, false, false) => GgmlDType::Q5_0,
            (Self::Q4_0, ..) if part != Part::Output => GgmlDType::Q4_0,
            (Self::Q8_0 | Self::Q4_0 | Self::Q4KM, ..) => GgmlDType::Q8_0,
        }
    }
}

/// Matrices made so far. Blocks of equal parity share theirs: what weights say does not matter
/// here, and making a billion of them takes minutes.
struct Matrices {
    seeded: SplitMix64,
    made: Vec<((Part, GgmlDType, usize), QTensor)>,
}

impl Matrices {
    /// The place in `made` of such a matrix.
    fn place(
        &mut self,
        key: (Part, GgmlDType, usize),
        (rows, columns): (usize, usize),
    ) -> Result<usize, BenchError> {
        if let Some(place) = self.made.iter().position(|(made, _)| *made == key) {
            return Ok(place);
        }
        let tensor = matrix(rows, columns, key.1, &mut self.seeded)?;
        self.made.push((key, tensor));
        Ok(self.made.len() - 1)
    }
}

/// Writes a model of `shape` with normal weights of deviation 0.02 from `seed`.
///
/// # Errors
/// The file cannot be written, or a width does not suit the blocks of `quantisation`.
pub fn write_gguf(
    path: &Path,
    shape: Shape,
    quantisation: Quantisation,
    seed: u64,
) -> Result<(), BenchError> {
    let mut matrices = Matrices {
        seeded: SplitMix64::new(seed),
        made: Vec::new(),
    };
    let kv_dim = shape.kv_heads * (shape.hidden / shape.heads);
    let Shape {
        layers,
        hidden,
        feed_forward,
        vocab,
        ..
    } = shape;
    let parts = [
        ("attn_q", Part::Query, hidden, hidden),
        ("attn_k", Part::Key, kv_dim, hidden),
        ("attn_v", Part::Value, kv_dim, hidden),
        ("attn_output", Part::AttentionOutput, hidden, hidden),
        ("ffn_gate", Part::Gate, feed_forward, hidden),
        ("ffn_up", Part::Up, feed_forward, hidden),
        ("ffn_down", Part::Down, hidden, feed_forward),
    ];
    let mut places: Vec<(String, usize)> = Vec::new();
    let ends = if shape.tied {
        // The embeddings are the output matrix, too, and stored like one.
        &[("token_embd", Part::Output)][..]
    } else {
        &[("token_embd", Part::Embedding), ("output", Part::Output)]
    };
    for (name, part) in ends {
        let dtype = quantisation.dtype(*part, (0, layers), hidden);
        let place = matrices.place((*part, dtype, 0), (vocab, hidden))?;
        places.push((format!("{name}.weight"), place));
    }
    for layer in 0..layers {
        for (name, part, rows, columns) in parts {
            let dtype = quantisation.dtype(part, (layer, layers), columns);
            let place = matrices.place((part, dtype, layer % 2), (rows, columns))?;
            places.push((format!("blk.{layer}.{name}.weight"), place));
        }
    }
    let norm = ones(hidden)?;
    let norms = (0..layers).flat_map(|layer| {
        ["attn_norm", "ffn_norm"].map(|part| format!("blk.{layer}.{part}.weight"))
    });
    let norms: Vec<String> = norms.chain(["output_norm.weight".to_owned()]).collect();
    let metadata = metadata(shape)?;
    let metadata: Vec<(&str, &Value)> = metadata
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    let matrices = places
        .iter()
        .map(|(name, place)| (name.as_str(), &matrices.made[*place].1));
    let norms = norms.iter().map(|name| (name.as_str(), &norm));
    let tensors: Vec<(&str, &QTensor)> = matrices.chain(norms).collect();
    gguf_file::write(
        &mut BufWriter::new(std::fs::File::create(path)?),
        &metadata,
        &tensors,
    )?;
    Ok(())
}

fn matrix(
    rows: usize,
    columns: usize,
    dtype: GgmlDType,
    seeded: &mut SplitMix64,
) -> Result<QTensor, BenchError> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "weights are single precision"
    )]
    let values: Vec<f32> = (0..rows * columns)
        .map(|_| {
            // Twelve uniform numbers, less six: normal enough, deviation one.
            let sum: f64 = (0..3).map(|_| quarter(seeded.bits())).sum();
            (0.02 * (sum - 6.0)) as f32
        })
        .collect();
    let tensor = Tensor::from_vec(values, (rows, columns), &Device::Cpu)?;
    Ok(QTensor::quantize(&tensor, dtype)?)
}

/// The sum of four uniform numbers of 16 bits each.
fn quarter(bits: u64) -> f64 {
    (0..4)
        .map(|part| f64::from(((bits >> (16 * part)) & 0xffff) as u16) / 65_536.0)
        .sum()
}

fn ones(width: usize) -> Result<QTensor, BenchError> {
    let tensor = Tensor::ones(width, candle_core::DType::F32, &Device::Cpu)?;
    Ok(QTensor::quantize(&tensor, GgmlDType::F32)?)
}

fn metadata(shape: Shape) -> Result<Vec<(String, Value)>, BenchError> {
    let whole = |value: usize| -> Result<Value, BenchError> { Ok(Value::U32(value.try_into()?)) };
    let text = |value: &str| Value::String(value.to_owned());
    // A byte-level vocabulary with one merge; later ids have names that no text contains.
    let mut tokens: Vec<Value> = byte_alphabet()
        .map(|c| Value::String(c.to_string()))
        .collect();
    tokens.push(text("th"));
    tokens.extend((tokens.len()..shape.vocab).map(|id| Value::String(format!("<|unused_{id}|>"))));
    let kinds = (0..shape.vocab)
        .map(|id| Value::I32(if id <= 256 { 1 } else { 3 }))
        .collect();
    let head_dim = shape.hidden / shape.heads;
    let entries = [
        ("general.architecture", text("llama")),
        ("general.name", text("seeded random weights")),
        ("llama.context_length", whole(4096)?),
        ("llama.embedding_length", whole(shape.hidden)?),
        ("llama.block_count", whole(shape.layers)?),
        ("llama.feed_forward_length", whole(shape.feed_forward)?),
        ("llama.attention.head_count", whole(shape.heads)?),
        ("llama.attention.head_count_kv", whole(shape.kv_heads)?),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.dimension_count", whole(head_dim)?),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("llama.vocab_size", whole(shape.vocab)?),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("llama-bpe")),
        ("tokenizer.ggml.tokens", Value::Array(tokens)),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", Value::Array(vec![text("t h")])),
        ("tokenizer.ggml.bos_token_id", whole(257)?),
        ("tokenizer.ggml.eos_token_id", whole(258)?),
    ];
    Ok(entries
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

/// GPT-2's printable stand-ins for the 256 bytes, in the order of its vocabulary.
fn byte_alphabet() -> impl Iterator<Item = char> {
    let printable = (33..=126).chain(161..=172).chain(174..=255);
    let others = (0_u32..68).map(|n| 256 + n);
    printable.chain(others).filter_map(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_alphabet_has_256_different_characters() {
        assert_eq!(byte_alphabet().collect::<BTreeSet<_>>().len(), 256);
        assert_eq!(byte_alphabet().count(), 256);
    }

    #[test]
    fn a_written_model_reads_back_with_its_tensors_and_repeats() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("1.gguf"), dir.path().join("2.gguf"));
        write_gguf(&one, TINY, Quantisation::Q8_0, 7).unwrap();
        write_gguf(&two, TINY, Quantisation::Q8_0, 7).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        let content = gguf_file::Content::read(&mut std::fs::File::open(&one).unwrap()).unwrap();
        assert_eq!(content.tensor_infos.len(), 2 * 9 + 3);
    }
}
