//! What a window of keys and values costs in quality: the shipped model's own texts, read with the
//! whole context in sight and with the middle forgotten.

use crate::speculation::shipped;
use neurectomy_bench::{BenchError, Row, Suite};
use ryot_inference::{Engine, EngineConfig, LoadOptions, Message, Model, Request, Sampling};

/// Requests whose answers, drawn at temperature 1 and never ended, are the texts.
const PROMPTS: [&str; 4] = [
    "Count the lines of notes/coast.md that mention retry.",
    "List the files in reports/harbour and report the size of each.",
    "Copy notes/steep_bridge.md to archive/rocket/walnut_sensor.md and make sure that nothing is lost.",
    "What is a sketch?",
];
/// First tokens that every window keeps.
const SINKS: usize = 4;

pub(crate) fn measure(suite: &mut Suite) -> Result<(), BenchError> {
    let model = Model::load(shipped("target.gguf"), LoadOptions::new())?;
    let context = model.info().context_tokens;
    let read = suite.size(48, context);
    let texts = texts(&model, read)?;
    let from = read / 2;
    let whole = loss(&model, &texts, from, read)?;
    for window in [read / 2, read / 4] {
        let part = loss(&model, &texts, from, window)?;
        let measure = format!("shipped model, perplexity with {window} of {read} tokens held");
        suite.record(Row::new(&measure, "ppl", part.exp()).against("all held", whole.exp()));
    }
    Ok(())
}

/// Tokens of texts that the model wrote.
fn texts(model: &Model, tokens: usize) -> Result<Vec<Vec<u32>>, BenchError> {
    let engine = Engine::new(model.clone(), EngineConfig::new())?;
    let mut texts = Vec::new();
    for (seed, prompt) in (0..).zip(PROMPTS) {
        let request = Request::new(vec![Message::user(prompt)])
            .max_tokens(tokens)
            .sampling(Sampling::random(seed).temperature(1.0))
            .ignore_end(true);
        let mut generation = engine.generate(request)?;
        generation.by_ref().try_for_each(|piece| piece.map(drop))?;
        let text = generation.tokens().iter().take(tokens).copied().collect();
        texts.push(text);
    }
    Ok(texts)
}

/// Mean loss of the tokens from `from` on, in nats, where at most `window` are held.
fn loss(model: &Model, texts: &[Vec<u32>], from: usize, window: usize) -> Result<f64, BenchError> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for text in texts {
        let mut state = model.new_state();
        for (place, pair) in text.windows(2).enumerate() {
            let [token, next] = pair else { continue };
            if state.len() == window {
                model.forget(&mut state, SINKS..SINKS + (window - SINKS) / 4)?;
            }
            let logits = model.forward(&mut state, &[*token])?;
            if place + 1 >= from {
                sum += negative_log_probability(logits.last(), *next)?;
                count += 1;
            }
        }
    }
    Ok(sum / f64::from(count))
}

fn negative_log_probability(logits: &[f32], token: u32) -> Result<f64, BenchError> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let parts = logits.iter().map(|logit| f64::from(logit - largest).exp());
    let sum: f64 = parts.sum();
    let own = logits
        .get(token as usize)
        .ok_or("a token beyond the vocabulary")?;
    Ok(sum.ln() - f64::from(own - largest))
}
