//! Load: arrivals that do not wait for answers, at and above what the workers can do.

use crate::ask::quantile_ns;
use crate::{ChannelPool, WORKERS, memory};
use agent_collective::{Runtime, Task, TaskContext, TeamConfig};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SERVICE: Duration = Duration::from_millis(1);
/// Input that a task of the overload carries.
const INPUT_BYTES: usize = 1_024;

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
            for _ in 0..suite.size(1, 3) {
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

/// What one flood left.
struct Flood {
    longest_us: f64,
    p999_us: f64,
    p9999_us: f64,
    /// The longest time between two readings of the clock, one after the other, by the same thread
    /// while it waits for the time of the next submission.
    gap_us: f64,
    bytes: usize,
}

/// One figure of a flood.
type Figure = fn(&Flood) -> f64;

/// Ten times as many tasks as the workers can do, for a second; they wait, so the machine has room
/// for the submitter. What does not get in is dropped.
///
/// The longest of 20,000 submissions says as much about the machine as about the submission: the
/// system takes the processor away at any point. So the submitter reads the clock without a pause
/// between submissions, and the longest time between two of those readings stands beside the longest
/// submission. Floods alternate with the peer's and with two kinds that submit nothing, alone and
/// beside threads that sleep and wake like the workers; of each kind the median of the longest counts.
/// What a submission itself takes is measured in floods of its own, by the CPU clock of the thread,
/// which stands still while the system runs somebody else.
pub(crate) fn overload(suite: &mut Suite) -> Result<(), BenchError> {
    const CAPACITY: usize = 96;
    let count = suite.size(2_000, 20_000);
    let gap = SERVICE / u32::try_from(10 * WORKERS)?;
    let runtime = Runtime::builder()
        .workers(WORKERS)
        .queue_capacity(CAPACITY)
        .team(TeamConfig::new("work").capability("work"))
        .build()?;
    let pool = ChannelPool::new(128);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut ours_cpu, mut theirs_cpu) = (Vec::new(), Vec::new());
    let (mut nothing, mut beside) = (Vec::new(), Vec::new());
    // As long as a submission takes, so that it is met as often.
    let spin = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_nanos(300) {}
        true
    };
    let submit = || {
        let input = vec![0_u8; INPUT_BYTES];
        let task = Task::new("work", move |_: &TaskContext<'_>| serve(&input));
        runtime.try_spawn(task).is_ok()
    };
    let submit_theirs = || {
        let input = vec![0_u8; INPUT_BYTES];
        pool.try_spawn(move || serve(&input))
    };
    for _ in 0..suite.size(1, 5) {
        ours.push(flood(count, gap, true, wall, submit)?);
        theirs.push(flood(count, gap, true, wall, submit_theirs)?);
        ours_cpu.push(flood(count, gap, true, thread_cpu, submit)?);
        theirs_cpu.push(flood(count, gap, true, thread_cpu, submit_theirs)?);
        nothing.push(flood(count, gap, false, wall, spin)?);
        beside.push(with_sleepers(|| flood(count, gap, false, wall, spin))?);
    }
    // The queues alone: a task of one pointer instead of one with an input of 1 KiB.
    let input: Arc<[u8]> = vec![0; INPUT_BYTES].into();
    let bare_ours = flood(count, gap, true, wall, || {
        let input = Arc::clone(&input);
        let task = Task::new("work", move |_: &TaskContext<'_>| serve(&input));
        runtime.try_spawn(task).is_ok()
    })?;
    let bare_theirs = flood(count, gap, true, wall, || {
        let input = Arc::clone(&input);
        pool.try_spawn(move || serve(&input))
    })?;
    let report = runtime.shutdown();
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let depth = report.queue_depth_max as f64;
    suite.record(
        Row::new("10x overload, highest queue depth", "tasks", depth)
            .against("crossbeam bounded(128)", 128.0)
            .goal(Goal::OursAtMost(99.0)),
    );
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let kib = |floods: &[Flood]| {
        let most = floods.iter().map(|flood| flood.bytes).max();
        most.unwrap_or(0) as f64 / 1024.0
    };
    suite.record(
        Row::new("10x overload, memory held at most", "KiB", kib(&ours))
            .against("crossbeam bounded(128)", kib(&theirs))
            .goal(Goal::RatioAtMost(2.0)),
    );
    let name = "10x overload, memory held at most, inputs not counted";
    suite.record(
        Row::new(name, "KiB", kib(&[bare_ours]))
            .against("crossbeam bounded(128)", kib(&[bare_theirs])),
    );
    let median = |floods: &[Flood], figure: Figure| {
        let mut figures: Vec<f64> = floods.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let longest: Figure = |flood| flood.longest_us;
    let name = "10x overload, longest submit (median of 5 floods)";
    suite.record(
        Row::new(name, "us", median(&ours, longest))
            .against("crossbeam bounded(128)", median(&theirs, longest))
            .goal(Goal::OursAtMost(20.0)),
    );
    let cpu = median(&ours_cpu, longest);
    suite.record(
        Row::new(
            "10x overload, longest submit, CPU time of the thread",
            "us",
            cpu,
        )
        .against("crossbeam bounded(128)", median(&theirs_cpu, longest))
        .goal(Goal::OursAtMost(20.0)),
    );
    let gap: Figure = |flood| flood.gap_us;
    suite.record(
        Row::new(name, "us", median(&ours, longest))
            .against(
                "the same thread between two readings of the clock",
                median(&ours, gap),
            )
            .goal(Goal::RatioAtMost(1.0)),
    );
    let all = |floods: &[Flood]| floods.iter().map(longest).fold(0.0, f64::max);
    suite.record(
        Row::new(
            "10x overload, longest submit of all floods",
            "us",
            all(&ours),
        )
        .against("crossbeam bounded(128)", all(&theirs)),
    );
    for (peer, floods) in [
        ("no submission, nobody else", &nothing),
        ("no submission, two sleepers", &beside),
    ] {
        suite.record(
            Row::new(name, "us", median(&ours, longest)).against(peer, median(floods, longest)),
        );
    }
    let (p999, p9999): (Figure, Figure) = (|flood| flood.p999_us, |flood| flood.p9999_us);
    for (name, quantile) in [("p999", p999), ("p9999", p9999)] {
        let name = format!("10x overload, submit {name}");
        suite.record(
            Row::new(&name, "us", median(&ours, quantile))
                .against("crossbeam bounded(128)", median(&theirs, quantile)),
        );
    }
    Ok(())
}

/// Runs `body` beside as many threads as there are workers that sleep for a service time, again and
/// again, and do nothing else.
fn with_sleepers<R>(body: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(SERVICE);
                }
            });
        }
        let result = body();
        over.store(true, Ordering::Relaxed);
        result
    })
}

