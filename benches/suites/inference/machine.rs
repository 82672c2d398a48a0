//! What this machine can do, and how much memory the process took.

use neurectomy_bench::{BenchError, Goal, Row, Suite};
use ryot_inference::Model;
use ryot_inference::gguf::GgufHeader;
use std::fs::File;
use std::hint::black_box;
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

/// Reads far more memory than the caches hold, on every core, in pages of 4 KiB; gives bytes a
/// second.
pub(crate) fn bounds(suite: &mut Suite) -> f64 {
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
    let bound = (threads * words * 8) as f64 / best;
    suite.record(Row::new("read bandwidth, all cores", "GB/s", bound / 1e9));
    bound
}

/// How fast weights pass while one stream decodes, beside plain reading.
pub(crate) fn decode_bandwidth(
    suite: &mut Suite,
    model: &Model,
    (file, name): (&Path, &str),
    bound: f64,
) -> Result<(), BenchError> {
    let bytes = std::fs::metadata(file)?.len();
    let header = GgufHeader::read(BufReader::new(File::open(file)?), bytes)?;
    // only a row of the embeddings is read, unless they are the output matrix, too
    let table = header
        .tensor("output.weight")
        .and(header.tensor("token_embd.weight"));
    let all: u64 = header.tensors().iter().map(|tensor| tensor.bytes).sum();
    let bytes = all - table.map_or(0, |table| table.bytes);
    let tokens: Vec<u32> = (0..).take(suite.size(2, 64)).collect();
    let mut best = f64::INFINITY;
    for _ in 0..suite.size(1, 4) {
        let mut state = model.new_state();
        let start = Instant::now();
        for token in tokens.chunks(1) {
            model.forward(&mut state, token)?;
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let rate = (bytes * tokens.len() as u64) as f64 / best;
    suite.record(
        Row::new(&format!("{name} decode reads weights"), "GB/s", rate / 1e9)
            .against("reading alone", bound / 1e9)
            .goal(Goal::RatioAtLeast(0.85)),
    );
    Ok(())
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
