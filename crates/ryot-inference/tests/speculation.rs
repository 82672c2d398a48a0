//! Speculation changes no token, and what it keeps follows the model's distribution.

use std::collections::HashMap;

use ryot_inference::{
    Completion, Engine, EngineConfig, FinishReason, InferError, Model, Request, Sampling,
    Speculation,
};

fn toy(seed: u64) -> Model {
    Model::toy(seed).unwrap()
}

fn engine(speculation: Option<Speculation>) -> Engine {
    let config = EngineConfig::new();
    let config = match speculation {
        Some(speculation) => config.speculation(speculation),
        None => config,
    };
    Engine::new(toy(3), config).unwrap()
}

/// Every source of guesses: look-up, a draft that is right, one that is not, both.
fn speculations() -> Vec<(&'static str, Speculation)> {
    vec![
        ("look-up", Speculation::prompt_lookup()),
        ("look-up, all", Speculation::prompt_lookup().adaptive(false)),
        (
            "same model",
            Speculation::draft(toy(3)).tokens_max(5).adaptive(false),
        ),
        ("other model", Speculation::draft(toy(4)).adaptive(false)),
        ("other model, adaptive", Speculation::draft(toy(4))),
        (
            "both",
            Speculation::draft(toy(3))
                .with_prompt_lookup()
                .adaptive(false),
        ),
    ]
}

fn run(engine: &Engine, request: Request) -> Completion {
    engine.generate(request).unwrap().finish().unwrap()
}

fn same(request: &Request, plain: &Engine) {
    let expected = run(plain, request.clone());
    for (name, speculation) in speculations() {
        let got = run(&engine(Some(speculation)), request.clone());
        assert_eq!(got.tokens, expected.tokens, "{name}");
        assert_eq!(got.text, expected.text, "{name}");
        assert_eq!(got.finish_reason, expected.finish_reason, "{name}");
    }
}

const PROMPTS: [&str; 3] = ["abcabcabcabc", "read a.txt, then read a.txt", "q"];

#[test]
fn greedy_tokens_are_the_same() {
    let plain = engine(None);
    for prompt in PROMPTS {
        same(
            &Request::new(prompt).max_tokens(60).ignore_end(true),
            &plain,
        );
        same(&Request::new(prompt).max_tokens(200), &plain);
    }
}

#[test]
fn sampled_tokens_are_the_same() {
    let plain = engine(None);
    for (seed, prompt) in (0..12).zip(PROMPTS.into_iter().cycle()) {
        let sampling = Sampling::random(seed)
            .temperature(0.4)
            .top_p(0.9)
            .repetition_penalty(1.1);
        let request = Request::new(prompt).max_tokens(50);
        same(&request.sampling(sampling), &plain);
    }
}

#[test]
fn limits_and_stops_hold_inside_a_step() {
    let plain = engine(None);
    let base = Request::new("abcabcabc").ignore_end(true);
    for max_tokens in 1..8 {
        same(&base.clone().max_tokens(max_tokens), &plain);
    }
    let long = run(&plain, base.clone().max_tokens(40));
    let middle: String = long.text.chars().skip(9).take(3).collect();
    same(&base.clone().max_tokens(40).stop([middle]), &plain);
    // to the end of the context
    let prompt: String = "xyz".repeat(330);
    let request = Request::new(prompt).max_tokens(100).ignore_end(true);
    assert_eq!(
        run(&plain, request.clone()).finish_reason,
        FinishReason::ContextFull
    );
    same(&request, &plain);
}

#[test]
fn counts_add_up_and_a_right_draft_is_kept() {
    let speculation = Speculation::draft(toy(3)).tokens_max(4).adaptive(false);
    let request = Request::new("hello").max_tokens(41).ignore_end(true);
    let done = run(&engine(Some(speculation)), request.clone());
    let stats = done.metrics.speculation;
    // the first token comes from the prompt, the last step has room for all but one guess
    assert_eq!(stats.steps + stats.plain_steps + stats.accepted, 40);
    assert!(stats.acceptance_rate().unwrap() > 0.9, "{stats:?}");
    assert!(stats.tokens_per_step().unwrap() > 4.0, "{stats:?}");
    assert_eq!(
        run(&engine(None), request).metrics.speculation,
        Default::default()
    );
}

/// Pairs of tokens over many seeds against their exact probabilities. Guesses are wrong and right
/// in turn: the draft is another model. 14 degrees of freedom at most: 36.1 is the 0.999 quantile.
#[test]
fn sampled_pairs_follow_the_model() {
    let (model, k) = (toy(3), 4);
    let best = |tokens: &[u32]| -> Vec<(u32, f64)> {
        let logits = model.forward(&mut model.new_state(), tokens).unwrap();
        let mut all: Vec<(u32, f64)> = (0..)
            .zip(logits.last().iter().map(|l| f64::from(*l).exp()))
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(k);
        let total: f64 = all.iter().map(|x| x.1).sum();
        all.iter().map(|(t, p)| (*t, p / total)).collect()
    };
    let prompt = vec![100, 101, 102, 100];
    let speculation = Speculation::draft(toy(4)).adaptive(false);
    let engine = engine(Some(speculation));
    let runs = 3000;
    let mut counts: HashMap<(u32, u32), f64> = HashMap::new();
    for seed in 0..runs {
        let sampling = Sampling::random(seed).top_k(k);
        let request = Request::new(prompt.clone()).max_tokens(3).ignore_end(true);
        let tokens = run(&engine, request.sampling(sampling)).tokens;
        *counts.entry((tokens[0], tokens[1])).or_default() += 1.0;
    }
    let (mut chi, mut rest) = (0.0, (0.0, 0.0));
    for (first, p) in best(&prompt) {
        let mut longer = prompt.clone();
        longer.push(first);
        for (second, q) in best(&longer) {
            let expected = p * q * runs as f64;
            let count = counts.remove(&(first, second)).unwrap_or(0.0);
            if expected < 8.0 {
                rest = (rest.0 + expected, rest.1 + count);
            } else {
                chi += (count - expected).powi(2) / expected;
            }
        }
    }
    assert!(counts.is_empty(), "impossible pairs: {counts:?}");
    if rest.0 > 0.0 {
        chi += (rest.1 - rest.0).powi(2) / rest.0.max(1.0);
    }
    assert!(chi < 36.1, "chi-square {chi}");
}

#[test]
fn settings_are_checked() {
    for tokens in [0, 65] {
        let speculation = Speculation::prompt_lookup().tokens_max(tokens);
        let config = EngineConfig::new().speculation(speculation);
        let error = Engine::new(toy(3), config).err().unwrap();
        assert!(matches!(error, InferError::Parameter { .. }), "{error}");
    }
}
