//! llama.cpp on the same file, through the crate llama-cpp-2: same threads, same tokens, and turns
//! taken in one process, so that both sides see the same machine.

use crate::{compare_logits, machine, prompt};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use ryot_inference::{Engine, Model, Request, Sampling, ServeConfig};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

/// Turns of each side; rows are medians.
const TURNS: usize = 5;

fn backend() -> Result<&'static LlamaBackend, BenchError> {
    static BACKEND: OnceLock<LlamaBackend> = OnceLock::new();
    if let Some(backend) = BACKEND.get() {
        return Ok(backend);
    }
    let mut backend = LlamaBackend::init()?;
    backend.void_logs();
    Ok(BACKEND.get_or_init(|| backend))
}

fn context(
    model: &LlamaModel,
    tokens_max: usize,
    streams: usize,
) -> Result<LlamaContext<'_>, BenchError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = i32::try_from(threads)?;
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(u32::try_from(tokens_max)?))
        .with_n_batch(2048)
        .with_n_seq_max(u32::try_from(streams)?)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    Ok(model.new_context(backend()?, params)?)
}

/// Forgets all tokens, and keeps the memory that they lay in.
fn forget(context: &mut LlamaContext<'_>) -> Result<(), BenchError> {
    context.clear_kv_cache_seq(None, None, None)?;
    Ok(())
}

/// Reads `tokens` of stream 0 from `position` on; the logits of the last one are kept.
fn read(
    context: &mut LlamaContext<'_>,
    batch: &mut LlamaBatch<'_>,
    tokens: &[u32],
    position: usize,
) -> Result<(), BenchError> {
    batch.clear();
    for (i, token) in tokens.iter().enumerate() {
        let token = LlamaToken(i32::try_from(*token)?);
        let place = i32::try_from(position + i)?;
        batch.add(token, place, &[0], i + 1 == tokens.len())?;
    }
    Ok(context.decode(batch)?)
}

/// Bytes of memory that loading `file` and reading `tokens` in a context of just that length takes
/// at most, where the system tells.
pub(crate) fn peak_memory(file: &Path, tokens: &[u32]) -> Result<Option<u64>, BenchError> {
    let resident = machine::watch_peak_memory();
    let peer = LlamaModel::load_from_file(backend()?, file, &LlamaModelParams::default())?;
    let mut context = context(&peer, tokens.len(), 1)?;
    let mut batch = LlamaBatch::new(tokens.len(), 1);
    read(&mut context, &mut batch, tokens, 0)?;
    std::hint::black_box(context.get_logits());
    Ok(resident.and_then(machine::grown))
}

/// Load time, prompts of 128, 512 and 2,048 tokens, and 64 tokens one by one.
pub(crate) fn rows(
    suite: &mut Suite,
    model: &Model,
    file: &Path,
    name: &str,
) -> Result<(), BenchError> {
    let backend = backend()?;
    let started = Instant::now();
    let peer = LlamaModel::load_from_file(backend, file, &LlamaModelParams::default())?;
    let peer_ms = started.elapsed().as_secs_f64() * 1e3;
    let started = Instant::now();
    drop(Model::load(file, ryot_inference::LoadOptions::new())?);
    let ours_ms = started.elapsed().as_secs_f64() * 1e3;
    suite.record(
        Row::new(&format!("{name} load again, checked"), "ms", ours_ms)
            .against("llama.cpp", peer_ms),
    );
    let mut context = context(&peer, 4096, 1)?;
    let mut batch = LlamaBatch::new(2048, 1);
    read(&mut context, &mut batch, &prompt(8), 0)?;
    let ours = model.forward(&mut model.new_state(), &prompt(8))?;
    compare_logits(ours.last(), context.get_logits())?;
    let lengths: &[usize] = match (suite.smoke(), model.info().parameters > 500_000_000) {
        (true, _) => &[8],
        (false, true) => &[128, 512],
        (false, false) => &[128, 512, 2048],
    };
    let context_tokens = model.info().context_tokens;
    for &tokens in lengths.iter().filter(|tokens| **tokens <= context_tokens) {
        let prompt = prompt(tokens);
        let (ours, theirs) = turns(
            suite,
            || {
                model.forward(&mut model.new_state(), &prompt)?;
                Ok(())
            },
            || {
                forget(&mut context)?;
                read(&mut context, &mut batch, &prompt, 0)?;
                std::hint::black_box(context.get_logits());
                Ok(())
            },
        )?;
        let rate = |seconds: f64| tokens as f64 / seconds;
        let eight_bits = name.to_lowercase().contains("q8");
        let goal = if eight_bits { 3.0 } else { 2.0 };
        suite.record(
            Row::new(&format!("{name} prefill {tokens}"), "token/s", rate(ours))
                .against("llama.cpp", rate(theirs))
                .goal(Goal::RatioAtLeast(goal)),
        );
        if tokens == 128 {
            suite.record(
                Row::new(&format!("{name} first token of 128"), "ms", ours * 1e3)
                    .against("llama.cpp", theirs * 1e3)
                    .goal(Goal::RatioAtMost(0.5)),
            );
        }
    }
    decode(suite, model, &mut context, &mut batch, name)
}

