//! Overload: ten times as many arrivals as the workers can serve.

use crate::ask::quantile_ns;
use crate::{ChannelPool, WORKERS, memory};
use agent_collective::{Runtime, Task, TaskContext, TeamConfig};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SERVICE: Duration = Duration::from_millis(1);
/// Input that a task carries.
const INPUT_BYTES: usize = 1_024;
const PEER: &str = "crossbeam bounded(128)";
const CAPACITY: usize = 96;

/// What one flood left.
struct Flood {
    longest_us: f64,
    p999_us: f64,
    p9999_us: f64,
    bytes: usize,
}

/// One figure of a flood.
type Figure = fn(&Flood) -> f64;

/// How many submissions, how far apart, and whether not all of them can get in.
#[derive(Clone, Copy)]
struct Pace {
    count: usize,
    gap: Duration,
    overfull: bool,
}

/// Ten times as many tasks as the workers can do, for a second; they wait, so the machine has room
/// for the submitter. What does not get in comes back.
///
/// Timed is the submission of a task that is there already. Making its input, and dropping it when it
/// comes back, are calls of the system's allocator, which holds its lock while the system has taken the
/// processor away from a worker that frees, or grows and cuts the heap: traces of the scheduler show
/// submitters asleep on that lock for 180 us.
///
/// The longest of 20,000 submissions says as much about the machine as about the submission, because
/// the system takes the processor away at any point, and on a virtual machine its host does so unseen.
/// So floods alternate with the peer's, and with floods of a thread that reads the clock for as long as
/// a submission takes and submits nothing; of each kind the median of the longest counts, and the
/// longest of all stands beside it.
pub(crate) fn overload(suite: &mut Suite) -> Result<(), BenchError> {
    let pace = Pace {
        count: suite.size(2_000, 20_000),
        gap: SERVICE / u32::try_from(10 * WORKERS)?,
        overfull: true,
    };
    let runtime = Runtime::builder()
        .workers(WORKERS)
        .queue_capacity(CAPACITY)
        .team(TeamConfig::new("work").capability("work"))
        .build()?;
    let pool = ChannelPool::new(128);
    let (mut ours, mut theirs, mut nobody) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..suite.size(1, 11) {
        let job = || task(vec![0_u8; INPUT_BYTES]);
        ours.push(flood(pace, job, |task| runtime.try_spawn(task))?);
        let job = || boxed(vec![0_u8; INPUT_BYTES]);
        theirs.push(flood(pace, job, |job| pool.try_spawn(job))?);
        let free = Pace {
            overfull: false,
            ..pace
        };
        nobody.push(with_sleepers(|| flood(free, || (), |()| read_clocks()))?);
    }
    // The queues alone: a task of one pointer instead of one with an input of 1 KiB.
    let input: Arc<[u8]> = vec![0; INPUT_BYTES].into();
    let job = || task(Arc::clone(&input));
    let bare_ours = flood(pace, job, |task| runtime.try_spawn(task))?;
    let job = || boxed(Arc::clone(&input));
    let bare_theirs = flood(pace, job, |job| pool.try_spawn(job))?;
    bounds(suite, runtime.shutdown().queue_depth_max, [&ours, &theirs]);
    let name = "10x overload, memory held at most, inputs not counted";
    let kib = [kib(&[bare_ours]), kib(&[bare_theirs])];
    suite.record(Row::new(name, "KiB", kib[0]).against(PEER, kib[1]));
    submissions(suite, &ours, &theirs, &nobody);
    Ok(())
}

/// What must never be passed.
fn bounds(suite: &mut Suite, depth_max: usize, [ours, theirs]: [&[Flood]; 2]) {
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let depth = depth_max as f64;
    suite.record(
        Row::new("10x overload, highest queue depth", "tasks", depth)
            .against(PEER, 128.0)
            .goal(Goal::OursAtMost(99.0)),
    );
    suite.record(
        Row::new("10x overload, memory held at most", "KiB", kib(ours))
            .against(PEER, kib(theirs))
            .goal(Goal::RatioAtMost(2.0)),
    );
}

