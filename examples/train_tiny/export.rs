//! The trained network as a GGUF file: matrices in Q8_0, tokenizer and chat template inside.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};

use super::Result;
use super::net::Net;
use super::ops::{RMS_EPS, ROPE_BASE};
use super::vocabulary::{PRE_TOKENIZER, SPECIALS, Vocabulary};

/// A turn is `<|turn|>`, the role, a line break, the text, `<|end|>`.
const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\
    <|turn|>{{ message.role }}\n{{ message.content }}<|end|>{% endfor %}\
    {% if add_generation_prompt %}<|turn|>assistant\n{% endif %}";
/// Kinds of tokens in GGUF.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

/// Writes `net` to `path`.
pub(crate) fn write(path: &Path, name: &str, net: &Net, vocabulary: &Vocabulary) -> Result<()> {
    let metadata = metadata(name, net, vocabulary)?;
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (*k, v)).collect();
    let mut tensors = Vec::new();
    for parameter in &net.parameters {
        let tensor = parameter.var.as_tensor();
        let columns = tensor.dims().last().copied().unwrap_or(1);
        let kind = match tensor.rank() > 1 && columns.is_multiple_of(32) {
            true => GgmlDType::Q8_0,
            false => GgmlDType::F32,
        };
        tensors.push((parameter.name.as_str(), QTensor::quantize(tensor, kind)?));
    }
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (*n, t)).collect();
    let mut file = BufWriter::new(File::create(path)?);
    gguf_file::write(&mut file, &metadata, &tensors)?;
    Ok(())
}

fn metadata(name: &str, net: &Net, vocabulary: &Vocabulary) -> Result<Vec<(&'static str, Value)>> {
    let shape = &net.shape;
    let size = |n: usize| -> Result<Value> { Ok(Value::U32(u32::try_from(n)?)) };
    let text = |s: &str| Value::String(s.to_owned());
    let texts = |all: Vec<String>| Value::Array(all.into_iter().map(Value::String).collect());
    let (tokens, merges) = vocabulary.tables()?;
    let kinds = (0..tokens.len()).map(|id| match id < SPECIALS.len() {
        true => Value::I32(CONTROL),
        false => Value::I32(NORMAL),
    });
    #[expect(clippy::cast_possible_truncation, reason = "the format wants f32")]
    let rope_base = ROPE_BASE as f32;
    Ok(vec![
        ("general.architecture", text("llama")),
        ("general.name", text(name)),
        ("llama.context_length", size(shape.context)?),
        ("llama.embedding_length", size(shape.hidden)?),
        ("llama.block_count", size(shape.layers)?),
        ("llama.feed_forward_length", size(shape.feed_forward)?),
        ("llama.attention.head_count", size(shape.heads)?),
        ("llama.attention.head_count_kv", size(shape.kv_heads)?),
        ("llama.attention.key_length", size(shape.head_dim)?),
        ("llama.attention.value_length", size(shape.head_dim)?),
        ("llama.rope.dimension_count", size(shape.head_dim)?),
        ("llama.rope.freq_base", Value::F32(rope_base)),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Value::F32(RMS_EPS),
        ),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text(PRE_TOKENIZER)),
        ("tokenizer.ggml.token_type", Value::Array(kinds.collect())),
        ("tokenizer.ggml.tokens", texts(tokens)),
        ("tokenizer.ggml.merges", texts(merges)),
        ("tokenizer.ggml.bos_token_id", Value::U32(0)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
        ("tokenizer.chat_template", text(TEMPLATE)),
    ])
}
