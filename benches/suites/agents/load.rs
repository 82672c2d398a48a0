//! Load: arrivals that do not wait for answers, below what the workers can do.

use crate::WORKERS;
use crate::ask::quantile_ns;
use agent_collective::{Runtime, Task, TaskContext};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SERVICE: Duration = Duration::from_millis(1);

/// Arrival, start and end of one task, since the start of the run.
type Visit = (Duration, Duration, Duration);

/// Exponential gaps from a fixed seed, so that every runtime gets the same arrivals.
fn arrivals(count: usize, utilisation: f64, workers: usize) -> Vec<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "a few workers")]
    let gap = SERVICE.as_secs_f64() / (utilisation * workers as f64);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut at = 0.0;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            #[expect(clippy::cast_precision_loss, reason = "53 random bits")]
            let uniform = ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            at -= gap * uniform.ln();
            Duration::from_secs_f64(at)
        })
        .collect()
}

/// Sojourn times of the same arrivals and service times at ideal workers: first come, first served,
/// handed over in no time.
fn ideal(visits: &[Visit], workers: usize) -> Vec<Duration> {
    let mut visits = visits.to_vec();
    visits.sort_unstable();
    let mut free = vec![Duration::ZERO; workers];
    visits
        .iter()
        .map(|&(arrived, started, ended)| {
            let worker = free.iter_mut().min().expect("there are workers");
            let end = arrived.max(*worker) + (ended - started);
            *worker = end;
            end - arrived
        })
        .collect()
}

/// Submits at the given times and gives sojourn p99 in ns, and its ratio to the ideal one.
fn run(
    arrivals: &[Duration],
    workers: usize,
    submit: impl Fn(Box<dyn FnOnce() + Send>),
) -> Result<(f64, f64), BenchError> {
    let visits = Arc::new(Mutex::new(Vec::with_capacity(arrivals.len())));
    let start = Instant::now();
    for &at in arrivals {
        while let Some(left) = at.checked_sub(start.elapsed()) {
            std::thread::sleep(left);
        }
        let (arrived, visits) = (start.elapsed(), Arc::clone(&visits));
        submit(Box::new(move || {
            let started = start.elapsed();
            while start.elapsed() - started < SERVICE {
                std::hint::spin_loop();
            }
            let visit = (arrived, started, start.elapsed());
            visits.lock().expect("no panic").push(visit);
        }));
    }
    let patience = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(5));
        if visits.lock().expect("no panic").len() == arrivals.len() {
            break;
        }
        if patience.elapsed() > Duration::from_secs(60) {
            return Err("open loop: tasks were lost".into());
        }
    }
    let visits = visits.lock().expect("no panic").clone();
    let mut sojourn: Vec<Duration> = visits.iter().map(|&(at, _, end)| end - at).collect();
    let p99 = quantile_ns(&mut sojourn, 0.99);
    Ok((p99, p99 / quantile_ns(&mut ideal(&visits, workers), 0.99)))
}

/// Poisson arrivals of 1 ms tasks, against an ideal replay of the very same arrivals and service
/// times, so that a slow moment of the machine weighs on both sides.
///
/// The goal is judged with one core left to the thread that submits: with as many workers as cores
/// the system preempts a worker for every arrival, whatever runtime it belongs to.
pub(crate) fn open_loop(suite: &mut Suite) -> Result<(), BenchError> {
    let spared = WORKERS.saturating_sub(1).max(1);
    for (workers, goal) in [(spared, Some(1.02)), (WORKERS, None)] {
        let runtime = Runtime::builder()
            .workers(workers)
            .queue_capacity(4_096)
            .build()?;
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .build()?;
        for utilisation in [0.7, 0.9] {
            let arrivals = arrivals(suite.size(20, 2_000), utilisation, workers);
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..suite.repeats(3) {
                ours.push(run(&arrivals, workers, |job| {
                    let task = Task::new("work", move |_: &TaskContext<'_>| job());
                    runtime.spawn(task).expect("the queue has room");
                })?);
                theirs.push(run(&arrivals, workers, |job| {
                    drop(tokio.spawn(async move { job() }));
                })?);
            }
            let median = |runs: &mut Vec<(f64, f64)>| {
                runs.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
                runs[runs.len() / 2]
            };
            let (ours, theirs) = (median(&mut ours), median(&mut theirs));
            let name = format!("1 ms tasks at {utilisation} load of {workers} workers");
            let row = Row::new(&format!("{name}, p99 over ideal"), "x", ours.1)
                .against("tokio", theirs.1);
            suite.record(match goal {
                Some(most) => row.goal(Goal::OursAtMost(most)),
                None => row,
            });
            suite.record(
                Row::new(&format!("{name}, p99"), "ms", ours.0 / 1e6)
                    .against("tokio", theirs.0 / 1e6)
                    .goal(Goal::OursAtMost(50.0)),
            );
        }
    }
    Ok(())
}
