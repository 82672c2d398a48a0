//! Generations on the toy model, through the public API only.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ryot_inference::{
    BlockKey, BoxError, CancelToken, Completion, Engine, EngineConfig, FinishReason, InferError,
    KvBlock, KvState, MemoryPrefixStore, Message, Model, PrefixStore, Request, Sampling,
};

fn engine(config: EngineConfig) -> Engine {
    Engine::new(Model::toy(3).unwrap(), config).unwrap()
}

fn plain() -> Engine {
    engine(EngineConfig::new())
}

fn run(engine: &Engine, request: Request) -> Completion {
    engine.generate(request).unwrap().finish().unwrap()
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

#[test]
fn greedy_equals_the_low_level_door() {
    let engine = plain();
    let completion = run(&engine, request("hello"));
    let model = engine.model();
    let mut state = model.new_state();
    let mut input = model.tokenizer().encode("hello").unwrap();
    let mut tokens = Vec::new();
    for _ in 0..24 {
        let next = model.forward(&mut state, &input).unwrap().argmax().unwrap();
        tokens.push(next);
        input = vec![next];
    }
    assert_eq!(completion.tokens, tokens);
    assert_eq!(completion.finish_reason, FinishReason::MaxTokens);
    assert_eq!(completion.metrics.prompt_tokens, 6);
    assert_eq!(completion.metrics.generated_tokens, 24);
    assert_eq!(completion.metrics.inter_token.len(), 23);
    assert!(completion.metrics.time_to_first_token.unwrap() <= completion.metrics.elapsed);
    let distinct: HashSet<u32> = tokens.into_iter().collect();
    assert!(distinct.len() > 1, "a constant output would prove nothing");
}

#[test]
fn pieces_joined_are_the_decoded_tokens() {
    let engine = plain();
    for seed in 0..20 {
        let request = request("x").sampling(Sampling::random(seed)).logprobs(true);
        let mut generation = engine.generate(request).unwrap();
        let pieces: Vec<_> = generation.by_ref().map(Result::unwrap).collect();
        let text: String = pieces.iter().map(|p| p.text.as_str()).collect();
        let tokens: Vec<u32> = pieces.iter().map(|p| p.token).collect();
        assert_eq!(text, engine.model().tokenizer().decode(&tokens));
        assert_eq!(&generation.tokens()[2..], tokens);
        assert!(pieces.iter().all(|p| p.logprob.unwrap() < 0.0));
        assert!(generation.next().is_none());
    }
}

#[test]
fn the_same_seed_repeats_alone_and_beside_others() {
    let engine = plain();
    let sampled = |seed| request("seeded").sampling(Sampling::random(seed).top_p(0.95));
    let alone: Vec<_> = (0..8).map(|s| run(&engine, sampled(s)).tokens).collect();
    assert_ne!(alone[0], alone[1]);
    let together: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..8)
            .map(|s| {
                let engine = &engine;
                scope.spawn(move || run(engine, sampled(s)).tokens)
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn chunked_prefill_gives_the_same_tokens() {
    let whole = run(&plain(), request(&letters(200))).tokens;
    for chunk in [1, 7, 64, 200] {
        let config = EngineConfig::new().prefill_chunk_tokens(chunk);
        assert_eq!(
            run(&engine(config), request(&letters(200))).tokens,
            whole,
            "chunk {chunk}"
        );
    }
}

#[test]
fn restored_prefixes_give_the_same_tokens() {
    let store = Arc::new(MemoryPrefixStore::new(64 << 20));
    let cached = engine(
        EngineConfig::new()
            .prefix_store(store.clone())
            .prefix_block_tokens(16),
    );
    let prompt = letters(100);
    // 101 prompt tokens: 6 whole blocks
    let first = run(&cached, request(&prompt));
    assert_eq!((first.metrics.restored_tokens, store.len()), (0, 6));
    let plain = plain();
    for (tail, restored) in [("", 96), ("other ending", 96)] {
        let prompt = format!("{prompt}{tail}");
        let with = run(&cached, request(&prompt));
        assert_eq!(with.metrics.restored_tokens, restored);
        assert_eq!(with.metrics.prefix_errors, 0);
        assert_eq!(with.tokens, run(&plain, request(&prompt)).tokens);
    }
    // a prompt that ends on a block boundary still evaluates its last token
    let exact = run(&cached, request(&prompt[..95]));
    assert_eq!(
        (exact.metrics.prompt_tokens, exact.metrics.restored_tokens),
        (96, 80)
    );
}

#[test]
fn generated_blocks_are_kept_when_asked_for() {
    let store = Arc::new(MemoryPrefixStore::new(64 << 20));
    let config = EngineConfig::new()
        .prefix_store(store.clone())
        .prefix_block_tokens(16)
        .prefix_keep_generated(true);
    let cached = engine(config);
    let prompt = letters(100);
    // 101 prompt tokens and 24 generated ones, 23 of them evaluated: 7 whole blocks
    let first = run(&cached, request(&prompt));
    assert_eq!(store.len(), 7);
    let mut tokens = engine_tokens(&cached, &prompt);
    tokens.extend(&first.tokens);
    let turn = run(&cached, Request::new(tokens).max_tokens(2).ignore_end(true));
    assert_eq!(turn.metrics.restored_tokens, 112);
}

fn engine_tokens(engine: &Engine, text: &str) -> Vec<u32> {
    engine.model().tokenizer().encode(text).unwrap()
}

/// Answers every look-up with an error, or with the same blocks whatever is asked.
struct BadStore(Option<Vec<Arc<KvState>>>);

impl PrefixStore for BadStore {
    fn get(&self, _keys: &[BlockKey]) -> Result<Vec<Arc<KvState>>, BoxError> {
        self.0.clone().ok_or_else(|| "disk on fire".into())
    }

    fn put(&self, _blocks: &[KvBlock]) -> Result<(), BoxError> {
        Err("disk on fire".into())
    }
}

#[test]
fn a_bad_store_costs_time_and_never_correctness() {
    let expected = run(&plain(), request(&letters(60))).tokens;
    let piece = |model: &Model, from: usize, to: usize| {
        let mut state = model.new_state();
        model.forward(&mut state, &[9; 40]).unwrap();
        Arc::new(state.export_range(from, to).unwrap())
    };
    let (same, other) = (Model::toy(3).unwrap(), Model::toy(4).unwrap());
    for store in [
        BadStore(None),
        BadStore(Some(vec![piece(&same, 0, 16)])),
        BadStore(Some(vec![piece(&same, 16, 32)])),
        BadStore(Some(vec![piece(&same, 0, 7)])),
        BadStore(Some(vec![piece(&other, 0, 16)])),
    ] {
        let config = EngineConfig::new()
            .prefix_store(Arc::new(store))
            .prefix_block_tokens(16);
        let got = run(&engine(config), request(&letters(60)));
        assert_eq!(got.tokens, expected);
        assert_eq!(got.metrics.restored_tokens, 0);
        assert!(
            got.metrics.prefix_errors >= 2,
            "{}",
            got.metrics.prefix_errors
        );
    }
}

#[test]
fn stop_strings_cut_the_text() {
    let engine = plain();
    // the toy emits noise; allow two letters only, so that a stop string is sure to appear
    let mut sampling = Sampling::random(11);
    for token in (0..260).filter(|t| ![97, 98].contains(t)) {
        sampling = sampling.logit_bias(token, f32::NEG_INFINITY);
    }
    let free = run(
        &engine,
        request("x").sampling(sampling.clone()).max_tokens(64),
    );
    assert_eq!(free.text.len(), 64);
    let stop = &free.text[20..24];
    let at = free.text.find(stop).unwrap();
    let got = run(
        &engine,
        request("x").sampling(sampling).max_tokens(64).stop([stop]),
    );
    assert_eq!(got.finish_reason, FinishReason::StopString);
    assert_eq!(got.text, free.text[..at]);
    assert_eq!(got.tokens.len(), at + 4);
}

#[test]
fn end_of_sequence_ends_and_is_not_text() {
    let engine = plain();
    let request = Request::new("x").sampling(Sampling::greedy().logit_bias(257, 1e6));
    let got = run(&engine, request.clone());
    assert_eq!(
        (got.finish_reason, got.tokens.len()),
        (FinishReason::EndOfSequence, 0)
    );
    assert_eq!(got.text, "");
    let got = run(&engine, request.ignore_end(true).max_tokens(3));
    assert_eq!((got.tokens, got.text), (vec![257; 3], String::new()));
}

#[test]
fn the_context_ends_a_generation() {
    let engine = engine(EngineConfig::new().context_tokens_max(20));
    let got = run(&engine, request("0123456789"));
    assert_eq!(
        (got.finish_reason, got.tokens.len()),
        (FinishReason::ContextFull, 9)
    );
    let error = engine
        .generate(Request::new("0123456789012345678"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the prompt has 20 tokens, allowed: at most 19 (context of 20 tokens less one to generate)"
    );
}

#[test]
fn cancellation_and_deadlines_end_cleanly() {
    let engine = plain();
    let token = CancelToken::new();
    let mut generation = engine.generate(request("x").cancel(token.clone())).unwrap();
    generation.next().unwrap().unwrap();
    token.cancel();
    assert_eq!(generation.by_ref().count(), 0);
    assert_eq!(generation.finish_reason(), Some(FinishReason::Cancelled));
    let late = run(&engine, request("x").deadline(Duration::ZERO));
    assert_eq!(
        (late.finish_reason, late.tokens.len()),
        (FinishReason::DeadlineExceeded, 0)
    );
    // a dropped generation leaves the engine usable
    drop(engine.generate(request("x")).unwrap().next());
    assert_eq!(run(&engine, request("x")).tokens.len(), 24);
}

#[test]
fn chat_uses_the_template() {
    let engine = plain();
    let messages = vec![Message::system("be kind"), Message::user("hi")];
    let prompt = engine.model().chat_prompt(&messages).unwrap();
    let expected = "<s><|turn|>system\nbe kind<|end|><|turn|>user\nhi<|end|><|turn|>assistant\n";
    assert_eq!(prompt, expected);
    let by_chat = run(&engine, Request::new(messages).max_tokens(5));
    let by_text = run(&engine, Request::new(prompt).max_tokens(5));
    assert_eq!(by_chat.tokens, by_text.tokens);
}

#[test]
fn bad_requests_are_named() {
    let engine = plain();
    let message = |r: Request| engine.generate(r).unwrap_err().to_string();
    assert_eq!(
        message(request("x").max_tokens(0)),
        "max_tokens is 0, allowed: at least 1"
    );
    assert!(message(request("x").stop([""])).starts_with("stop string is 0 bytes"));
    assert!(message(request("x").stop(vec!["x"; 65])).starts_with("stop is 65"));
    assert!(message(request("x").sampling(Sampling::random(0).top_p(2.0))).starts_with("top_p"));
    assert!(message(Request::new(vec![7u32, 999])).contains("token id 999"));
    assert!(matches!(
        engine.generate(Request::new(Vec::<u32>::new())),
        Err(InferError::EmptyPrompt)
    ));
    // an empty text is the begin token alone
    assert_eq!(run(&engine, request("")).metrics.prompt_tokens, 1);
}

#[test]
fn handles_cross_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Model>();
    shared::<Engine>();
    sent::<ryot_inference::Generation>();
    sent::<ryot_inference::State>();
}
