//! Forty agents, five teams of eight, over a tree of contexts: what all of them read, what a team
//! reads, and what each reads alone. Beside them the same requests one by one without reuse, whose
//! answers they must give.

use neurectomy::prefix::{PrefixConfig, VaultPrefixStore};
use neurectomy_bench::models::{MEDIUM, Quantisation, Shape, TINY, write_gguf};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use ryot_inference::{
    Completion, Engine, EngineConfig, LoadOptions, Model, Request, Sampling, ServeConfig,
};
use sigma_vault::{Options, Vault};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const TEAMS: u32 = 5;
const AGENTS_OF_A_TEAM: u32 = 8;

/// Tokens that all agents, the agents of a team, and each agent alone read; and that each writes.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    all: u32,
    team: u32,
    own: u32,
    written: usize,
}

/// What a run of all agents took.
struct Run {
    completions: Vec<Completion>,
    seconds: f64,
}

/// The rows.
pub(crate) fn measure(suite: &mut Suite) -> Result<(), BenchError> {
    let (name, shape, sizes) = if suite.smoke() {
        ("tiny", TINY, [64, 32, 16, 4])
    } else {
        ("135M", MEDIUM, [1500, 300, 64, 16])
    };
    let [all, team, own, written] = sizes;
    let sizes = Sizes {
        all,
        team,
        own,
        written: written as usize,
    };
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("model.gguf");
    write_gguf(&path, shape as Shape, Quantisation::Q8_0, 1)?;
    let model = Model::load(&path, LoadOptions::new())?;
    let alone = one_by_one(&model, sizes)?;
    let vault = dir.path().join("vault");
    let name = format!("{name} Q8_0, 40 agents on {all} + {team} + {own} tokens");
    for state in ["empty store", "store of an earlier run"] {
        together(
            suite,
            &model,
            &vault,
            sizes,
            &alone,
            &format!("{name}, {state}"),
        )?;
    }
    Ok(())
}

/// The request of agent `agent` of team `team`.
fn request(sizes: Sizes, team: u32, agent: u32) -> Request {
    let part = |from: u32, count: u32| (0..count).map(move |i| (from + i * 7919) % 250);
    let prompt: Vec<u32> = part(0, sizes.all)
        .chain(part(31 * (team + 1), sizes.team))
        .chain(part(97 + 13 * (AGENTS_OF_A_TEAM * team + agent), sizes.own))
        .collect();
    Request::new(prompt)
        .max_tokens(sizes.written)
        .ignore_end(true)
        .sampling(Sampling::greedy())
}

fn requests(sizes: Sizes) -> impl Iterator<Item = Request> {
    let teams = 0..TEAMS;
    teams.flat_map(move |team| (0..AGENTS_OF_A_TEAM).map(move |agent| request(sizes, team, agent)))
}

fn one_by_one(model: &Model, sizes: Sizes) -> Result<Run, BenchError> {
    let engine = Engine::new(model.clone(), EngineConfig::new())?;
    let start = Instant::now();
    let mut completions = Vec::new();
    for request in requests(sizes) {
        completions.push(engine.generate(request)?.finish()?);
    }
    Ok(Run {
        completions,
        seconds: start.elapsed().as_secs_f64(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts")]
fn together(
    suite: &mut Suite,
    model: &Model,
    vault: &Path,
    sizes: Sizes,
    alone: &Run,
    name: &str,
) -> Result<(), BenchError> {
    let vault = Arc::new(Vault::open(vault, Options::new())?);
    let store = Arc::new(VaultPrefixStore::open(vault, PrefixConfig::new())?);
    let config = EngineConfig::new()
        .prefix_store(store.clone())
        .prefix_block_tokens(16);
    let engine = Engine::new(model.clone(), config)?;
    let server = engine.serve(ServeConfig::new().batch_max(40))?;
    let start = Instant::now();
    let tickets = requests(sizes).map(|request| server.submit(request));
    let tickets = tickets.collect::<Result<Vec<_>, _>>()?;
    let completions = tickets.into_iter().map(|ticket| ticket.finish());
    let completions = completions.collect::<Result<Vec<_>, _>>()?;
    let seconds = start.elapsed().as_secs_f64();
    for (ours, theirs) in completions.iter().zip(&alone.completions) {
        if ours.tokens != theirs.tokens || ours.metrics.prefix_errors > 0 {
            let (ours, theirs) = (&ours.tokens, &theirs.tokens);
            return Err(format!("{name}: {ours:?} instead of {theirs:?}").into());
        }
    }
    let stats = server.stats();
    store.flush()?;
    let mut first_ms: Vec<f64> = Vec::new();
    for completion in &completions {
        let first = completion.metrics.time_to_first_token.ok_or("no token")?;
        first_ms.push(first.as_secs_f64() * 1e3);
    }
    first_ms.sort_by(f64::total_cmp);
    let tokens = completions.len() as f64 * sizes.written as f64;
    let of_peer = alone.completions.len() as f64 * sizes.written as f64 / alone.seconds;
    let row = Row::new(&format!("{name}, written"), "token/s", tokens / seconds);
    let row = row.against("one by one, without reuse", of_peer);
    suite.record(if suite.smoke() {
        row
    } else {
        row.goal(Goal::RatioAtLeast(10.0))
    });
    // the greatest of forty stands for the 99th of a hundred
    let last = first_ms.last().copied().ok_or("no request")?;
    suite.record(Row::new(
        &format!("{name}, first token, p50"),
        "ms",
        first_ms[first_ms.len() / 2],
    ));
    suite.record(Row::new(&format!("{name}, first token, p99"), "ms", last));
    suite.record(Row::new(
        &format!("{name}, most waiting"),
        "request",
        stats.waiting_peak as f64,
    ));
    let restored = stats.restored_share().unwrap_or(0.0) * 100.0;
    suite.record(Row::new(
        &format!("{name}, prompt tokens restored"),
        "%",
        restored,
    ));
    let accounted = stats.busy.as_secs_f64() / seconds * 100.0;
    let row = Row::new(&format!("{name}, time accounted to steps"), "%", accounted);
    suite.record(if suite.smoke() {
        row
    } else {
        row.goal(Goal::OursAtLeast(99.0))
    });
    Ok(())
}
