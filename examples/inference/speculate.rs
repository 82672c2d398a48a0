//! Speculation beside plain decoding with the shipped pair: same tokens, tokens per second, guesses
//! kept.
//!
//! `cargo run --release --example speculate`. It fails if speculation changes a token.

use std::time::Duration;

use clap::Parser;
use ryot_inference::{
    Completion, Engine, EngineConfig, LoadOptions, Message, Model, Request, Sampling, Speculation,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PROMPTS: [(&str, &str, f32); 4] = [
    (
        "repeats",
        "Please repeat these words: tunnel late gate merge Pavel oak timeout river",
        0.0,
    ),
    (
        "repeats",
        "List the files in reports/harbour and report the size of each.",
        0.0,
    ),
    ("other", "What is a sketch?", 1.5),
    ("other", "hello", 1.5),
];

/// Speculation and its gain.
#[derive(Parser)]
struct Options {
    /// Repetitions; the fastest of each counts.
    #[arg(long, default_value_t = 15)]
    repeats: usize,
    /// Tokens per answer.
    #[arg(long, default_value_t = 160)]
    tokens: usize,
}

/// Seconds from the first token to the last.
fn seconds(done: &Completion) -> f64 {
    let first = done.metrics.time_to_first_token.unwrap_or(Duration::ZERO);
    done.metrics.elapsed.saturating_sub(first).as_secs_f64()
}

fn main() -> Result<()> {
    let options = Options::parse();
    let target = Model::load(neurectomy_examples::shipped_model(), LoadOptions::new())?;
    let draft = Model::load(neurectomy_examples::shipped_draft(), LoadOptions::new())?;
    let plain = Engine::new(target.clone(), EngineConfig::new())?;
    println!(
        "{:<22} {:<8} {:>11} {:>11} {:>6} {:>14}",
        "guesses from", "context", "plain tok/s", "tok/s", "gain", "guesses kept"
    );
    for (name, speculation) in [
        ("prompt look-up", Speculation::prompt_lookup()),
        ("draft model", Speculation::draft(draft.clone())),
        (
            "look-up, then draft",
            Speculation::draft(draft).with_prompt_lookup(),
        ),
    ] {
        let config = EngineConfig::new().speculation(speculation);
        let guessing = Engine::new(target.clone(), config)?;
        for (kind, prompt, temperature) in PROMPTS {
            let request = Request::new(vec![Message::user(prompt)])
                .max_tokens(options.tokens)
                .sampling(Sampling::random(1).temperature(temperature))
                .ignore_end(true);
            let mut best = [f64::INFINITY; 2];
            let (mut proposed, mut accepted) = (0, 0);
            for _ in 0..options.repeats.max(1) {
                let own = plain.generate(request.clone())?.finish()?;
                let with = guessing.generate(request.clone())?.finish()?;
                if own.tokens != with.tokens {
                    return Err(format!("{name} changes the answer to {prompt}").into());
                }
                best = [best[0].min(seconds(&own)), best[1].min(seconds(&with))];
                (proposed, accepted) = (
                    proposed + with.metrics.speculation.proposed,
                    accepted + with.metrics.speculation.accepted,
                );
            }
            let rate = |seconds: f64| (options.tokens - 1) as f64 / seconds;
            println!(
                "{name:<22} {kind:<8} {:>11.0} {:>11.0} {:>5.2}x {accepted:>6} of {proposed}",
                rate(best[0]),
                rate(best[1]),
                best[0] / best[1]
            );
        }
    }
    Ok(())
}
