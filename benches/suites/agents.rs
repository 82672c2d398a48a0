//! Suite `agents`: the runtime beside tokio, rayon and a plain channel pool, all on the same number
//! of threads, all counting the same completions.
//!
//! Tasks are almost empty, so the figures are the cost of handing a task over and hearing back. Ours
//! keeps its time accounting on; the peers keep none.

#[path = "agents/actors.rs"]
mod actors;
mod agents_batch;
#[path = "agents/ask.rs"]
mod ask;
#[path = "agents/executor.rs"]
mod executor;
#[path = "agents/load.rs"]
mod load;
#[path = "agents/memory.rs"]
mod memory;
#[path = "agents/overload.rs"]
mod overload;
#[path = "agents/tail.rs"]
mod tail;

use crate::executor::ExecutorPool;
use agent_collective::{Runtime, Task, TaskContext, TeamConfig};
use criterion::Throughput;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Goal, Row, Suite};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const WORKERS: usize = 2;

type Part = fn(&mut Suite, &Runtime) -> Result<(), BenchError>;

/// The parts of the suite. `cargo bench --bench agents -- 'ask|bulk'` runs those whose names begin so.
const PARTS: [(&str, Part); 14] = [
    ("spawn_outside", spawn_outside),
    ("spawn_inside", |suite, _| spawn_inside(suite)),
    ("bulk", bulk),
    ("submit_and_join", ask::submit_and_join),
    ("ask_same_worker", ask::same_worker),
    ("ask_across_cores", ask::across_cores),
    ("mailbox", ask::mailbox),
    ("actors", actors::rows),
    ("open_loop", |suite, _| load::open_loop(suite)),
    ("overload", |suite, _| overload::overload(suite)),
    ("hedging", |suite, _| tail::hedging(suite)),
    ("fan_out", tail::fan_out),
    ("memory", |suite, runtime| {
        memory::idle_agents(suite, runtime)?;
        accounting(suite)
    }),
    ("batch", |suite, _| agents_batch::rows(suite)),
];

fn main() -> ExitCode {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| {
        filter
            .as_ref()
            .is_none_or(|filter| filter.split('|').any(|wanted| name.starts_with(wanted)))
    };
    neurectomy_bench::run("agents", |suite| {
        let runtime = runtime(4096)?;
        for (name, part) in PARTS {
            if is_wanted(name) {
                part(suite, &runtime)?;
            }
        }
        Ok(())
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

impl ChannelPool {
    fn try_spawn(
        &self,
        job: Box<dyn FnOnce() + Send>,
    ) -> Result<(), crossbeam_channel::TrySendError<Box<dyn FnOnce() + Send>>> {
        let sender = self.sender.as_ref().expect("open until dropped");
        sender.try_send(job)
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
            runtime.spawn(task).expect("the runtime is open");
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
    let pool = ExecutorPool::new(WORKERS);
    let executor = &pool.executor;
    group.bench_function("async-executor", |b| {
        b.iter(|| {
            let tally = Tally::new(count);
            for _ in 0..count {
                let tally = Arc::clone(&tally);
                executor.spawn(async move { tally.one() }).detach();
            }
            tally.wait();
        });
    });
    drop(pool);
    group.finish();
    for (peer, goal) in [
        ("crossbeam-channel", Some(Goal::RatioAtMost(1.0))),
        ("async-executor", None),
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
        let task = Task::bulk("work", move |i, _: &TaskContext<'_>| job(i));
        let handle = runtime
            .submit_bulk(count, task)
            .expect("the queue has room");
        handle.join().expect("no panic").into_iter().sum()
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

/// A task that submits many, on the worker that runs it; the submitter waits outside.
fn spawn_inside(suite: &mut Suite) -> Result<(), BenchError> {
    let count = suite.size(200, 20_000);
    let runtime = runtime(32_768)?;
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .build()?;
    let rayon = rayon::ThreadPoolBuilder::new()
        .num_threads(WORKERS)
        .build()?;
    let mut group = suite.criterion().benchmark_group("spawn_inside");
    group.throughput(Throughput::Elements(count as u64));
    let capability = runtime.capability("work")?;
    group.bench_function("agent-collective", |b| {
        b.iter(|| {
            let (tally, capability) = (Tally::new(count), capability.clone());
            let shared = Arc::clone(&tally);
            let outer = Task::new("work", move |context: &TaskContext<'_>| {
                for _ in 0..count {
                    let tally = Arc::clone(&shared);
                    let task = Task::new(&capability, move |_: &TaskContext<'_>| tally.one());
                    context.runtime().spawn(task).expect("the queue has room");
                }
            });
            runtime.spawn(outer).expect("the runtime is open");
            tally.wait();
        });
    });
    group.bench_function("tokio", |b| {
        b.iter(|| {
            let tally = Tally::new(count);
            let shared = Arc::clone(&tally);
            tokio.spawn(async move {
                for _ in 0..count {
                    let tally = Arc::clone(&shared);
                    tokio::spawn(async move { tally.one() });
                }
            });
            tally.wait();
        });
    });
    group.bench_function("rayon", |b| {
        b.iter(|| {
            let tally = Tally::new(count);
            let shared = Arc::clone(&tally);
            rayon.spawn(move || {
                for _ in 0..count {
                    let tally = Arc::clone(&shared);
                    rayon::spawn(move || tally.one());
                }
            });
            tally.wait();
        });
    });
    group.finish();
    for (peer, goal) in [("tokio", Some(Goal::RatioAtMost(0.15))), ("rayon", None)] {
        suite.compare(Comparison {
            measure: "spawn and complete from a worker",
            group: "spawn_inside",
            ours: "agent-collective",
            peer,
            work: Work::Operations(count as u64),
            goal,
        });
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
