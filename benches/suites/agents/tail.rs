//! Tails and fan-out: hedged requests, many tasks at once that compute or wait.

use crate::WORKERS;
use crate::ask::quantile_ns;
use crate::executor::ExecutorPool;
use agent_collective::{Hedge, HedgeConfig, JoinHandle, Runtime, Task, TaskContext};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 16;
/// How many times longer a slow request takes than the others.
const SLOW: u32 = 20;

/// Time spent in tries.
#[derive(Default)]
struct Spent {
    first_ns: AtomicU64,
    second_ns: AtomicU64,
}

/// Adds the time until it is dropped, also by a cancelled try.
struct Timed<'s>(Instant, &'s AtomicU64);

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let ns = u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.1.fetch_add(ns, Ordering::Relaxed);
    }
}

/// A request that waits for `usual`, and every hundredth 20 times as long; a second try is slow just
/// as rarely.
fn request(
    context: &TaskContext<'_>,
    usual: Duration,
    number: u64,
    tries: &AtomicU64,
    spent: &Spent,
) -> u64 {
    let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
    let _timed = Timed(
        Instant::now(),
        if first {
            &spent.first_ns
        } else {
            &spent.second_ns
        },
    );
    let slow = if first {
        number % 100 == 99
    } else {
        number / 100 % 100 == 50
    };
    let until = Instant::now() + if slow { usual * SLOW } else { usual };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return number;
        }
        context.sleep(left.min(usual));
        context.checkpoint();
    }
}

fn requests(
    runtime: &Runtime,
    (count, usual): (usize, Duration),
    hedge: Option<&Hedge>,
    spent: &Arc<Spent>,
) -> Vec<Duration> {
    let next = AtomicU64::new(0);
    let client = || {
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count as u64 {
                return times;
            }
            let (tries, spent) = (AtomicU64::new(0), Arc::clone(spent));
            let job =
                move |context: &TaskContext<'_>| request(context, usual, number, &tries, &spent);
            let start = Instant::now();
            let answer = match hedge {
                Some(hedge) => runtime
                    .submit_hedged(hedge, Task::repeatable("work", job))
                    .expect("the runtime is open")
                    .join(),
                None => runtime
                    .submit(Task::new("work", job))
                    .expect("the runtime is open")
                    .join(),
            };
            times.push(start.elapsed());
            assert_eq!(answer, Ok(number));
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let times = clients
            .into_iter()
            .map(|client| client.join().expect("no panic"));
        times.flatten().collect()
    })
}

/// What the requests of one round left, hedged beside unhedged.
struct Hedged {
    p99_ms: [f64; 2],
    p999_ms: [f64; 2],
    /// Shares of the time that the requests take unhedged, in per cent.
    second_percent: f64,
    all_percent: f64,
    tries_percent: f64,
}

fn hedged_round(runtime: &Runtime, count: usize, usual: Duration) -> Result<Hedged, BenchError> {
    // Hedged requests take 0.87 of the time of unhedged ones, because slow tries are cancelled: 1.12 %
    // of their time is less than 1 % of that.
    let config = HedgeConfig::default()
        .requests_min(50)
        .factor(1.4)
        .extra_max(0.013)
        .extra_time_max(0.0112)
        .second_max(1.5);
    let hedge = Hedge::new(config)?;
    let (hedged_spent, plain_spent) = (Arc::new(Spent::default()), Arc::new(Spent::default()));
    let mut hedged = requests(runtime, (count, usual), Some(&hedge), &hedged_spent);
    let mut plain = requests(runtime, (count, usual), None, &plain_spent);
    let stats = hedge.stats();
    let seconds = |ns: &AtomicU64| Duration::from_nanos(ns.load(Ordering::Relaxed)).as_secs_f64();
    let plain_time = seconds(&plain_spent.first_ns);
    let second_time = seconds(&hedged_spent.second_ns);
    let mut both_ms = |q| [&mut hedged, &mut plain].map(|times| quantile_ns(times, q) / 1e6);
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let tries_percent = 100.0 * stats.second_tries as f64 / stats.requests as f64;
    Ok(Hedged {
        p99_ms: both_ms(0.99),
        p999_ms: both_ms(0.999),
        second_percent: 100.0 * second_time / plain_time,
        all_percent: 100.0 * (seconds(&hedged_spent.first_ns) + second_time) / plain_time,
        tries_percent,
    })
}

