//! Part of the suite `agents`: batches over files, and validations that compute or wait.

use super::WORKERS;
use crate::executor::ExecutorPool;
use agent_collective::Runtime;
use agent_collective::batch::{Batch, BatchConfig, FileBatch, Mode};
use agent_collective::pipeline::{ItemContext, Pipeline, Validate};
use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use rayon::prelude::*;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) fn rows(suite: &mut Suite) -> Result<(), BenchError> {
    let runtime = Runtime::builder().workers(WORKERS).build()?;
    let rayon = rayon::ThreadPoolBuilder::new()
        .num_threads(WORKERS)
        .build()?;
    files(suite, &runtime, &rayon)?;
    items(suite, &runtime, &rayon)?;
    computing(suite, &runtime, &rayon)?;
    waiting(suite, &runtime)
}

/// The shortest of several runs of each variant, in turn, so that a disturbance meets all.
fn shortest<const N: usize>(
    rounds: usize,
    variants: [&dyn Fn() -> Result<(), BenchError>; N],
) -> Result<[Duration; N], BenchError> {
    let mut times = [Duration::MAX; N];
    for _ in 0..rounds {
        for (time, variant) in times.iter_mut().zip(variants) {
            let start = Instant::now();
            variant()?;
            *time = (*time).min(start.elapsed());
        }
    }
    Ok(times)
}

/// The median of several runs of each variant, in turn.
fn medians<const N: usize>(
    rounds: usize,
    variants: [&dyn Fn() -> Result<(), BenchError>; N],
) -> Result<[Duration; N], BenchError> {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (times, variant) in times.iter_mut().zip(variants) {
            let start = Instant::now();
            variant()?;
            times.push(start.elapsed());
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    }))
}

/// Work that depends on every byte: four rounds of a rolling mix. About 300 MB/s on one core.
fn convert(bytes: &[u8]) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = bytes.to_vec();
    for _ in 0..4 {
        for byte in &mut out {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            *byte ^= state.to_le_bytes()[5];
        }
    }
    out
}

/// Text sizes as they are in a source tree: most files small, a few large.
fn write_inputs(folder: &Path, files: usize) -> Result<(), BenchError> {
    let mut random = SplitMix64::new(7);
    for index in 0..files {
        let bytes = 2_000 << (random.bits() % 8);
        let content: Vec<u8> = (0..bytes)
            .map(|_| b' ' + random.bits().to_le_bytes()[0] % 64)
            .collect();
        let path = folder.join(format!("{}/{index}.txt", index % 7));
        std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        std::fs::write(path, content)?;
    }
    Ok(())
}

/// What a program without us does for one file: read, convert, write beside, rename.
fn convert_plainly(from: &Path, to: &Path) -> std::io::Result<()> {
    let converted = convert(&std::fs::read(from)?);
    let temporary = to.with_extension("tmp");
    std::fs::write(&temporary, converted)?;
    std::fs::rename(temporary, to)
}

