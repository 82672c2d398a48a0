//! Texts that grow beyond a window, through the public API.

mod fixture;

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use ryot_inference::{
    Backend, Engine, EngineConfig, InferError, KvWindow, LoadOptions, MemoryPrefixStore, Model,
    Request, ServeConfig, Speculation,
};

const WINDOW: usize = 64;

fn windowed() -> EngineConfig {
    EngineConfig::new().kv_window(KvWindow::new(WINDOW))
}

fn engine(config: EngineConfig) -> Engine {
    Engine::new(Model::toy(3).unwrap(), config).unwrap()
}

/// `n` letters, one token each.
fn letters(n: usize, seed: usize) -> String {
    (0..n)
        .map(|i| char::from(b'a' + u8::try_from((i * 7 + i / 26 * 3 + seed) % 26).unwrap()))
        .collect()
}

fn request(prompt: usize, seed: usize) -> Request {
    Request::new(letters(prompt, seed))
        .max_tokens(40)
        .ignore_end(true)
}

fn tokens(engine: &Engine, request: Request) -> Vec<u32> {
    let done = engine.generate(request).unwrap().finish().unwrap();
    assert_eq!(done.tokens.len(), 40);
    done.tokens
}

/// Keys and values of the first block depend on the token and its place alone: after forgetting they
/// are those of a state that never saw the forgotten tokens. Those of the second block remember.
#[test]
fn what_is_left_moves_up() {
    let model = Model::toy(5).unwrap();
    let all: Vec<u32> = (0..40).map(|i| i * 31 % 256).collect();
    let mut state = model.new_state();
    model.forward(&mut state, &all).unwrap();
    model.forget(&mut state, 4..13).unwrap();
    let left = [&all[..4], &all[13..]].concat();
    assert_eq!(state.tokens(), left);
    let mut fresh = model.new_state();
    model.forward(&mut fresh, &left).unwrap();
    let [moved, fresh] = [&state, &fresh].map(|s| s.export().unwrap().values().to_f32());
    let distance = |range: std::ops::Range<usize>| {
        let pairs = moved[range.clone()].iter().zip(&fresh[range]);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let half = moved.len() / 2;
    assert!(distance(0..half) < 1e-4, "{}", distance(0..half));
    assert!(distance(half..2 * half) > 1e-2);
    // and the text goes on
    model.forward(&mut state, &[7, 8, 9]).unwrap();
    assert_eq!(state.len(), left.len() + 3);
}

#[test]
fn only_what_is_held_is_forgotten() {
    let model = Model::toy(5).unwrap();
    let mut state = model.new_state();
    model.forward(&mut state, &[1, 2, 3, 4]).unwrap();
    for range in [3..5, 1..2, 9..12] {
        let message = model.forget(&mut state, range.clone()).unwrap_err();
        let message = message.to_string();
        assert!(message.starts_with("forget is"), "{range:?}: {message}");
    }
    model.forget(&mut state, 2..2).unwrap();
    assert_eq!(state.tokens(), [1, 2, 3, 4]);
    model.forget(&mut state, 0..4).unwrap();
    assert!(state.is_empty());
    let other = Model::toy(6).unwrap();
    let refused = other.forget(&mut state, 0..0);
    assert!(matches!(refused, Err(InferError::ModelMismatch { .. })));
}

/// Beyond the model's context, in constant memory; the same tokens whatever the pieces.
#[test]
fn prompts_and_answers_are_longer_than_the_context() {
    let plain = engine(EngineConfig::new());
    let context = plain.model().info().context_tokens;
    assert!(matches!(
        plain.generate(request(context + 200, 1)),
        Err(InferError::PromptTooLong { .. })
    ));
    let expected = tokens(&engine(windowed()), request(context + 200, 1));
    for chunk in [1, 7, WINDOW, 1000] {
        let engine = engine(windowed().prefill_chunk_tokens(chunk));
        let found = tokens(&engine, request(context + 200, 1));
        assert_eq!(found, expected, "pieces of {chunk}");
    }
    let long = Request::new("x").max_tokens(context + 50).ignore_end(true);
    let done = engine(windowed()).generate(long).unwrap().finish().unwrap();
    assert_eq!(done.tokens.len(), context + 50);
    // what was evaluated is held or forgotten; the last token never is
    let held = context + 51 - done.metrics.forgotten_tokens;
    assert!((WINDOW / 2..=WINDOW + 1).contains(&held), "{held} held");
    // a window that is never full changes nothing
    let short = tokens(&engine(windowed()), request(10, 2));
    assert_eq!(short, tokens(&plain, request(10, 2)));
}

/// In a batch, with guesses, and with a prefix store: the tokens of the request alone.
#[test]
fn company_guesses_and_stores_change_no_token() {
    let alone = engine(windowed());
    let expected: Vec<_> = (0..6)
        .map(|i| tokens(&alone, request(30 * i + 5, i)))
        .collect();
    let store = Arc::new(MemoryPrefixStore::new(1 << 20));
    let stored = engine(windowed().prefix_store(store).prefix_block_tokens(16));
    let guessing = engine(windowed().speculation(Speculation::prompt_lookup()));
    for (i, expected) in expected.iter().enumerate() {
        let request = || request(30 * i + 5, i);
        assert_eq!(&tokens(&guessing, request()), expected, "guesses, {i}");
        assert_eq!(&tokens(&stored, request()), expected, "first time, {i}");
        let again = stored.generate(request()).unwrap().finish().unwrap();
        assert_eq!(&again.tokens, expected, "restored, {i}");
        let whole = (30 * i + 5).min(WINDOW - 1) / 16 * 16;
        assert_eq!(again.metrics.restored_tokens, whole, "{i}");
    }
    let server = alone.serve(ServeConfig::new().batch_max(4)).unwrap();
    let tickets: Vec<_> = (0..6)
        .map(|i| server.submit(request(30 * i + 5, i)).unwrap())
        .collect();
    for (ticket, expected) in tickets.into_iter().zip(&expected) {
        assert_eq!(&ticket.finish().unwrap().tokens, expected);
    }
    let most = server.stats().kv_bytes_reserved_peak;
    let one = {
        let mut state = alone.model().new_state();
        let window: Vec<u32> = (0..64).collect();
        alone.model().forward(&mut state, &window).unwrap();
        state.kv_bytes()
    };
    assert!(most <= 4 * one, "{most} of four times {one}");
}

#[test]
fn the_candle_backend_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture::gguf(folder.path(), fixture::Family::Llama, GgmlDType::Q8_0);
    let options = LoadOptions::new().backend(Backend::Candle);
    let model = Model::load(path, options).unwrap();
    let refused = Engine::new(model, windowed());
    assert!(matches!(refused, Err(InferError::Unsupported { .. })));
}