/// What the submitter waits.
fn submissions(suite: &mut Suite, ours: &[Flood], theirs: &[Flood], nobody: &[Flood]) {
    let floods = ours.len();
    let longest: Figure = |flood| flood.longest_us;
    let name = format!("10x overload, longest submit, median of {floods} floods");
    let [ours_us, theirs_us, nobody_us] = [ours, theirs, nobody].map(|of| median(of, longest));
    suite.record(
        Row::new(&name, "us", ours_us)
            .against(PEER, theirs_us)
            .goal(Goal::OursAtMost(20.0)),
    );
    suite.record(Row::new(&name, "us", ours_us).against("no submission", nobody_us));
    let most = |of: &[Flood]| sorted(of, longest)[of.len() - 1];
    let name = format!("10x overload, longest submit of {floods} floods");
    for (peer, floods) in [(PEER, theirs), ("no submission", nobody)] {
        suite.record(Row::new(&name, "us", most(ours)).against(peer, most(floods)));
    }
    let (p999, p9999): (Figure, Figure) = (|flood| flood.p999_us, |flood| flood.p9999_us);
    for (name, quantile) in [("p999", p999), ("p9999", p9999)] {
        let name = format!("10x overload, submit {name}");
        let (ours, theirs) = (median(ours, quantile), median(theirs, quantile));
        suite.record(Row::new(&name, "us", ours).against(PEER, theirs));
    }
}

fn sorted(floods: &[Flood], figure: Figure) -> Vec<f64> {
    let mut figures: Vec<f64> = floods.iter().map(figure).collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures
}

fn median(floods: &[Flood], figure: Figure) -> f64 {
    sorted(floods, figure)[floods.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn kib(floods: &[Flood]) -> f64 {
    let most = floods.iter().map(|flood| flood.bytes).max();
    most.unwrap_or(0) as f64 / 1024.0
}

fn task<I>(input: I) -> Task<impl FnOnce(&TaskContext<'_>) + Send + 'static>
where
    I: AsRef<[u8]> + Send + 'static,
{
    Task::new("work", move |_: &TaskContext<'_>| serve(input.as_ref()))
}

fn boxed(input: impl AsRef<[u8]> + Send + 'static) -> Box<dyn FnOnce() + Send> {
    Box::new(move || serve(input.as_ref()))
}

fn serve(input: &[u8]) {
    assert_eq!(input.len(), INPUT_BYTES);
    std::thread::sleep(SERVICE);
}

/// As long as a submission takes, so that it is met as often.
fn read_clocks() -> Result<(), ()> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_nanos(300) {}
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

/// Submits at a fixed pace what `prepare` makes before each submission; what comes back is dropped
/// after its time was taken. Times count from the first refusal: before it the queue fills, and the
/// first submissions wake workers that sleep.
fn flood<I, R>(
    pace: Pace,
    mut prepare: impl FnMut() -> I,
    mut submit: impl FnMut(I) -> Result<(), R>,
) -> Result<Flood, BenchError> {
    let mut times = Vec::with_capacity(pace.count);
    memory::start_peak();
    let start = Instant::now();
    let mut taken = 0;
    let mut is_full = !pace.overfull;
    for i in 0..pace.count {
        let due = start + pace.gap * u32::try_from(i)?;
        let input = prepare();
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let from = Instant::now();
        let submitted = submit(input);
        let took = from.elapsed();
        if is_full {
            times.push(took);
        }
        is_full |= submitted.is_err();
        taken += usize::from(submitted.is_ok());
    }
    let bytes = memory::peak();
    if taken == 0 || times.is_empty() {
        return Err(format!("overload: {taken} of {} tasks got in", pace.count).into());
    }
    Ok(Flood {
        p9999_us: quantile_ns(&mut times, 0.9999) / 1e3,
        p999_us: quantile_ns(&mut times, 0.999) / 1e3,
        longest_us: quantile_ns(&mut times, 1.0) / 1e3,
        bytes,
    })
}
