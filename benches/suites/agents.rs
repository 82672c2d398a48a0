//! Suite `agents`: the runtime beside tokio, rayon and a plain channel pool, all on the same number
//! of threads, all counting the same completions.
//!
//! Tasks are almost empty, so the figures are the cost of handing a task over and hearing back. Ours
//! keeps its time accounting on; the peers keep none.

use agent_collective::{Runtime, Task, TaskContext, TeamConfig};
use criterion::Throughput;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WORKERS: usize = 2;

fn main() -> ExitCode {
    neurectomy_bench::run("agents", |suite| {
        let runtime = runtime(4096)?;
        spawn_outside(suite, &runtime)?;
        bulk(suite, &runtime)?;
        ask(suite, &runtime)?;
        accounting(suite)
    })
}

fn runtime(queue_capacity: usize) -> Result<Runtime, BenchError> {
    Ok(Runtime::builder()
        .workers(WORKERS)
        .queue_capacity(queue_capacity)
        .team(
            TeamConfig::new("work")
                .capability("work")
                .queue_capacity(queue_capacity),
        )
        .build()?)
}

/// A counter that the last of `expected` tasks brings to its goal, and a thread that waits for it.
struct Tally {
    done: AtomicU64,
    expected: u64,
    waiter: std::thread::Thread,
}

impl Tally {
    fn new(expected: usize) -> Arc<Self> {
        let waiter = std::thread::current();
        Arc::new(Self {
            done: AtomicU64::new(0),
            expected: expected as u64,
            waiter,
        })
    }

    fn one(&self) {
        if self.done.fetch_add(1, Ordering::AcqRel) + 1 == self.expected {
            self.waiter.unpark();
        }
    }

    fn wait(&self) {
        while self.done.load(Ordering::Acquire) < self.expected {
            std::thread::park();
        }
    }
}

/// Threads that take boxed closures from one crossbeam channel: the shape most programs start with.
struct ChannelPool {
    sender: Option<crossbeam_channel::Sender<Box<dyn FnOnce() + Send>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl ChannelPool {
    fn new(capacity: usize) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded::<Box<dyn FnOnce() + Send>>(capacity);
        let threads = (0..WORKERS)
            .map(|_| {
                let receiver = receiver.clone();
                std::thread::spawn(move || receiver.iter().for_each(|job| job()))
            })
            .collect();
        Self {
            sender: Some(sender),
            threads,
        }
    }

    fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        let sender = self.sender.as_ref().expect("open until dropped");
        assert!(
            sender.send(Box::new(job)).is_ok(),
            "the pool outlives its senders"
        );
    }
}

