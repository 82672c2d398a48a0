//! Hundreds of clients with random requests, for a moment or for minutes.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ryot_inference::{
    Engine, EngineConfig, FinishReason, InferError, LoadOptions, MemoryPrefixStore, Model,
    ServeConfig, Server,
};

use crate::fixture::Noise;
use crate::{letters, request, toy};

/// What a client saw of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    Finished,
    Cancelled,
    Late,
    Dropped,
    Rejected,
}

/// One client: submits a random request and reads, cancels, drops or is late.
fn client(server: &Server, noise: &mut Noise) -> (Seen, Vec<Duration>) {
    let prompt = format!("{}{}", letters(20), letters(noise.below(80)));
    let mut asked = request(&prompt).max_tokens(1 + noise.below(60));
    let kind = noise.below(10);
    if kind == 0 {
        asked = asked.deadline(Duration::from_micros(noise.below(3000) as u64));
    }
    let mut ticket = match server.submit(asked.priority(i32::try_from(kind % 3).unwrap())) {
        Ok(ticket) => ticket,
        Err(InferError::QueueFull { depth, limit }) => {
            assert!(depth >= limit);
            return (Seen::Rejected, Vec::new());
        }
        Err(error) => panic!("{error}"),
    };
    let taken = noise.below(20);
    if kind <= 3 {
        for _ in 0..taken {
            if ticket.next().is_none() {
                break;
            }
        }
    }
    match kind {
        1 => ticket.cancel(),
        2 => {
            drop(ticket);
            return (Seen::Dropped, Vec::new());
        }
        3 => thread::sleep(Duration::from_micros(noise.below(2000) as u64)),
        _ => {}
    }
    let done = ticket.finish().unwrap();
    assert_eq!(done.tokens.len(), done.metrics.generated_tokens);
    let seen = match done.finish_reason {
        FinishReason::Cancelled => Seen::Cancelled,
        FinishReason::DeadlineExceeded => Seen::Late,
        _ => Seen::Finished,
    };
    (seen, done.metrics.inter_token)
}

#[test]
fn two_hundred_streams_are_all_accounted_for() {
    const QUEUE: usize = 120;
    let store = Arc::new(MemoryPrefixStore::new(1 << 20));
    let engine = toy(EngineConfig::new()
        .prefix_store(store)
        .prefix_block_tokens(16));
    let config = ServeConfig::new().queue_max(QUEUE).kv_bytes_max(1 << 20);
    let server = engine.serve(config.prefill_chunk_tokens(32)).unwrap();
    let seen: Vec<Seen> = thread::scope(|scope| {
        let clients: Vec<_> = (0..200u64)
            .map(|seed| {
                let server = &server;
                scope.spawn(move || client(server, &mut Noise(seed)).0)
            })
            .collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    });
    server.drain();
    let count = |what: Seen| seen.iter().filter(|s| **s == what).count() as u64;
    let stats = server.stats();
    assert_eq!(stats.submitted + stats.rejected, 200);
    assert_eq!(stats.rejected, count(Seen::Rejected));
    assert_eq!(stats.deadline_exceeded, count(Seen::Late));
    // a dropped request may have been at its end already
    let ended = stats.finished + stats.cancelled;
    let expected = [Seen::Finished, Seen::Cancelled, Seen::Dropped].map(count);
    assert_eq!(ended, expected.iter().sum::<u64>());
    assert!(stats.finished >= count(Seen::Finished) && stats.finished > 50);
    assert_eq!(stats.failed, 0);
    assert!(stats.waiting_peak <= QUEUE, "{stats:?}");
    assert!(stats.kv_bytes_reserved_peak <= 1 << 20);
    assert_eq!((stats.running, stats.waiting), (0, 0));
    assert_eq!((stats.kv_bytes, stats.kv_bytes_reserved), (0, 0));
}

/// Resident memory of this process in KiB, where the system says.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Times between tokens, counted by powers of `2^(1/4)` microseconds.
struct Gaps(Mutex<Vec<u64>>);