/// The share 0.999 of sleeps of `usual` on as many threads as there are clients, without a runtime:
/// no request takes less.
fn sleeps_p999_ms(count: usize, usual: Duration) -> f64 {
    let sleep = |_| {
        let start = Instant::now();
        std::thread::sleep(usual);
        start.elapsed()
    };
    let client = || (0..count / CLIENTS).map(sleep).collect::<Vec<Duration>>();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let times = clients
            .into_iter()
            .map(|client| client.join().expect("no panic"));
        times.flatten().collect()
    });
    quantile_ns(&mut times, 0.999) / 1e6
}

pub(crate) fn hedging(suite: &mut Suite) -> Result<(), BenchError> {
    for usual_ms in [4, 1] {
        hedging_of(suite, usual_ms)?;
    }
    Ok(())
}

/// Hedged and unhedged requests by turns, and sleeps without a runtime. The p999 of 10,000 requests
/// are ten of them, and more are under way when the machine stands still for some milliseconds, as it
/// does now and then: two of a thousand sleeps of 1 ms may take more than 3. So there are requests of
/// 4 ms as well as of 1; of the latencies the median of the rounds counts, and of the time in second
/// tries the most of all rounds.
fn hedging_of(suite: &mut Suite, usual_ms: u64) -> Result<(), BenchError> {
    let (count, usual) = (suite.size(40, 10_000), Duration::from_millis(usual_ms));
    let requests = format!("hedged requests of {usual_ms} ms");
    let runtime = Runtime::builder().workers(3 * CLIENTS).build()?;
    let rounds = (0..suite.size(1, 3)).map(|_| hedged_round(&runtime, count, usual));
    let rounds = rounds.collect::<Result<Vec<Hedged>, BenchError>>()?;
    let floor_ms = sleeps_p999_ms(count, usual);
    let sorted = |figure: &dyn Fn(&Hedged) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures
    };
    let median = |figure: &dyn Fn(&Hedged) -> f64| sorted(figure)[rounds.len() / 2];
    let most = |figure: &dyn Fn(&Hedged) -> f64| sorted(figure)[rounds.len() - 1];
    let p99 = |of: usize| median(&|round| round.p99_ms[of]);
    let p999 = |of: usize| median(&|round| round.p999_ms[of]);
    suite.record(
        Row::new(&format!("{requests}, 1 % at 20x, p99"), "ms", p99(0)).against("unhedged", p99(1)),
    );
    let name = format!("{requests}, 1 % at 20x, p999");
    suite.record(
        Row::new(&name, "ms", p999(0))
            .against("unhedged", p999(1))
            .goal(Goal::RatioAtMost(0.16)),
    );
    suite.record(Row::new(&name, "ms", p999(0)).against("a sleep without runtime", floor_ms));
    for (name, figure) in [
        ("least", sorted(&|round| round.p999_ms[0])[0]),
        ("most", most(&|round| round.p999_ms[0])),
    ] {
        let name = format!("{requests}, 1 % at 20x, p999, {name} of the rounds");
        suite.record(Row::new(&name, "ms", figure));
    }
    suite.record(
        Row::new(
            &format!("{requests}, time in second tries, most of the rounds"),
            "%",
            most(&|round| round.second_percent),
        )
        .goal(Goal::OursAtMost(1.0)),
    );
    for (name, figure) in [
        ("time in all tries", most(&|round| round.all_percent)),
        ("second tries", most(&|round| round.tries_percent)),
    ] {
        suite.record(Row::new(&format!("{requests}, {name}"), "%", figure));
    }
    Ok(())
}

