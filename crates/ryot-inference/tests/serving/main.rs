//! Many requests in one batch, through the public API only.

mod batch;
mod crowd;
mod endings;
#[path = "../fixture/mod.rs"]
mod fixture;
mod gate;
mod handles;
mod queue;

use ryot_inference::{Engine, EngineConfig, Model, Request};

fn toy(config: EngineConfig) -> Engine {
    Engine::new(Model::toy(3).unwrap(), config).unwrap()
}

fn plain() -> Engine {
    toy(EngineConfig::new())
}

fn request(prompt: &str) -> Request {
    Request::new(prompt).max_tokens(24).ignore_end(true)
}

/// A prompt of `n` letters; one token each plus the begin token.
fn letters(n: usize) -> String {
    (0..n)
        .map(|i| char::from(b'a' + u8::try_from(i * 7 % 26).unwrap()))
        .collect()
}
