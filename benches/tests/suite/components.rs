//! A suite for each component, with a slowdown that tests of `neurectomy-bench` plant.
//!
//! It is the component whose name it is started by: links to it are called `sketches`, `compression`,
//! `storage`, `agents` and, with feature `inference`, `inference`. Ours is a hundred calls of one
//! function of the component, different ones, in turn; `PLANTED_PERCENT=15` makes 15 of them twice. The
//! peer is a digest whose time has nothing to do with the component. `PLANTED_ONLY=instructions`
//! leaves out the times, `PLANTED_ONLY=times` the instructions.

use agent_collective::{Agent, AgentConfig, Runtime, Task, TaskContext};
use neurectomy_bench::instructions::counted;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Suite};
use sigma_lang::{Compressor, Config};
use sigma_vault::{Durability, Options, Vault};
use sketches::HyperLogLog;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Calls of an iteration without a planted slowdown.
const CALLS: usize = 100;

/// Makes calls 0 to `count` of the component and returns a sum that depends on all of them.
type Calls<'a> = &'a mut dyn FnMut(usize) -> Result<u64, BenchError>;

fn main() -> ExitCode {
    let started = std::env::args().next().unwrap_or_default();
    let name = Path::new(&started).file_name().unwrap_or_default();
    match name.to_string_lossy().as_ref() {
        "sketches" => neurectomy_bench::run("sketches", sketches),
        "compression" => neurectomy_bench::run("compression", compression),
        "storage" => neurectomy_bench::run("storage", storage),
        "agents" => neurectomy_bench::run("agents", agents),
        #[cfg(feature = "inference")]
        "inference" => neurectomy_bench::run("inference", inference),
        other => {
            eprintln!("no component is called {other}");
            ExitCode::FAILURE
        }
    }
}

/// Calls of an iteration: with 15 per cent the first 15 are made again.
fn calls() -> usize {
    let text = std::env::var("PLANTED_PERCENT").unwrap_or_default();
    CALLS + text.parse().unwrap_or(0)
}

#[inline(never)]
fn digest(words: &[u64]) -> u64 {
    words.iter().fold(1, |hash: u64, word| {
        hash.rotate_left(5).wrapping_mul(0x0000_0100_0000_01b3) ^ word
    })
}

/// Instructions and time of the calls.
fn measure(suite: &mut Suite, function: &str, run: Calls<'_>) -> Result<(), BenchError> {
    let count = calls();
    // What the first calls set up belongs to none of them.
    run(CALLS)?;
    count_calls(suite, function, &mut || {
        run(count)?;
        counted(|| run(count)).map(|sum| {
            black_box(sum);
        })
    })?;
    times(suite, function, &mut |iterations| {
        let start = Instant::now();
        for _ in 0..iterations {
            black_box(run(count)?);
        }
        Ok(start.elapsed())
    })
}

/// Whether times or instructions are asked for; both are where nothing is said.
fn is_wanted(what: &str) -> bool {
    let only = std::env::var("PLANTED_ONLY").unwrap_or_default();
    only.is_empty() || only == what
}

/// Instructions of the work.
fn count_calls(
    suite: &mut Suite,
    function: &str,
    work: &mut dyn FnMut() -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    if is_wanted("instructions") {
        suite.count_instructions(function, work)?;
    }
    Ok(())
}

/// Time of the calls, of which `timed` makes as many iterations as asked.
fn times(
    suite: &mut Suite,
    function: &str,
    timed: &mut dyn FnMut(u64) -> Result<Duration, BenchError>,
) -> Result<(), BenchError> {
    if !is_wanted("times") {
        return Ok(());
    }
    let words: Vec<u64> = (0..16_384).collect();
    let mut failed = None;
    let mut group = suite.criterion().benchmark_group("planted");
    group.bench_function("ours", |b| {
        b.iter_custom(|iterations| {
            timed(iterations).unwrap_or_else(|error| {
                failed.get_or_insert(error);
                // No time at all would never end.
                Duration::from_secs(1)
            })
        });
    });
    group.bench_function("peer", |b| b.iter(|| digest(black_box(&words))));
    group.finish();
    if let Some(error) = failed {
        return Err(error);
    }
    suite.compare(Comparison {
        measure: function,
        group: "planted",
        ours: "ours",
        peer: "peer",
        work: Work::Operations(CALLS as u64),
        goal: None,
    });
    Ok(())
}