/// Work of fixed length, about 5 ms. One copy of the loop for all runtimes: inlined copies differ in
/// speed by some per cent with their alignment.
#[inline(never)]
fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |sum: u64, n| {
        black_box(sum ^ n.wrapping_mul(0x9e37_79b9))
    })
}

/// How many rounds take `time`, by the fastest of some probes: a slow moment of the machine would make
/// all tasks too short.
fn rounds_of(time: Duration) -> u64 {
    let probe = 200_000;
    let once = || {
        let start = Instant::now();
        black_box(compute(probe));
        start.elapsed().as_nanos()
    };
    let took = (0..20).map(|_| once()).min().unwrap_or(1).max(1);
    u64::try_from(u128::from(probe) * time.as_nanos() / took).unwrap_or(probe)
}

const TASKS: usize = 32;

/// 32 tasks at once that compute, from submission to the last answer, beside rayon. Of tasks of 5 ms
/// the machine's own spread, some per cent of every run, hides what the runtimes add, some
/// microseconds: the interval says how far the comparison is to be believed, and tasks of 20 us show
/// what is added.
fn computing(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    use rayon::prelude::*;
    let rayon = rayon::ThreadPoolBuilder::new()
        .num_threads(WORKERS)
        .build()?;
    for (name, us, pairs) in [("20 us", 20, 400), ("5 ms", 5_000, 60)] {
        let rounds = rounds_of(Duration::from_micros(if suite.smoke() { 20 } else { us }));
        let ours = || {
            let task = Task::bulk("work", move |_, _: &TaskContext<'_>| compute(rounds));
            let handle = runtime
                .submit_bulk(TASKS, task)
                .expect("the queue has room");
            handle.join().expect("no panic").len()
        };
        let theirs = || {
            let all = (0..TASKS).into_par_iter().with_max_len(1);
            rayon.install(|| all.map(|_| compute(rounds)).collect::<Vec<_>>().len())
        };
        let mut times = (Vec::new(), Vec::new());
        for round in 0..suite.size(1, pairs) {
            in_turns(round, &ours, &theirs, &mut times)?;
        }
        let name = format!("{TASKS} tasks of {name} that compute");
        beside(suite, &name, "rayon", times);
    }
    Ok(())
}

/// 32 tasks at once, from submission to the last answer: computing beside rayon, waiting beside
/// async-executor on async-io's timers. Ours wait on the runtime's own delays, and in a row of their
/// own on async-io's timers, which the threads of async-executor watch and our workers do not.
pub(crate) fn fan_out(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    computing(suite, runtime)?;
    let wait = Duration::from_millis(10);
    let ours_wait = || {
        let one = |_| {
            let handle = runtime.handle();
            let future = async move { handle.delay(wait).await };
            runtime
                .spawn_future("work", future)
                .expect("the runtime is open")
        };
        joined((0..TASKS).map(one).collect())
    };
    let ours_foreign = || {
        let one = |_| {
            let future = async move {
                async_io::Timer::after(wait).await;
            };
            runtime
                .spawn_future("work", future)
                .expect("the runtime is open")
        };
        joined((0..TASKS).map(one).collect())
    };
    let wide = Runtime::builder().workers(TASKS).build()?;
    let ours_sleep = || {
        let task = Task::bulk("work", move |_, context: &TaskContext<'_>| {
            context.sleep(wait)
        });
        let handle = wide.submit_bulk(TASKS, task).expect("the queue has room");
        handle.join().expect("no panic").len()
    };
    let pool = ExecutorPool::new(WORKERS);
    let executor = &pool.executor;
    let async_wait = || {
        let one = |_| executor.spawn(async move { async_io::Timer::after(wait).await });
        let tasks: Vec<_> = (0..TASKS).map(one).collect();
        futures_lite::future::block_on(async {
            let mut done = 0;
            for task in tasks {
                task.await;
                done += 1;
            }
            done
        })
    };
    let ways: [(&str, &dyn Fn() -> usize); 3] = [
        ("32 futures that wait 10 ms", &ours_wait),
        (
            "32 futures that wait 10 ms on async-io's timers",
            &ours_foreign,
        ),
        ("32 tasks that wait 10 ms on 32 workers", &ours_sleep),
    ];
    let mut times = [const { (Vec::new(), Vec::new()) }; 3];
    for round in 0..suite.size(1, 30) {
        for ((_, ours), times) in ways.iter().zip(&mut times) {
            in_turns(round, *ours, &async_wait, times)?;
        }
    }
    for ((name, _), times) in ways.into_iter().zip(times) {
        beside(suite, name, "async-io", times);
    }
    Ok(())
}

