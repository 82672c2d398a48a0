//! What the lossy forms of keys and values cost: the shipped model's own texts, the first half of each
//! restored from the form, the second half read.

use neurectomy_bench::own_texts::{loss_of, shipped_model, written_by};
use neurectomy_bench::{BenchError, Row, Suite};
use ryot_inference::{KvElement, KvState, KvValues, Model, State};
use sigma_lang::Limits;
use sigma_lang::tensor::{
    self, FloatType, Int8Config, KvConfig, KvShape, compress_int8, compress_kv, decompress_int8,
};

/// Tokens of a block, as a store keeps them.
const BLOCK_TOKENS: usize = 64;

#[derive(Clone, Copy)]
enum Form {
    Lossless,
    Int8,
    Steps,
}

pub(crate) fn rows(suite: &mut Suite) -> Result<(), BenchError> {
    let model = shipped_model()?;
    let read = suite.size(2 * BLOCK_TOKENS, model.info().context_tokens);
    let texts = written_by(&model, read)?;
    let lossless = perplexity(&model, &texts, Form::Lossless)?;
    for (name, form) in [("int8", Form::Int8), ("steps", Form::Steps)] {
        let measure = format!("shipped model, perplexity after half a text restored, {name}");
        let row = Row::new(&measure, "ppl", perplexity(&model, &texts, form)?);
        suite.record(row.against("lossless", lossless));
    }
    Ok(())
}

fn perplexity(model: &Model, texts: &[Vec<u32>], form: Form) -> Result<f64, BenchError> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for text in texts {
        let half = text.len() / 2 / BLOCK_TOKENS * BLOCK_TOKENS;
        let (before, rest) = text.split_at(half);
        let mut state = restored(model, before, form)?;
        for pair in rest.windows(2) {
            let [token, next] = pair else { continue };
            let logits = model.forward(&mut state, &[*token])?;
            sum += loss_of(logits.last(), *next)?;
            count += 1;
        }
    }
    Ok((sum / f64::from(count)).exp())
}

/// A state of `tokens` whose blocks went through `form`.
fn restored(model: &Model, tokens: &[u32], form: Form) -> Result<State, BenchError> {
    let mut computed = model.new_state();
    model.forward(&mut computed, tokens)?;
    let mut state = model.new_state();
    for start in (0..tokens.len()).step_by(BLOCK_TOKENS) {
        let block = computed.export_range(start, start + BLOCK_TOKENS)?;
        let values = through(&block, form)?;
        let block = KvState::from_parts(
            block.fingerprint(),
            start,
            block.tokens().to_vec(),
            block.shape(),
            values,
        )?;
        state.append(&block)?;
    }
    Ok(state)
}

fn through(block: &KvState, form: Form) -> Result<KvValues, BenchError> {
    let element = block.values().element();
    let float = match element {
        KvElement::Bf16 => FloatType::Bf16,
        _ => FloatType::F32,
    };
    let bytes = block.values().to_le_bytes();
    let (_, back) = match form {
        Form::Lossless => (float, bytes),
        Form::Int8 => {
            let packed = compress_int8(&bytes, float, &Int8Config::new())?;
            decompress_int8(&packed, &Limits::default())?
        }
        Form::Steps => {
            let shape = block.shape();
            let shape = KvShape::new(block.tokens().len(), shape.kv_heads * shape.head_dim);
            let packed = compress_kv(&bytes, float, shape, &KvConfig::new())?;
            tensor::decompress_kv(&packed, &Limits::default())?
        }
    };
    Ok(KvValues::from_le_bytes(element, &back))
}
