//! Slices: the stores take turns, several threads at a time, and the median slice counts.

use std::sync::Barrier;
use std::time::Instant;

use hdrhistogram::Histogram;
use neurectomy_bench::{BenchError, Goal, Row, Suite};

use crate::stores::Store;

/// What one store did in all its slices.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// Operations per second of the median slice.
    pub(crate) rate: f64,
    /// Nanoseconds per call.
    pub(crate) latency_ns: Histogram<u64>,
}

/// How much is done.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) threads: usize,
    pub(crate) rounds: usize,
    /// Calls of each thread in one slice.
    pub(crate) calls: usize,
    /// Operations in a call.
    pub(crate) operations: usize,
}

/// One call: the store, the thread, and the number of this call in the thread's whole run.
pub(crate) type Call<'a> = &'a (dyn Fn(&dyn Store, usize, usize) -> Result<(), BenchError> + Sync);

/// Runs `call` on all stores in turn.
pub(crate) fn run(
    stores: &[Box<dyn Store>],
    plan: Plan,
    call: Call<'_>,
) -> Result<Vec<Outcome>, BenchError> {
    let mut rates = vec![Vec::new(); stores.len()];
    let mut latencies = Vec::new();
    for _ in stores {
        latencies.push(Histogram::new_with_bounds(1, 60_000_000_000, 3)?);
    }
    for round in 0..plan.rounds {
        for (position, store) in stores.iter().enumerate() {
            let (seconds, latency) = slice(&**store, plan, round, call)?;
            latencies[position].add(latency)?;
            rates[position].push(operations(plan) / seconds);
        }
    }
    let outcomes = stores.iter().zip(rates).zip(latencies);
    Ok(outcomes
        .map(|((store, mut rates), latency_ns)| {
            rates.sort_by(f64::total_cmp);
            Outcome {
                name: store.name(),
                rate: rates[rates.len() / 2],
                latency_ns,
            }
        })
        .collect())
}

#[expect(clippy::cast_precision_loss, reason = "a count")]
fn operations(plan: Plan) -> f64 {
    (plan.threads * plan.calls * plan.operations) as f64
}

fn slice(
    store: &dyn Store,
    plan: Plan,
    round: usize,
    call: Call<'_>,
) -> Result<(f64, Histogram<u64>), BenchError> {
    let barrier = Barrier::new(plan.threads);
    let work = |thread: usize| {
        let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)
            .map_err(|error| error.to_string())?;
        barrier.wait();
        let begin = Instant::now();
        for number in 0..plan.calls {
            let start = Instant::now();
            call(store, thread, round * plan.calls + number).map_err(|error| error.to_string())?;
            let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            latency.saturating_record(ns);
        }
        Ok::<_, String>((latency, begin, Instant::now()))
    };
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        for thread in threads {
            let (one, begin, end) = thread.join().map_err(|_| "a thread panicked")??;
            latency.add(one)?;
            begins.push(begin);
            ends.push(end);
        }
        // By the threads' own clocks: this one may not run before they are done.
        let first = begins.into_iter().min().ok_or("no thread")?;
        let last = ends.into_iter().max().ok_or("no thread")?;
        Ok((last.duration_since(first).as_secs_f64(), latency))
    })
}

/// A row for every peer; the goal, a ratio to the best of `judged` (all if empty), on that one's.
pub(crate) fn rows(
    suite: &mut Suite,
    measure: &str,
    outcomes: &[Outcome],
    judged: &[&str],
    ratio: Option<f64>,
) {
    let [ours, peers @ ..] = outcomes else { return };
    let is_judged = |peer: &&Outcome| judged.is_empty() || judged.contains(&peer.name);
    let best = peers.iter().filter(is_judged);
    let best = best.max_by(|a, b| a.rate.total_cmp(&b.rate));
    let best = best.map_or("", |best| best.name);
    for peer in peers {
        let mut row = Row::new(measure, "op/s", ours.rate).against(peer.name, peer.rate);
        if let Some(ratio) = ratio.filter(|_| peer.name == best) {
            row = row.goal(Goal::RatioAtLeast(ratio));
        }
        suite.record(row);
    }
}

/// Latency quantiles beside one peer's, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a call")]
pub(crate) fn quantiles(
    suite: &mut Suite,
    measure: &str,
    outcomes: &[Outcome],
    peer: &str,
    p99: Option<Goal>,
) {
    let Some(ours) = outcomes.first() else { return };
    let ms = |outcome: &Outcome, q: f64| outcome.latency_ns.value_at_quantile(q) as f64 / 1e6;
    let peer = outcomes.iter().find(|outcome| outcome.name == peer);
    for (name, q) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        let mut row = Row::new(&format!("{measure}, {name}"), "ms", ms(ours, q));
        if let Some(peer) = peer {
            row = row.against(peer.name, ms(peer, q));
        }
        if let Some(goal) = p99.filter(|_| name == "p99") {
            row = row.goal(goal);
        }
        suite.record(row);
    }
}
