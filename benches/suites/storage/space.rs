//! Reopening after a crash, memory per key, and space after churn.

use std::path::Path;
use std::time::Instant;

use neurectomy_bench::{BenchError, Goal, Row, Suite};
use sigma_vault::{Durability, Options, Vault};

use crate::peers::FjallStore;
use crate::stores::{Ours, Promise, Store, entry, key, value};

pub(crate) fn run(suite: &mut Suite) -> Result<(), BenchError> {
    reopen(suite)?;
    churn(suite)
}

/// Copies of the files of open stores are what a crash leaves.
#[expect(clippy::cast_precision_loss, reason = "bytes per key")]
fn reopen(suite: &mut Suite) -> Result<(), BenchError> {
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
    let stats = ours.vault.stats();
    suite.record(
        Row::new(
            "memory per key",
            "B",
            stats.index_bytes as f64 / stats.keys as f64,
        )
        .goal(Goal::OursAtMost(20.0)),
    );
    drop_after_copy(fjall, dir.path(), crashed.path(), "fjall")?;
    drop_after_copy(ours, dir.path(), crashed.path(), "vault")?;
    let start = Instant::now();
    let vault = Vault::open(crashed.path().join("vault"), Options::new())?;
    let ours = start.elapsed().as_secs_f64() * 1e3;
    if vault.stats().keys != keys as u64 || vault.get(&key(77))? != Some(value(77, 100)) {
        return Err("the reopened vault is not what was written".into());
    }
    let start = Instant::now();
    let fjall = FjallStore::open(crashed.path(), Promise::Written)?;
    let theirs = start.elapsed().as_secs_f64() * 1e3;
    drop(fjall);
    suite.record(
        Row::new("reopen 1M keys after a crash", "ms", ours)
            .against("fjall", theirs)
            .goal(Goal::OursAtMost(50.0)),
    );
    Ok(())
}

fn drop_after_copy(
    store: impl Store,
    from: &Path,
    to: &Path,
    name: &str,
) -> Result<(), BenchError> {
    copy(&from.join(name), &to.join(name))?;
    drop(store);
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), BenchError> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Ten rounds of overwriting everything, compacting all the while.
fn churn(suite: &mut Suite) -> Result<(), BenchError> {
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
    let p99 = times[times.len() * 99 / 100];
    suite.record(Row::new("put 1 KB while compacting, p99", "ms", p99).goal(Goal::OursAtMost(5.0)));
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
