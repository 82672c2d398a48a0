//! The fault campaign: crashes, failing disks and rot by the seed, judged by the model that the
//! tests use, and real processes killed with SIGKILL.
//!
//! `cargo run --release -p sigma-vault --example campaign -- --help`

mod kinds;
mod options;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kinds::{KINDS, Kind, Tally};
use options::Options;
use support::restarts;

/// Findings shown for each kind; all are counted.
const SHOWN_MAX: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, dir] = arguments.as_slice()
        && word == restarts::CHILD
    {
        restarts::write_until_killed(dir.as_ref());
    }
    let options = match Options::parse(&arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::HELP);
            for kind in &KINDS {
                println!("  {:<13} {}", kind.name, kind.what);
            }
            println!("  {:<13} {}", restarts::KIND, restarts::WHAT);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("{message}; try --help");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let tallies = simulate(&options);
    let mut rows: Vec<(&str, Tally)> = KINDS.iter().map(|kind| kind.name).zip(tallies).collect();
    rows.retain(|(name, _)| options.wants(name));
    if options.wants(restarts::KIND) {
        rows.push((restarts::KIND, restart(&options)));
    }
    report(&rows, began.elapsed())
}

/// Runs seed after seed, every wanted kind of each, until the seeds, the time or the goal is used up.
fn simulate(options: &Options) -> Vec<Tally> {
    let wanted: Vec<(usize, &Kind)> = (KINDS.iter().enumerate())
        .filter(|(_, kind)| options.wants(kind.name))
        .collect();
    let tallies = Mutex::new(
        (0..KINDS.len())
            .map(|_| Tally::default())
            .collect::<Vec<_>>(),
    );
    if wanted.is_empty() {
        return tallies.into_inner().unwrap_or_else(PoisonError::into_inner);
    }
    let (next, crashes, finished) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let over = || {
        crashes.load(Ordering::Relaxed) >= options.crashes
            || options
                .seconds
                .is_some_and(|limit| began.elapsed() >= limit)
    };
    // Panics of the vault become findings; their text would only hide the progress line.
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads)
            .map(|_| {
                scope.spawn(|| {
                    while !over() {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let (turn, which) = (
                            number / wanted.len() as u64,
                            usize::try_from(number % wanted.len() as u64).unwrap_or(0),
                        );
                        if turn >= options.seeds {
                            return;
                        }
                        let (slot, kind) = wanted[which];
                        let done = try_one(kind, options.first_seed + turn, options);
                        if kind.crash {
                            crashes.fetch_add(done.tried, Ordering::Relaxed);
                        }
                        let mut all = tallies.lock().unwrap_or_else(PoisonError::into_inner);
                        let tally = &mut all[slot];
                        tally.seeds += 1;
                        tally.tried += done.tried;
                        tally.refused += done.refused;
                        tally.findings.extend(done.findings);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !finished.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs(1));
                let all = tallies.lock().unwrap_or_else(PoisonError::into_inner);
                let findings: usize = all.iter().map(|tally| tally.findings.len()).sum();
                let seed = options.first_seed + next.load(Ordering::Relaxed) / wanted.len() as u64;
                eprintln!(
                    "{:>5} s  seed {seed}  {} crashes  {findings} findings",
                    began.elapsed().as_secs(),
                    crashes.load(Ordering::Relaxed)
                );
            }
        });
        for worker in workers {
            let _ = worker.join();
        }
        finished.store(true, Ordering::Relaxed);
    });
    let _ = std::panic::take_hook();
    tallies.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn try_one(kind: &Kind, seed: u64, options: &Options) -> Tally {
    let mut tally = Tally::default();
    let tried = catch_unwind(AssertUnwindSafe(|| {
        (kind.try_seed)(seed, options.disk, &mut tally);
    }));
    if let Err(panic) = tried {
        let text = (panic.downcast_ref::<String>().map(String::as_str))
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no message");
        tally.findings.push(format!("seed {seed}: panic: {text}"));
    }
    let again = format!("  [--kinds {} --first-seed {seed} --seeds 1]", kind.name);
    for finding in &mut tally.findings {
        finding.push_str(&again);
    }
    tally
}

fn restart(options: &Options) -> Tally {
    let mut tally = Tally::default();
    let Ok(program) = std::env::current_exe() else {
        tally.findings.push("no path of this program".to_owned());
        return tally;
    };
    let dir = options.dir.join(format!("campaign-{}", std::process::id()));
    let mut spawn = |dir: &std::path::Path| {
        std::process::Command::new(&program)
            .args([restarts::CHILD.as_ref(), dir.as_os_str()])
            .stdout(std::process::Stdio::piped())
            .spawn()
    };
    let (began, mut said) = (Instant::now(), Instant::now());
    let mut progress = |restarts: u64, acknowledged: u64| {
        if said.elapsed() >= Duration::from_secs(1) {
            said = Instant::now();
            let seconds = began.elapsed().as_secs();
            eprintln!("{seconds:>5} s  {restarts} restarts  {acknowledged} acknowledged writes");
        }
    };
    let seed = options.first_seed;
    match restarts::campaign(&dir, seed, options.restarts, &mut spawn, &mut progress) {
        Ok(done) => {
            tally.tried = done.restarts;
            println!(
                "kill -9: {} restarts, {} reopenings judged, {} writes acknowledged, {} of {} kills hit an open vault",
                done.restarts, done.judged, done.acknowledged, done.kills_at_work, done.restarts
            );
            let _ = std::fs::remove_dir_all(&dir);
        }
        Err(what) => tally.findings.push(format!(
            "seed {seed}: {what}; the vault is kept in {}",
            dir.display()
        )),
    }
    tally.seeds = 1;
    tally
}

fn report(rows: &[(&str, Tally)], took: Duration) -> ExitCode {
    println!();
    println!("| kind | seeds | crashes or damages | refused reads | findings |");
    println!("|---|---:|---:|---:|---:|");
    let (mut tried, mut findings) = (0, 0);
    for (name, tally) in rows {
        tried += tally.tried;
        findings += tally.findings.len();
        println!(
            "| {name} | {} | {} | {} | {} |",
            tally.seeds,
            tally.tried,
            tally.refused,
            tally.findings.len()
        );
    }
    println!("| all | | {tried} | | {findings} |");
    println!("\n{:.1} s", took.as_secs_f64());
    for (name, tally) in rows {
        for finding in tally.findings.iter().take(SHOWN_MAX) {
            println!("FINDING {name}: {finding}");
        }
        if tally.findings.len() > SHOWN_MAX {
            println!("FINDING {name}: {} more", tally.findings.len() - SHOWN_MAX);
        }
    }
    if findings > 0 || tried == 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