fn serve(input: &[u8]) {
    assert_eq!(input.len(), INPUT_BYTES);
    std::thread::sleep(SERVICE);
}

/// Time since `start` on the clock of the system.
fn wall(start: Instant) -> Duration {
    start.elapsed()
}

/// CPU time of the calling thread.
fn thread_cpu(_: Instant) -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Submits at a fixed pace, `overfull` saying that not everything can get in; each submission is
/// timed by two readings of `clock`.
fn flood(
    count: usize,
    gap: Duration,
    overfull: bool,
    clock: fn(Instant) -> Duration,
    mut submit: impl FnMut() -> bool,
) -> Result<Flood, BenchError> {
    let mut times = Vec::with_capacity(count);
    memory::start_peak();
    let start = Instant::now();
    let mut taken = 0;
    let mut longest_gap = Duration::ZERO;
    for i in 0..count {
        let due = start + gap * u32::try_from(i)?;
        let mut from = Instant::now();
        while from < due {
            std::hint::spin_loop();
            let now = Instant::now();
            longest_gap = longest_gap.max(now - from);
            from = now;
        }
        let before = clock(start);
        taken += usize::from(submit());
        times.push(clock(start) - before);
    }
    let bytes = memory::peak();
    if taken == 0 || (overfull && taken == count) {
        return Err(format!("overload: {taken} of {count} tasks got in").into());
    }
    Ok(Flood {
        p9999_us: quantile_ns(&mut times, 0.9999) / 1e3,
        p999_us: quantile_ns(&mut times, 0.999) / 1e3,
        longest_us: quantile_ns(&mut times, 1.0) / 1e3,
        gap_us: longest_gap.as_secs_f64() * 1e6,
        bytes,
    })
}
