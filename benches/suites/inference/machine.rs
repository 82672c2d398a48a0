//! What this machine can do, and how much memory the process took.

use neurectomy_bench::{Row, Suite};
use std::hint::black_box;
use std::time::Instant;

/// Reads far more memory than the caches hold, on every core: decoding cannot be faster than this
/// lets the weights pass.
pub(crate) fn bounds(suite: &mut Suite) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let words = suite.size(1 << 12, 1 << 26);
    let parts: Vec<Vec<u64>> = (0..threads).map(|_| vec![1; words]).collect();
    let mut best = f64::INFINITY;
    for _ in 0..suite.size(1, 5) {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for part in &parts {
                scope.spawn(|| black_box(part.iter().fold(0_u64, |sum, word| sum ^ word)));
            }
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    let bytes = (threads * words * 8) as f64;
    suite.record(Row::new(
        "read bandwidth, all cores",
        "GB/s",
        bytes / best / 1e9,
    ));
}

/// Resets the process' peak of resident memory; gives what is resident now, in bytes. `None` where
/// the system keeps no such figure.
pub(crate) fn watch_peak_memory() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    status_bytes("VmRSS:")
}

/// Bytes by which the peak since [`watch_peak_memory`] exceeds what was resident then.
pub(crate) fn grown(resident: u64) -> Option<u64> {
    Some(status_bytes("VmHWM:")?.saturating_sub(resident))
}

fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