impl Drop for ChannelPool {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One thread submits, the pool runs, the submitter waits for the last one.
fn spawn_outside(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    let count = suite.size(200, 20_000);
    let pool = ChannelPool::new(4096);
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .build()?;
    let rayon = rayon::ThreadPoolBuilder::new()
        .num_threads(WORKERS)
        .build()?;
    let run_ours = || {
        let tally = Tally::new(count);
        for _ in 0..count {
            let tally = Arc::clone(&tally);
            let task = Task::new("work", move |_: &TaskContext<'_>| tally.one());
            runtime.submit(task).expect("the runtime is open").detach();
        }
        tally.wait();
    };
    let mut group = suite.criterion().benchmark_group("spawn_outside");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("agent-collective", |b| b.iter(run_ours));
    group.bench_function("crossbeam-channel", |b| {
        b.iter(|| {
            let tally = Tally::new(count);
            for _ in 0..count {
                let tally = Arc::clone(&tally);
                pool.spawn(move || tally.one());
            }
            tally.wait();
        });
    });
    group.bench_function("tokio", |b| {
        b.iter(|| {
            let tally = Tally::new(count);
            for _ in 0..count {
                let tally = Arc::clone(&tally);
                tokio.spawn(async move { tally.one() });
            }
            tally.wait();
        });
    });
    group.bench_function("rayon", |b| {
        b.iter(|| {
            let tally = Tally::new(count);
            for _ in 0..count {
                let tally = Arc::clone(&tally);
                rayon.spawn(move || tally.one());
            }
            tally.wait();
        });
    });
    group.finish();
    for (peer, goal) in [
        ("crossbeam-channel", Some(Goal::RatioAtMost(1.0))),
        ("tokio", None),
        ("rayon", None),
    ] {
        suite.compare(Comparison {
            measure: "spawn and complete from outside",
            group: "spawn_outside",
            ours: "agent-collective",
            peer,
            work: Work::Operations(count as u64),
            goal,
        });
    }
    Ok(())
}

/// Many small jobs at once whose results are collected in order.
fn bulk(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    use rayon::prelude::*;
    let count = suite.size(100, 4_000);
    let rayon = rayon::ThreadPoolBuilder::new()
        .num_threads(WORKERS)
        .build()?;
    let job = |i: usize| black_box(i).wrapping_mul(31);
    let run_ours = || -> usize {
        let tasks = (0..count).map(|i| Task::new("work", move |_: &TaskContext<'_>| job(i)));
        let handles = runtime.submit_all(tasks).expect("the queue holds them");
        handles
            .into_iter()
            .map(|handle| handle.join().expect("no panic"))
            .sum()
    };
    let run_rayon =
        || -> usize { rayon.install(|| (0..count).into_par_iter().with_max_len(1).map(job).sum()) };
    if run_ours() != run_rayon() {
        return Err("bulk: another sum than rayon's".into());
    }
    let mut group = suite.criterion().benchmark_group("bulk");
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function("agent-collective", |b| b.iter(run_ours));
    group.bench_function("rayon", |b| b.iter(run_rayon));
    group.finish();
    suite.compare(Comparison {
        measure: "bulk submit, results in order",
        group: "bulk",
        ours: "agent-collective",
        peer: "rayon",
        work: Work::Operations(count as u64),
        goal: Some(Goal::RatioAtMost(1.2)),
    });
    Ok(())
}

/// One task at a time: submit, wait for its answer. The waiting thread parks, so this is the price
/// of two wake-ups.
fn ask(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    let count = suite.size(20, 3_000);
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .build()?;
    let (mut ours, mut theirs) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for i in 0..count {
        let start = Instant::now();
        let answer = runtime
            .submit(Task::new("work", move |_: &TaskContext<'_>| i))?
            .join()?;
        ours.push(start.elapsed());
        let start = Instant::now();
        let expected = tokio.block_on(tokio.spawn(async move { i }))?;
        theirs.push(start.elapsed());
        if answer != expected {
            return Err("ask: a wrong answer".into());
        }
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    let micros =
        |times: &[Duration], q: usize| times[(times.len() - 1) * q / 100].as_secs_f64() * 1e6;
    for q in [50, 99] {
        suite.record(
            Row::new(&format!("submit and join, p{q}"), "us", micros(&ours, q))
                .against("tokio", micros(&theirs, q)),
        );
    }
    Ok(())
}

/// How much of the workers' time the report names, under a mixed load.
fn accounting(suite: &mut Suite) -> Result<(), BenchError> {
    let runtime = runtime(512)?;
    for i in 0..suite.size(20, 2_000) {
        runtime
            .submit(Task::new("work", move |context: &TaskContext<'_>| {
                if i % 8 == 0 {
                    context.blocking(|| std::thread::sleep(Duration::from_micros(300)));
                } else {
                    black_box((0..20_000_u64).fold(0, |sum, n| sum ^ n.wrapping_mul(31)));
                }
            }))?
            .detach();
    }
    let report = runtime.shutdown();
    suite.record(
        Row::new(
            "time accounted, least of run",
            "%",
            100.0 * report.accounted_fraction,
        )
        .goal(Goal::OursAtLeast(99.0)),
    );
    Ok(())
}