/// One run of each, in changing order, so that a drift of the machine meets both.
fn in_turns(
    round: usize,
    ours: &dyn Fn() -> usize,
    theirs: &dyn Fn() -> usize,
    times: &mut (Vec<Duration>, Vec<Duration>),
) -> Result<(), BenchError> {
    if round.is_multiple_of(2) {
        times.0.push(timed(ours, TASKS)?);
        times.1.push(timed(theirs, TASKS)?);
    } else {
        times.1.push(timed(theirs, TASKS)?);
        times.0.push(timed(ours, TASKS)?);
    }
    Ok(())
}

/// Medians, shortest runs, and the median ratio of neighbouring runs with its interval.
fn beside(
    suite: &mut Suite,
    name: &str,
    peer: &str,
    (mut ours, mut theirs): (Vec<Duration>, Vec<Duration>),
) {
    let ratios = median_ratio(&ours, &theirs);
    let mut row = |name: &str, q: f64| {
        let [ours, theirs] = [&mut ours, &mut theirs].map(|times| quantile_ns(times, q) / 1e6);
        suite.record(
            Row::new(name, "ms", ours)
                .against(peer, theirs)
                .goal(Goal::RatioAtMost(1.0)),
        );
    };
    row(name, 0.5);
    // What else runs on the machine only adds to a time.
    row(&format!("{name}, shortest run"), 0.0);
    let name = format!("{name}, ratio of neighbouring runs");
    let [lower, median, upper] = ratios;
    suite.record(Row::new(&format!("{name}, median"), "x", median));
    // What is equally fast passes here, and in the row of medians by chance only.
    suite.record(
        Row::new(
            &format!("{name}, lower end of its 95 % interval"),
            "x",
            lower,
        )
        .goal(Goal::OursAtMost(1.0)),
    );
    suite.record(Row::new(&format!("{name}, upper end"), "x", upper));
}

/// After a pause, so that the threads of whoever ran before no longer look for work.
fn timed(run: &dyn Fn() -> usize, tasks: usize) -> Result<Duration, BenchError> {
    std::thread::sleep(Duration::from_millis(1));
    let start = Instant::now();
    let done = run();
    let took = start.elapsed();
    if done != tasks {
        return Err("fan-out: a task is missing".into());
    }
    Ok(took)
}

/// How many of them end with a value.
fn joined(handles: Vec<JoinHandle<()>>) -> usize {
    handles
        .into_iter()
        .map(|handle| handle.join())
        .filter(Result::is_ok)
        .count()
}

/// The median of the ratios of neighbouring runs, between the ends of its 95 % interval: ratios so
/// many ranks below and above it (binomial, by its normal approximation).
fn median_ratio(ours: &[Duration], theirs: &[Duration]) -> [f64; 3] {
    let mut ratios: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64())
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let (middle, last) = (ratios.len() / 2, ratios.len() - 1);
    // 1.96 * sqrt(n) / 2, rounded up to whole ranks.
    let ranks = (ratios.len() * 96_040 / 100_000).isqrt() + 1;
    [
        ratios[middle.saturating_sub(ranks)],
        ratios[middle],
        ratios[(middle + ranks).min(last)],
    ]
}