fn decode(
    suite: &mut Suite,
    model: &Model,
    context: &mut LlamaContext<'_>,
    batch: &mut LlamaBatch<'_>,
    name: &str,
) -> Result<(), BenchError> {
    let steps = prompt(suite.size(2, 64));
    let (ours, theirs) = turns(
        suite,
        || {
            let mut state = model.new_state();
            for token in steps.chunks(1) {
                model.forward(&mut state, token)?;
            }
            Ok(())
        },
        || {
            forget(context)?;
            for (position, token) in steps.chunks(1).enumerate() {
                read(context, batch, token, position)?;
                std::hint::black_box(context.get_logits());
            }
            Ok(())
        },
    )?;
    let rate = |seconds: f64| steps.len() as f64 / seconds;
    suite.record(
        Row::new(
            &format!("{name} decode {}", steps.len()),
            "token/s",
            rate(ours),
        )
        .against("llama.cpp", rate(theirs))
        .goal(Goal::RatioAtLeast(1.2)),
    );
    Ok(())
}

/// Sixteen streams: prompts of 32 tokens each, then 64 tokens each, the most likely one every time.
pub(crate) fn stream_rows(
    suite: &mut Suite,
    engine: &Engine,
    file: &Path,
    name: &str,
) -> Result<(), BenchError> {
    let (streams, tokens) = (16_usize, suite.size(4, 64));
    let prompts: Vec<Vec<u32>> = (0..16_u32)
        .map(|stream| (0..32).map(|i| (i * 31 + stream * 7) % 250).collect())
        .collect();
    let peer = LlamaModel::load_from_file(backend()?, file, &LlamaModelParams::default())?;
    let mut context = context(&peer, streams * 128, streams)?;
    let mut batch = LlamaBatch::new(2048, 1);
    let server = engine.serve(ServeConfig::new().batch_max(streams))?;
    let (ours, theirs) = turns(
        suite,
        || {
            let tickets = prompts.iter().map(|prompt| {
                let request = Request::new(prompt.clone()).max_tokens(tokens);
                server.submit(request.sampling(Sampling::greedy()).ignore_end(true))
            });
            let tickets = tickets.collect::<Result<Vec<_>, _>>()?;
            for ticket in tickets {
                if ticket.finish()?.tokens.len() != tokens {
                    return Err("a stream ended early".into());
                }
            }
            Ok(())
        },
        || {
            forget(&mut context)?;
            batched(&mut context, &mut batch, &prompts, tokens)
        },
    )?;
    let rate = |seconds: f64| (streams * tokens) as f64 / seconds;
    suite.record(
        Row::new(
            &format!("{name} served, {streams} streams"),
            "token/s",
            rate(ours),
        )
        .against("llama.cpp, one batch", rate(theirs))
        .goal(Goal::RatioAtLeast(3.0)),
    );
    Ok(())
}

fn batched(
    context: &mut LlamaContext<'_>,
    batch: &mut LlamaBatch<'_>,
    prompts: &[Vec<u32>],
    tokens: usize,
) -> Result<(), BenchError> {
    batch.clear();
    let mut rows = Vec::new();
    for (stream, prompt) in (0_i32..).zip(prompts) {
        for (place, token) in (0_i32..).zip(prompt) {
            let last = usize::try_from(place)? + 1 == prompt.len();
            if last {
                rows.push(batch.n_tokens());
            }
            batch.add(LlamaToken(i32::try_from(*token)?), place, &[stream], last)?;
        }
    }
    context.decode(batch)?;
    for step in 0..tokens {
        let next: Vec<LlamaToken> = rows
            .iter()
            .map(|row| most_likely(context.get_logits_ith(*row)))
            .collect::<Result<_, BenchError>>()?;
        if step + 1 == tokens {
            break;
        }
        batch.clear();
        rows.clear();
        for ((stream, prompt), token) in (0_i32..).zip(prompts).zip(next) {
            rows.push(batch.n_tokens());
            let place = i32::try_from(prompt.len() + step)?;
            batch.add(token, place, &[stream], true)?;
        }
        context.decode(batch)?;
    }
    Ok(())
}

fn most_likely(logits: &[f32]) -> Result<LlamaToken, BenchError> {
    let best = logits
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .ok_or("no logits")?;
    Ok(LlamaToken(i32::try_from(best.0)?))
}

/// Median seconds of both sides, which take turns after one unmeasured turn each.
fn turns(
    suite: &Suite,
    mut ours: impl FnMut() -> Result<(), BenchError>,
    mut theirs: impl FnMut() -> Result<(), BenchError>,
) -> Result<(f64, f64), BenchError> {
    ours()?;
    theirs()?;
    let mut seconds = (Vec::new(), Vec::new());
    for _ in 0..suite.size(1, TURNS) {
        let start = Instant::now();
        ours()?;
        seconds.0.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        theirs()?;
        seconds.1.push(start.elapsed().as_secs_f64());
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok((median(seconds.0), median(seconds.1)))
}