/// `HyperLogLog::insert_hashes` of 256 hashes.
fn sketches(suite: &mut Suite) -> Result<(), BenchError> {
    let hashes: Vec<u64> = (0..256_u64 * CALLS as u64)
        .map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (key >> 3))
        .collect();
    let mut sketch = HyperLogLog::new(12)?;
    measure(suite, "insert of 256 hashes", &mut |count| {
        for call in 0..count {
            let from = call % CALLS * 256;
            sketch.insert_hashes(black_box(&hashes[from..from + 256]));
        }
        Ok(count as u64)
    })
}

/// `sigma_lang::Compressor::compress_record_into` of 500 bytes.
fn compression(suite: &mut Suite) -> Result<(), BenchError> {
    const BYTES: usize = 500;
    let text: String = (0..8_000_u32)
        .map(|word| {
            let part = word.wrapping_mul(0x9e37_79b9) >> 16;
            format!("{part:x} agent {} ", word % 97)
        })
        .collect();
    let text = text.as_bytes();
    let mut compressor = Compressor::new(&Config::new())?;
    let mut record = Vec::new();
    measure(suite, "compression of 500 bytes", &mut |count| {
        let mut bytes = 0;
        for call in 0..count {
            let from = call % CALLS * BYTES;
            record.clear();
            compressor.compress_record_into(&text[from..from + BYTES], &mut record)?;
            bytes += record.len() as u64;
        }
        Ok(bytes)
    })
}

/// `Vault::get` of values of 256 bytes, 5 of them in a call.
fn storage(suite: &mut Suite) -> Result<(), BenchError> {
    const GETS: usize = 5;
    let dir = tempfile::tempdir()?;
    let vault = Vault::open(dir.path(), Options::new())?;
    let key = |number: usize| format!("key-{number:06}").into_bytes();
    for number in 0..CALLS * GETS {
        vault.put(&key(number), &[7; 256], Durability::Buffered)?;
    }
    let keys: Vec<Vec<u8>> = (0..CALLS * GETS).map(key).collect();
    measure(suite, "5 gets", &mut |count| {
        let mut bytes = 0;
        for call in 0..count {
            let from = call % CALLS * GETS;
            for key in &keys[from..from + GETS] {
                bytes += vault.get(key)?.map_or(0, |value| value.len() as u64);
            }
        }
        Ok(bytes)
    })
}

struct Echo(u64);

impl Agent for Echo {
    type Message = u64;
    type Reply = u64;

    fn handle(&mut self, message: u64, _: &TaskContext<'_>) -> u64 {
        self.0 = self.0.wrapping_add(message);
        message
    }
}

/// `AgentRef::call` on the worker that asks, 50 questions in a call.
fn agents(suite: &mut Suite) -> Result<(), BenchError> {
    let runtime = Runtime::builder()
        .workers(1)
        .team(agent_collective::TeamConfig::new("work").capability("work"))
        .build()?;
    let agent = runtime.spawn_agent(AgentConfig::new("echo", "work"), || Echo(0))?;
    let questions = calls() as u64 * 50;
    // On the worker: how soon it begins is not what is asked here.
    let on_worker = |work: fn(&agent_collective::AgentRef<Echo>, u64) -> Answered, times: u64| {
        let agent = agent.clone();
        let task = Task::new("work", move |_: &TaskContext<'_>| {
            let start = Instant::now();
            for _ in 0..times {
                work(&agent, questions)?;
            }
            Ok::<_, agent_collective::CollectiveError>(start.elapsed())
        });
        Ok::<_, BenchError>(runtime.submit(task)?.join()??)
    };
    count_calls(suite, "50 questions", &mut || {
        on_worker(ask, 1)?;
        on_worker(|agent, questions| counted(|| ask(agent, questions)), 1).map(drop)
    })?;
    times(suite, "50 questions", &mut |iterations| {
        on_worker(ask, iterations)
    })
}

type Answered = Result<(), agent_collective::CollectiveError>;

fn ask(agent: &agent_collective::AgentRef<Echo>, questions: u64) -> Answered {
    for question in 0..questions {
        agent.call(question)?;
    }
    Ok(())
}

/// `Model::forward` of one token by a model of one thread. Its instructions are those of the kernels
/// without AVX-512, its time is that of the kernels for this machine.
#[cfg(feature = "inference")]
fn inference(suite: &mut Suite) -> Result<(), BenchError> {
    let model = ryot_inference::Model::toy(42)?;
    measure(suite, "one token", &mut |count| {
        let mut written = 0;
        for call in 0..count {
            let mut state = model.new_state();
            let token = u32::try_from(call % CALLS)?;
            written += black_box(model.forward(&mut state, &[token])?).vocab() as u64;
        }
        Ok(written)
    })
}
