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
}

/// A model small enough for a smoke run.
pub const TINY: Shape = Shape {
    layers: 2,
    hidden: 256,
    feed_forward: 512,
    heads: 4,
    kv_heads: 2,
    vocab: 512,
};

/// Width and depth of the 30 M class: about 33 M parameters.
pub const SMALL: Shape = Shape {
    layers: 10,
    hidden: 512,
    feed_forward: 1536,
    heads: 8,
    kv_heads: 4,
    vocab: 4096,
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
};

/// Writes a model of `shape` with normal weights of deviation 0.02 from `seed`, matrices in `dtype`.
///
/// # Errors
/// The file cannot be written, or a width does not suit the blocks of `dtype`.
pub fn write_gguf(
    path: &Path,
    shape: Shape,
    dtype: GgmlDType,
    seed: u64,
) -> Result<(), BenchError> {
    let mut seeded = SplitMix64::new(seed);
    let mut tensors: Vec<(String, QTensor)> = Vec::new();
    let head_dim = shape.hidden / shape.heads;
    let kv_dim = shape.kv_heads * head_dim;
    let Shape {
        hidden,
        feed_forward,
        vocab,
        ..
    } = shape;
    tensors.push(matrix("token_embd", vocab, hidden, dtype, &mut seeded)?);
    for layer in 0..shape.layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        tensors.push(ones(&name("attn_norm"), hidden)?);
        tensors.push(matrix(&name("attn_q"), hidden, hidden, dtype, &mut seeded)?);
        tensors.push(matrix(&name("attn_k"), kv_dim, hidden, dtype, &mut seeded)?);
        tensors.push(matrix(&name("attn_v"), kv_dim, hidden, dtype, &mut seeded)?);
        tensors.push(matrix(
            &name("attn_output"),
            hidden,
            hidden,
            dtype,
            &mut seeded,
        )?);
        tensors.push(ones(&name("ffn_norm"), hidden)?);
        tensors.push(matrix(
            &name("ffn_gate"),
            feed_forward,
            hidden,
            dtype,
            &mut seeded,
        )?);
        tensors.push(matrix(
            &name("ffn_up"),
            feed_forward,
            hidden,
            dtype,
            &mut seeded,
        )?);
        tensors.push(matrix(
            &name("ffn_down"),
            hidden,
            feed_forward,
            dtype,
            &mut seeded,
        )?);
    }
    tensors.push(ones("output_norm", hidden)?);
    tensors.push(matrix("output", vocab, hidden, dtype, &mut seeded)?);
    let metadata = metadata(shape)?;
    let metadata: Vec<(&str, &Value)> = metadata
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    let tensors: Vec<(&str, &QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    gguf_file::write(
        &mut BufWriter::new(std::fs::File::create(path)?),
        &metadata,
        &tensors,
    )?;
    Ok(())
}

fn matrix(
    name: &str,
    rows: usize,
    columns: usize,
    dtype: GgmlDType,
    seeded: &mut SplitMix64,
) -> Result<(String, QTensor), BenchError> {
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
    Ok((format!("{name}.weight"), QTensor::quantize(&tensor, dtype)?))
}

/// The sum of four uniform numbers of 16 bits each.
fn quarter(bits: u64) -> f64 {
    (0..4)
        .map(|part| f64::from(((bits >> (16 * part)) & 0xffff) as u16) / 65_536.0)
        .sum()
}

fn ones(name: &str, width: usize) -> Result<(String, QTensor), BenchError> {
    let tensor = Tensor::ones(width, candle_core::DType::F32, &Device::Cpu)?;
    Ok((
        format!("{name}.weight"),
        QTensor::quantize(&tensor, GgmlDType::F32)?,
    ))
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
        write_gguf(&one, TINY, GgmlDType::Q8_0, 7).unwrap();
        write_gguf(&two, TINY, GgmlDType::Q8_0, 7).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        let content = gguf_file::Content::read(&mut std::fs::File::open(&one).unwrap()).unwrap();
        assert_eq!(content.tensor_infos.len(), 2 * 9 + 3);
    }
}