impl Gaps {
    #[expect(clippy::cast_possible_truncation, reason = "a small positive number")]
    fn add(&self, gaps: &[Duration]) {
        let mut counts = self.0.lock().unwrap();
        for gap in gaps {
            let at = 4.0 * (gap.as_secs_f64() * 1e6).max(1.0).log2();
            counts[(at as usize).min(127)] += 1;
        }
    }

    /// Upper edge of the bucket in which the quantile lies.
    fn quantile_ms(&self, q: f64) -> f64 {
        let counts = self.0.lock().unwrap();
        let wanted = q * counts.iter().sum::<u64>() as f64;
        let mut seen = 0;
        let mut reached = counts.iter().take_while(|n| {
            seen += **n;
            (seen as f64) < wanted
        });
        let edge = reached.by_ref().count() + 1;
        2f64.powf(edge as f64 / 4.0) / 1e3
    }
}

/// Clients come and go for as long as asked: memory must not grow.
///
/// `RYOT_SOAK_MINUTES=30 cargo test --release -p ryot-inference --test serving -- --ignored
/// --nocapture soak`; with `NEURECTOMY_GGUF=FILE` on that model, else on the toy.
#[test]
#[ignore = "runs for RYOT_SOAK_MINUTES minutes"]
fn soak() {
    let minutes = std::env::var("RYOT_SOAK_MINUTES").map_or(1.0, |m| m.parse::<f64>().unwrap());
    let model = match std::env::var_os("NEURECTOMY_GGUF") {
        Some(path) => Model::load(path, LoadOptions::new()).unwrap(),
        None => Model::toy(3).unwrap(),
    };
    let store = Arc::new(MemoryPrefixStore::new(16 << 20));
    let config = EngineConfig::new()
        .prefix_store(store.clone())
        .prefix_block_tokens(16);
    let server = Engine::new(model, config)
        .unwrap()
        .serve(ServeConfig::new().queue_max(160))
        .unwrap();
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let warm = Instant::now() + Duration::from_secs_f64(minutes * 6.0);
    let times = Gaps(Mutex::new(vec![0; 128]));
    // What the store of prefixes takes until it is full is no leak.
    let kib = || Some(resident_kib()?.saturating_sub(store.bytes() as u64 / 1024));
    let mut start_kib = kib();
    thread::scope(|scope| {
        for seed in 0..200u64 {
            let (server, times) = (&server, &times);
            scope.spawn(move || {
                let mut noise = Noise(seed);
                while Instant::now() < end {
                    let (seen, gaps) = client(server, &mut noise);
                    times.add(&gaps);
                    if seen == Seen::Rejected {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            });
        }
        thread::sleep(warm.saturating_duration_since(Instant::now()));
        start_kib = kib();
    });
    server.drain();
    let (stats, end_kib) = (server.stats(), kib());
    println!(
        "{minutes} minutes, {} requests, {} tokens",
        stats.submitted, stats.generated_tokens
    );
    println!(
        "resident KiB beside the store of prefixes: {start_kib:?} after a tenth of the time, {end_kib:?} at the end, \
         when the store held {} KiB",
        store.bytes() / 1024
    );
    println!(
        "inter-token p50 <= {:.2} ms, p99 <= {:.2} ms",
        times.quantile_ms(0.5),
        times.quantile_ms(0.99)
    );
    println!("{stats:?}");
    let ended = stats.finished + stats.cancelled + stats.deadline_exceeded;
    assert_eq!((stats.submitted, stats.failed), (ended, 0));
    assert!(stats.waiting_peak <= 160);
    assert_eq!((stats.kv_bytes, stats.running, stats.waiting), (0, 0, 0));
    if let (Some(start), Some(end)) = (start_kib, end_kib) {
        assert!(
            end < start + start / 10 + 8192,
            "{start} KiB grew to {end} KiB"
        );
    }
}
