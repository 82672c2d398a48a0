//! Texts that the shipped model writes, and how likely it finds them: what a change of keys and values
//! costs in quality, for the suites that make one.

use crate::suite::BenchError;
use ryot_inference::{Engine, EngineConfig, LoadOptions, Message, Model, Request, Sampling};
use std::path::Path;

/// Requests whose answers, drawn at temperature 1 and never ended, are the texts.
const PROMPTS: [&str; 4] = [
    "Count the lines of notes/coast.md that mention retry.",
    "List the files in reports/harbour and report the size of each.",
    "Copy notes/steep_bridge.md to archive/rocket/walnut_sensor.md and make sure that nothing is lost.",
    "What is a sketch?",
];

/// The trained model that the repository holds.
///
/// # Errors
/// It cannot be loaded.
pub fn shipped_model() -> Result<Model, BenchError> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny/target.gguf");
    Ok(Model::load(file, LoadOptions::new())?)
}

/// Four texts of `tokens` tokens each; the same ones every time.
///
/// # Errors
/// The engine fails.
pub fn written_by(model: &Model, tokens: usize) -> Result<Vec<Vec<u32>>, BenchError> {
    let engine = Engine::new(model.clone(), EngineConfig::new())?;
    let mut texts = Vec::new();
    for (seed, prompt) in (0..).zip(PROMPTS) {
        let request = Request::new(vec![Message::user(prompt)])
            .max_tokens(tokens)
            .sampling(Sampling::random(seed).temperature(1.0))
            .ignore_end(true);
        let mut generation = engine.generate(request)?;
        generation.by_ref().try_for_each(|piece| piece.map(drop))?;
        texts.push(generation.tokens().iter().take(tokens).copied().collect());
    }
    Ok(texts)
}

/// Nats that `token` costs after these logits.
///
/// # Errors
/// There is no such token.
pub fn loss_of(logits: &[f32], token: u32) -> Result<f64, BenchError> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let parts = logits.iter().map(|logit| f64::from(logit - largest).exp());
    let sum: f64 = parts.sum();
    let own = logits
        .get(token as usize)
        .ok_or("a token beyond the vocabulary")?;
    Ok(sum.ln() - f64::from(own - largest))
}
