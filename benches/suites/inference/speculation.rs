//! Speculation and constraints with the shipped pair: rates beside the engine's own plain decode.

use std::path::{Path, PathBuf};
use std::time::Duration;

use neurectomy_bench::Goal;
use neurectomy_bench::{BenchError, Row, Suite};
use ryot_inference::{
    Completion, Constraint, Engine, EngineConfig, LoadOptions, Message, Model, Request, Sampling,
    Speculation,
};

/// Agent contexts that repeat themselves: paths in the task, the calls, the answers, the report.
const REPETITIVE: [&str; 4] = [
    "List the files in reports/harbour and report the size of each.<|end|><|turn|>assistant\nFirst I will \
     list the files in reports/harbour.\n{\"tool\": \"list_files\", \"dir\": \"reports/harbour\"}<|end|><|turn|>tool\n\
     [\"quiet_ledger.csv\", \"amber_mill.log\", \"winter_canal.md\"]<|end|><|turn|>assistant\nThere are three files. \
     Next I will ask for the size of each.\n{\"tool\": \"file_size\", \"path\": \"reports/harbour/quiet_ledger.csv\"}\
     <|end|><|turn|>tool\n{\"path\": \"reports/harbour/quiet_ledger.csv\", \"bytes\": 4120}<|end|><|turn|>assistant\n",
    "Repeat this list:\nsilver lantern: 481 mirror\nHana kettle 83c1\nlogs/bright_engine.log\nGreta summit 4e0a\n\
     data/needle/cold_valley.txt\nopen ferry: 77 orchard",
    "Copy notes/steep_bridge.md to archive/rocket/walnut_sensor.md and make sure that nothing is lost.",
    "Please repeat these words: tunnel late gate merge Pavel oak timeout river candle old paper trim island \
     early bell load mill dark field sort",
];

/// Prompts with little to repeat, continued at a temperature where the text wanders.
const OTHERS: [&str; 3] = [
    "hello",
    "What is a sketch?",
    "The report does not say who drives the trains.",
];

/// One source of guesses, beside none.
struct Setting {
    name: &'static str,
    speculation: Speculation,
}

/// Where the shipped pair lies.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../models/tiny")
        .join(name)
}

pub(crate) fn measure(suite: &mut Suite) -> Result<(), BenchError> {
    let load = |name: &str| Model::load(shipped(name), LoadOptions::new());
    let (target, draft) = (load("target.gguf")?, load("draft.gguf")?);
    let plain = Engine::new(target.clone(), EngineConfig::new())?;
    let settings = [
        Setting {
            name: "prompt look-up",
            speculation: Speculation::prompt_lookup(),
        },
        Setting {
            name: "draft",
            speculation: Speculation::draft(draft.clone()),
        },
        Setting {
            name: "look-up, then draft",
            speculation: Speculation::draft(draft).with_prompt_lookup(),
        },
    ];
    for setting in settings {
        let config = EngineConfig::new().speculation(setting.speculation);
        let engine = Engine::new(target.clone(), config)?;
        let repetitive = REPETITIVE.map(|p| request(suite, p, Sampling::greedy()));
        compare(
            suite,
            &plain,
            &engine,
            &repetitive,
            setting.name,
            "repetitive",
            1.8,
        )?;
        let others: Vec<Request> = (0..)
            .zip(OTHERS)
            .map(|(seed, p)| request(suite, p, Sampling::random(seed).temperature(1.5)))
            .collect();
        compare(suite, &plain, &engine, &others, setting.name, "other", 0.97)?;
    }
    constraint(suite, &plain)
}

fn request(suite: &Suite, prompt: &str, sampling: Sampling) -> Request {
    Request::new(vec![Message::user(prompt)])
        .max_tokens(suite.size(8, 160))
        .sampling(sampling)
        .ignore_end(true)
}

/// Time from the first token to the last.
fn decode_time(done: &Completion) -> Duration {
    let first = done.metrics.time_to_first_token.unwrap_or_default();
    done.metrics.elapsed.saturating_sub(first)
}

/// Plain and guessing runs in turn; the fastest of each counts.
fn compare(
    suite: &mut Suite,
    plain: &Engine,
    guessing: &Engine,
    requests: &[Request],
    name: &str,
    kind: &str,
    goal: f64,
) -> Result<(), BenchError> {
    let (mut own, mut with) = (0.0, 0.0);
    let (mut tokens, mut proposed, mut accepted) = (0, 0, 0);
    for request in requests {
        let mut best = [f64::INFINITY; 2];
        for _ in 0..suite.size(1, 15) {
            let expected = plain.generate(request.clone())?.finish()?;
            let got = guessing.generate(request.clone())?.finish()?;
            if got.tokens != expected.tokens {
                return Err(format!("{name} changes the text of {kind} contexts").into());
            }
            for (best, done) in best.iter_mut().zip([&expected, &got]) {
                *best = best.min(decode_time(done).as_secs_f64());
            }
            (proposed, accepted) = (
                proposed + got.metrics.speculation.proposed,
                accepted + got.metrics.speculation.accepted,
            );
        }
        tokens += suite.size(8, 160) - 1;
        (own, with) = (own + best[0], with + best[1]);
    }
    let rate = |seconds: f64| tokens as f64 / seconds.max(1e-9);
    let measure = format!("tiny decode, {kind} contexts, {name}");
    suite.record(
        Row::new(&measure, "token/s", rate(with))
            .against("no speculation", rate(own))
            .goal(Goal::RatioAtLeast(goal)),
    );
    let kept = 100.0 * accepted as f64 / f64::from(u32::try_from(proposed)?.max(1));
    suite.record(Row::new(&format!("{measure}, guesses kept"), "%", kept));
    Ok(())
}

/// What a constraint adds to a token.
fn constraint(suite: &mut Suite, engine: &Engine) -> Result<(), BenchError> {
    let schema = r#"{"type": "object", "properties": {"tool": {"enum": ["read_file", "search", "count_lines"]},
        "path": {"type": "string", "maxLength": 200}, "lines": {"type": "integer"}},
        "required": ["tool", "path", "lines"], "additionalProperties": false}"#;
    let base = Request::new(vec![Message::user("Read notes/coast.md.")])
        .max_tokens(suite.size(8, 96))
        .sampling(Sampling::random(3));
    let mut best = [f64::INFINITY; 2];
    for _ in 0..suite.size(1, 15) {
        let free = base.clone().ignore_end(true);
        let bound = base.clone().constraint(Constraint::json_schema(schema)?);
        for (best, request) in best.iter_mut().zip([free, bound]) {
            let done = engine.generate(request)?.finish()?;
            let steps = done.tokens.len().saturating_sub(1).max(1);
            *best = best.min(decode_time(&done).as_secs_f64() * 1e6 / steps as f64);
        }
    }
    suite.record(
        Row::new("tiny token under a JSON schema", "us", best[1]).against("free token", best[0]),
    );
    Ok(())
}