fn same_trees(a: &Path, b: &Path) -> Result<bool, BenchError> {
    let files = |root: &Path| FileBatch::new(root, root.join("nowhere")).inputs();
    let (left, right) = (files(a)?, files(b)?);
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(&right) {
        let same = left.relative == right.relative
            && std::fs::read(&left.path)? == std::fs::read(&right.path)?;
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A tree of files, read, converted and written: one by one, by rayon, by a file batch.
fn files(
    suite: &mut Suite,
    runtime: &Runtime,
    rayon: &rayon::ThreadPool,
) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("in");
    write_inputs(&input, suite.size(8, 120))?;
    let output = |name: &str| folder.path().join(name);
    let steps: Vec<(PathBuf, PathBuf)> = FileBatch::new(&input, output("none"))
        .inputs()?
        .into_iter()
        .map(|file| (file.path, file.relative))
        .collect();
    let targets = |name: &str| -> Result<Vec<(PathBuf, PathBuf)>, BenchError> {
        let root = output(name);
        let targets = steps.iter().map(|(from, relative)| {
            let to = root.join(relative);
            std::fs::create_dir_all(to.parent().unwrap_or(&root))?;
            Ok((from.clone(), to))
        });
        targets.collect()
    };
    let one_by_one = || -> Result<(), BenchError> {
        for (from, to) in targets("sequential")? {
            convert_plainly(&from, &to)?;
        }
        Ok(())
    };
    let by_rayon = || -> Result<(), BenchError> {
        let targets = targets("rayon")?;
        let convert = |(from, to): &(PathBuf, PathBuf)| convert_plainly(from, to);
        Ok(rayon.install(|| targets.par_iter().try_for_each(convert))?)
    };
    let run_ours = |mode: Mode, name: &str| -> Result<(), BenchError> {
        let batch = Batch::new(runtime, BatchConfig::default().mode(mode))?;
        let files = FileBatch::new(&input, output(name));
        let done = files.run(&batch, |_, bytes| Ok(convert(&bytes)))?;
        if done.report.failed > 0 {
            return Err("file batch: a file failed".into());
        }
        Ok(())
    };
    let ours = || run_ours(Mode::Parallel, "ours");
    let ours_sequential = || run_ours(Mode::Sequential, "ours-sequential");
    let rounds = suite.size(1, 15);
    let [sequential, rayon_time, ours_time, ours_alone] =
        shortest(rounds, [&one_by_one, &by_rayon, &ours, &ours_sequential])?;
    for name in ["rayon", "ours", "ours-sequential"] {
        if !same_trees(&output("sequential"), &output(name))? {
            return Err(format!("file batch: other bytes in {name}").into());
        }
    }
    let efficiency =
        |time: Duration| 100.0 * sequential.as_secs_f64() / time.as_secs_f64() / WORKERS as f64;
    suite.record(
        Row::new(
            "file batch, efficiency on 2 cores",
            "%",
            efficiency(ours_time),
        )
        .against("rayon", efficiency(rayon_time))
        .goal(Goal::RatioAtLeast(1.0)),
    );
    suite.record(
        Row::new(
            "file batch, sequential mode",
            "ms",
            ours_alone.as_secs_f64() * 1e3,
        )
        .against("plain loop", sequential.as_secs_f64() * 1e3),
    );
    Ok(())
}

/// The same conversion on buffers in memory, without the file system's part.
fn items(
    suite: &mut Suite,
    runtime: &Runtime,
    rayon: &rayon::ThreadPool,
) -> Result<(), BenchError> {
    let mut random = SplitMix64::new(11);
    let buffers: Vec<Vec<u8>> = (0..suite.size(8, 200))
        .map(|_| {
            let bytes = 2_000_usize << (random.bits() % 8);
            (0..bytes).map(|i| i.to_le_bytes()[0]).collect()
        })
        .collect();
    let batch = Batch::new(runtime, BatchConfig::default())?;
    let weight = |buffer: &Vec<u8>| buffer.len() as u64;
    let map = |buffer: &Vec<u8>| Ok::<_, String>(convert(buffer));
    let expected: Vec<Vec<u8>> = buffers.iter().map(|buffer| convert(buffer)).collect();
    let mapped = batch.map_weighted(&buffers, weight, map)?.into_values();
    if mapped.map_err(|(_, error)| error)? != expected {
        return Err("batch: other bytes than a plain loop's".into());
    }
    let sequential = || {
        black_box(
            buffers
                .iter()
                .map(|buffer| convert(buffer))
                .collect::<Vec<_>>(),
        );
        Ok(())
    };
    let by_rayon = || {
        let converted = || buffers.par_iter().map(|buffer| convert(buffer)).collect();
        black_box::<Vec<Vec<u8>>>(rayon.install(converted));
        Ok(())
    };
    let ours = || {
        black_box(batch.map_weighted(&buffers, weight, map)?);
        Ok(())
    };
    let [sequential, rayon_time, ours_time] =
        shortest(suite.size(1, 15), [&sequential, &by_rayon, &ours])?;
    let efficiency =
        |time: Duration| 100.0 * sequential.as_secs_f64() / time.as_secs_f64() / WORKERS as f64;
    suite.record(
        Row::new(
            "batch map, efficiency on 2 cores",
            "%",
            efficiency(ours_time),
        )
        .against("rayon", efficiency(rayon_time))
        .goal(Goal::RatioAtLeast(1.0)),
    );
    Ok(())
}

/// Work of a fixed amount, about 5 ms; one copy of the loop for both sides.
#[inline(never)]
fn compute(seed: u64) -> u64 {
    (0..4_000_000_u64).fold(seed, |sum, n| (sum ^ n).wrapping_mul(0x0000_0100_0000_01b3))
}

fn computing(
    suite: &mut Suite,
    runtime: &Runtime,
    rayon: &rayon::ThreadPool,
) -> Result<(), BenchError> {
    let count = suite.size(4, 32) as u64;
    let expected: Vec<u64> = (0..count).map(compute).collect();
    let deadline = Duration::from_secs(60);
    let stage = Validate::computing("compute", deadline, |seed: u64, _| {
        Ok::<u64, String>(compute(seed))
    });
    let pipeline = Pipeline::new("computing").then(stage.concurrency_max(WORKERS));
    let ours = || {
        let run = pipeline.run(runtime, 0..count)?;
        if !run.passed().eq(&expected) {
            return Err("validation: other results than a plain loop's".into());
        }
        Ok(())
    };
    let by_rayon = || {
        let results: Vec<u64> = rayon.install(|| (0..count).into_par_iter().map(compute).collect());
        if results != expected {
            return Err("rayon: other results than a plain loop's".into());
        }
        Ok(())
    };
    let [ours_time, rayon_time] = shortest(suite.size(1, 7), [&ours, &by_rayon])?;
    suite.record(
        Row::new(
            "validate 32 x 5 ms of CPU",
            "ms",
            ours_time.as_secs_f64() * 1e3,
        )
        .against("rayon", rayon_time.as_secs_f64() * 1e3)
        .goal(Goal::RatioAtMost(1.0)),
    );
    Ok(())
}

/// 32 validations that each wait 10 ms: one by one, as futures, on blocking threads, in tokio.
fn waiting(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    const WAIT: Duration = Duration::from_millis(10);
    let count = suite.size(4, 32) as u64;
    let deadline = Duration::from_secs(60);
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_time()
        .build()?;
    let futures = Pipeline::new("futures").then(Validate::futures(
        "wait",
        deadline,
        |item: u64, context: ItemContext| async move {
            context.sleep(WAIT).await;
            Ok::<u64, String>(item)
        },
    ));
    let threads =
        Pipeline::new("threads").then(Validate::blocking("wait", deadline, |item: u64, _| {
            std::thread::sleep(WAIT);
            Ok::<u64, String>(item)
        }));
    let run = |pipeline: &Pipeline<'_, u64, u64>| -> Result<(), BenchError> {
        let run = pipeline.run(runtime, 0..count)?;
        if !run.passed().copied().eq(0..count) {
            return Err("waiting: a validation failed".into());
        }
        Ok(())
    };
    let one_by_one = || {
        (0..count).for_each(|_| std::thread::sleep(WAIT));
        Ok(())
    };
    let in_tokio = || {
        let waits = async {
            let tasks: Vec<_> = (0..count)
                .map(|item| {
                    tokio::spawn(async move {
                        tokio::time::sleep(WAIT).await;
                        item
                    })
                })
                .collect();
            for (wanted, task) in (0..count).zip(tasks) {
                if task.await? != wanted {
                    return Err("tokio: a wrong answer".into());
                }
            }
            Ok::<(), BenchError>(())
        };
        tokio.block_on(waits)
    };
    let pool = ExecutorPool::new(WORKERS);
    let executor = &pool.executor;
    let in_async_io = || {
        let tasks: Vec<_> = (0..count)
            .map(|item| {
                executor.spawn(async move {
                    async_io::Timer::after(WAIT).await;
                    item
                })
            })
            .collect();
        futures_lite::future::block_on(async {
            for (wanted, task) in (0..count).zip(tasks) {
                if task.await != wanted {
                    return Err("async-executor: a wrong answer".into());
                }
            }
            Ok(())
        })
    };
    let (by_futures, by_threads) = (|| run(&futures), || run(&threads));
    let start = Instant::now();
    run(&threads)?;
    let first_run = start.elapsed();
    let [alone] = shortest(suite.size(1, 3), [&one_by_one])?;
    let [futures_time, threads_time, tokio_time, async_io_time] = medians(
        suite.size(1, 21),
        [&by_futures, &by_threads, &in_tokio, &in_async_io],
    )?;
    drop(pool);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let name = "32 waits of 10 ms, threads, first run, which starts them";
    suite.record(Row::new(name, "ms", ms(first_run)));
    for (name, time) in [("futures", futures_time), ("threads", threads_time)] {
        suite.record(
            Row::new(
                &format!("32 waits of 10 ms, {name}: speed-up over one by one"),
                "x",
                alone.as_secs_f64() / time.as_secs_f64(),
            )
            .goal(Goal::OursAtLeast(30.0)),
        );
        for (peer, peer_time) in [("tokio", tokio_time), ("async-io", async_io_time)] {
            suite.record(
                Row::new(&format!("32 waits of 10 ms, {name}"), "ms", ms(time))
                    .against(peer, ms(peer_time))
                    .goal(Goal::RatioAtMost(1.0)),
            );
        }
    }
    Ok(())
}
