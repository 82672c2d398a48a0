//! Reopening after a crash, memory per key, and space after churn.

use std::path::{Path, PathBuf};
use std::time::Instant;

use neurectomy_bench::{BenchError, Goal, Row, Suite};
use sigma_vault::{Durability, Options, Vault};

use crate::peers::FjallStore;
use crate::stores::{Ours, Promise, Store, entry, key, value};

/// Copies of the files of open stores are what a crash leaves.
#[expect(clippy::cast_precision_loss, reason = "a count")]
pub(crate) fn reopen(suite: &mut Suite) -> Result<(), BenchError> {
    let keys = suite.size(1000, 1_000_000);
    let dir = tempfile::tempdir()?;
    let crashed = tempfile::tempdir()?;
    let ours = Ours::open(dir.path(), Promise::Buffered)?;
    let fjall = FjallStore::open(dir.path(), Promise::Buffered)?;
    for number in 0..keys as u64 {
        let one = [entry(number, 100)];
        ours.put(&one)?;
        fjall.put(&one)?;
    }
    ours.vault.sync()?;
    let copies: Vec<PathBuf> = (0..3).map(|n| crashed.path().join(n.to_string())).collect();
    for to in &copies {
        copy(&dir.path().join("fjall"), &to.join("fjall"))?;
        copy(&dir.path().join("vault"), &to.join("vault"))?;
    }
    drop((ours, fjall));
    let (mut times, mut peers) = (Vec::new(), Vec::new());
    let mut behind = 0;
    for dir in &copies {
        let start = Instant::now();
        let vault = Vault::open(dir.join("vault"), Options::new())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let stats = vault.stats();
        if stats.keys != keys as u64 || vault.get(&key(77))? != Some(value(77, 100)) {
            return Err("the reopened vault is not what was written".into());
        }
        behind = stats.recovery.records;
        drop(vault);
        let start = Instant::now();
        let fjall = FjallStore::open(dir, Promise::Written)?;
        peers.push(start.elapsed().as_secs_f64() * 1e3);
        drop(fjall);
    }
    times.sort_by(f64::total_cmp);
    peers.sort_by(f64::total_cmp);
    suite.record(
        Row::new("reopen 1M keys after a crash", "ms", times[1])
            .against("fjall", peers[1])
            .goal(Goal::OursAtMost(50.0)),
    );
    let measure = "records behind the index snapshot then";
    suite.record(Row::new(measure, "records", behind as f64));
    Ok(())
}

/// The index alone by its own count, keys are not in it, so short values do; and all that the
/// process has beside mapped files, by the system's count.
#[expect(clippy::cast_precision_loss, reason = "bytes per key")]
pub(crate) fn memory(suite: &mut Suite) -> Result<(), BenchError> {
    let dir = tempfile::tempdir()?;
    let before = process_bytes();
    let ours = Ours::open(dir.path(), Promise::Buffered)?;
    let mut per_key: f64 = 0.0;
    let keys = suite.size(2000, 5_000_000) as u64;
    for number in 0..keys {
        ours.put(&[entry(number, 8)])?;
        if (number + 1) % (keys / 20) == 0 {
            let stats = ours.vault.stats();
            per_key = per_key.max(stats.index_bytes as f64 / stats.keys as f64);
        }
    }
    let measure = "memory per key, the most on the way to 5M keys";
    suite.record(Row::new(measure, "B", per_key).goal(Goal::OursAtMost(20.0)));
    if let (Some(before), Some(after)) = (before, process_bytes()) {
        let measure = "memory of the process per key at 5M keys";
        suite.record(Row::new(measure, "B", (after - before) / keys as f64));
    }
    Ok(())
}

/// Memory of this process that no file stands behind, where the system tells.
fn process_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024.0)
}

fn copy(from: &Path, to: &Path) -> Result<(), BenchError> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
            // What a crash leaves is on the device.
            std::fs::File::open(target)?.sync_all()?;
        }
    }
    Ok(())
}

/// Ten rounds of overwriting everything, compacting all the while.
pub(crate) fn churn(suite: &mut Suite) -> Result<(), BenchError> {
    let keys = suite.size(100, 50_000) as u64;
    let dir = tempfile::tempdir()?;
    let vault = Vault::open(dir.path(), Options::new().segment_bytes(8 << 20))?;
    let mut times = Vec::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<(), BenchError> {
        let compactor = scope.spawn({
            let (vault, done) = (&vault, &done);
            move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    vault.compact().map_err(|error| error.to_string())?;
                    std::thread::yield_now();
                }
                Ok::<_, String>(())
            }
        });
        let result = (|| -> Result<(), BenchError> {
            for round in 0..10 {
                for number in 0..keys {
                    let value = value(number + round, 1024);
                    let start = Instant::now();
                    vault.put(&key(number), &value, Durability::Written)?;
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
            Ok(())
        })();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        compactor.join().map_err(|_| "the compactor panicked")??;
        result
    })?;
    vault.compact()?;
    let stats = vault.stats();
    vault.close()?;
    times.sort_by(f64::total_cmp);
    for (name, per_mille, goal) in [
        ("p50", 500, None),
        ("p99", 990, Some(Goal::OursAtMost(5.0))),
        ("p999", 999, None),
    ] {
        let measure = format!("put 1 KB while compacting, {name}");
        let row = Row::new(&measure, "ms", times[times.len() * per_mille / 1000]);
        suite.record(match goal {
            Some(goal) => row.goal(goal),
            None => row,
        });
    }
    suite.record(
        Row::new(
            "space after tenfold churn",
            "per live byte",
            stats.space_amplification(),
        )
        .goal(Goal::OursAtMost(1.3)),
    );
    suite.record(Row::new(
        "device bytes per record byte, compaction included",
        "B/B",
        stats.write_amplification(),
    ));
    Ok(())
}

/// Blocks on the device: reserved but unused ranges count where they take space.
#[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
pub(crate) fn folder_bytes(path: &Path) -> Result<f64, BenchError> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        return Ok((metadata.blocks() * 512) as f64);
    }
    let mut sum = 0.0;
    for entry in std::fs::read_dir(path)? {
        sum += folder_bytes(&entry?.path())?;
    }
    Ok(sum)
}
