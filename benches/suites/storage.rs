//! Suite `storage`: sigma-vault beside fjall and redb, equal durability, same keys and values.
//!
//! Values are half random and half zeros, so a store that compresses can. Peers at their defaults:
//! fjall with its own LZ4, redb with immediate durability. "Durable" means that the data is on the
//! device when the call returns: `Durability::Synced`, `PersistMode::SyncAll`, a redb commit.

use criterion::Throughput;
use fjall::{Database as Fjall, Keyspace, KeyspaceCreateOptions, PersistMode};
use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::suite::Work;
use neurectomy_bench::{BenchError, Comparison, Row, Suite};
use redb::{Database as Redb, ReadableDatabase as _, TableDefinition};
use sigma_vault::{Batch, Durability, Options, Vault};
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("t");
const VALUE_BYTES: usize = 1024;
const BATCH: usize = 100;

fn main() -> ExitCode {
    neurectomy_bench::run("storage", |suite| {
        let dir = tempfile::tempdir()?;
        let stores = Stores::open(dir.path())?;
        durable_put(suite, &stores)?;
        durable_batch(suite, &stores)?;
        load_and_read(suite, &stores)?;
        space_and_reopen(suite, stores, dir.path())
    })
}

struct Stores {
    vault: Vault,
    fjall: Fjall,
    keyspace: Keyspace,
    redb: Redb,
}

impl Stores {
    fn open(dir: &Path) -> Result<Self, BenchError> {
        let fjall = Fjall::builder(dir.join("fjall")).open()?;
        Ok(Self {
            vault: Vault::open(dir.join("vault"), Options::new())?,
            keyspace: fjall.keyspace("t", KeyspaceCreateOptions::default)?,
            fjall,
            redb: Redb::create(dir.join("redb"))?,
        })
    }

    fn redb_put(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), BenchError> {
        let transaction = self.redb.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in entries {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn fjall_put(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), BenchError> {
        let mut batch = self.fjall.batch();
        for (key, value) in entries {
            batch.insert(&self.keyspace, key.as_slice(), value.as_slice());
        }
        batch.commit()?;
        self.fjall.persist(PersistMode::SyncAll)?;
        Ok(())
    }

    fn vault_put(&self, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), BenchError> {
        let mut batch = Batch::new();
        for (key, value) in entries {
            batch.put(key, value);
        }
        self.vault.write(batch, Durability::Synced)?;
        Ok(())
    }
}

fn entries(count: usize, seed: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut seeded = SplitMix64::new(seed);
    (0..count)
        .map(|_| {
            let key = [seeded.bits().to_le_bytes(), seeded.bits().to_le_bytes()].concat();
            let mut value = vec![0; VALUE_BYTES];
            for word in value[..VALUE_BYTES / 2].chunks_exact_mut(8) {
                word.copy_from_slice(&seeded.bits().to_le_bytes());
            }
            (key, value)
        })
        .collect()
}

/// Times `count` calls of each store in turn, so that a slow moment of the disk meets all three.
fn alternate(
    count: usize,
    mut calls: [&mut dyn FnMut(usize) -> Result<(), BenchError>; 3],
) -> Result<[Vec<Duration>; 3], BenchError> {
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..count {
        for (call, times) in calls.iter_mut().zip(&mut times) {
            let start = Instant::now();
            call(round)?;
            times.push(start.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    Ok(times)
}

fn record_quantiles(suite: &mut Suite, measure: &str, times: &[Vec<Duration>; 3]) {
    let [ours, fjall, redb] = times;
    let millis =
        |times: &[Duration], q: usize| times[(times.len() - 1) * q / 100].as_secs_f64() * 1e3;
    for (name, q) in [("p50", 50), ("p99", 99)] {
        for (peer, theirs) in [("fjall", fjall), ("redb", redb)] {
            suite.record(
                Row::new(&format!("{measure}, {name}"), "ms", millis(ours, q))
                    .against(peer, millis(theirs, q)),
            );
        }
    }
}

fn durable_put(suite: &mut Suite, stores: &Stores) -> Result<(), BenchError> {
    let entries = entries(suite.size(3, 1000), 1);
    let times = alternate(
        entries.len(),
        [
            &mut |i| {
                let (key, value) = &entries[i];
                Ok(stores.vault.put(key, value, Durability::Synced)?)
            },
            &mut |i| stores.fjall_put(&entries[i..=i]),
            &mut |i| stores.redb_put(&entries[i..=i]),
        ],
    )?;
    check(stores, &entries)?;
    record_quantiles(suite, "durable put 1 KB, 1 thread", &times);
    Ok(())
}

fn durable_batch(suite: &mut Suite, stores: &Stores) -> Result<(), BenchError> {
    let entries = entries(suite.size(2, 200) * BATCH, 2);
    let batch = |i: usize| &entries[i * BATCH..(i + 1) * BATCH];
    let times = alternate(
        entries.len() / BATCH,
        [
            &mut |i| stores.vault_put(batch(i)),
            &mut |i| stores.fjall_put(batch(i)),
            &mut |i| stores.redb_put(batch(i)),
        ],
    )?;
    check(stores, &entries)?;
    record_quantiles(suite, "durable batch of 100 x 1 KB", &times);
    Ok(())
}

fn check(stores: &Stores, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), BenchError> {
    let transaction = stores.redb.begin_read()?;
    let table = transaction.open_table(TABLE)?;
    for (key, value) in entries {
        let vault = stores.vault.get(key)?;
        let fjall = stores.keyspace.get(key)?;
        let redb = table.get(key.as_slice())?;
        let equal = vault.as_deref() == Some(value.as_slice())
            && fjall.as_deref() == Some(value.as_slice())
            && redb.is_some_and(|found| found.value() == value.as_slice());
        if !equal {
            return Err("a store returned another value than was put".into());
        }
    }
    Ok(())
}

fn load_and_read(suite: &mut Suite, stores: &Stores) -> Result<(), BenchError> {
    let entries = entries(suite.size(500, 50_000), 3);
    for (key, value) in &entries {
        stores.vault.put(key, value, Durability::Buffered)?;
        stores.keyspace.insert(key, value)?;
    }
    stores.vault.sync()?;
    stores.redb_put(&entries)?;
    check(stores, &entries)?;
    let absent: Vec<Vec<u8>> = self::entries(entries.len(), 4)
        .into_iter()
        .map(|(k, _)| k)
        .collect();
    let present: Vec<Vec<u8>> = entries.iter().map(|(key, _)| key.clone()).collect();
    let transaction = stores.redb.begin_read()?;
    let table = transaction.open_table(TABLE)?;
    for (name, keys, expected) in [
        ("get_hit", &present, present.len()),
        ("get_absent", &absent, 0),
    ] {
        let mut group = suite.criterion().benchmark_group(name);
        group.throughput(Throughput::Elements(keys.len() as u64));
        group.bench_function("sigma-vault", |b| {
            b.iter(|| {
                count(keys, expected, |key| {
                    stores.vault.get(key).expect("checked").is_some()
                })
            });
        });
        group.bench_function("fjall", |b| {
            b.iter(|| {
                count(keys, expected, |key| {
                    stores.keyspace.get(key).expect("checked").is_some()
                })
            });
        });
        group.bench_function("redb", |b| {
            b.iter(|| {
                count(keys, expected, |key| {
                    // Reads a byte: redb hands out a guard, and an untouched page is no read.
                    let found = table.get(key).expect("checked");
                    found.is_some_and(|value| black_box(value.value()).len() == VALUE_BYTES)
                })
            });
        });
        group.finish();
        for peer in ["fjall", "redb"] {
            suite.compare(Comparison {
                measure: &format!("{name} 1 KB, checksum verified by ours"),
                group: name,
                ours: "sigma-vault",
                peer,
                work: Work::Operations(keys.len() as u64),
                goal: None,
            });
        }
    }
    Ok(())
}

fn count(keys: &[Vec<u8>], expected: usize, mut found: impl FnMut(&[u8]) -> bool) {
    let hits = keys.iter().filter(|key| found(black_box(key))).count();
    assert_eq!(
        hits, expected,
        "a read missed a key or found one that was never put"
    );
}

fn space_and_reopen(suite: &mut Suite, stores: Stores, dir: &Path) -> Result<(), BenchError> {
    let Stores {
        vault,
        fjall,
        keyspace,
        redb,
    } = stores;
    vault.close()?;
    fjall.persist(PersistMode::SyncAll)?;
    drop((keyspace, fjall, redb));
    let size = |name: &str| folder_bytes(&dir.join(name)).map(|bytes| bytes / 1e6);
    for peer in ["fjall", "redb"] {
        suite.record(
            Row::new("space after all writes", "MB", size("vault")?).against(peer, size(peer)?),
        );
    }
    let seconds = |open: &dyn Fn() -> Result<(), BenchError>| -> Result<f64, BenchError> {
        let start = Instant::now();
        open()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let ours = seconds(&|| {
        Vault::open(dir.join("vault"), Options::new())?;
        Ok(())
    })?;
    let fjall = seconds(&|| {
        Fjall::builder(dir.join("fjall")).open()?;
        Ok(())
    })?;
    let redb = seconds(&|| {
        Redb::open(dir.join("redb"))?;
        Ok(())
    })?;
    suite.record(Row::new("reopen", "ms", ours).against("fjall", fjall));
    suite.record(Row::new("reopen", "ms", ours).against("redb", redb));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
fn folder_bytes(path: &Path) -> Result<f64, BenchError> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        // Blocks on the device: preallocated but unused ranges count where they take space.
        return Ok((metadata.blocks() * 512) as f64);
    }
    let mut sum = 0.0;
    for entry in std::fs::read_dir(path)? {
        sum += folder_bytes(&entry?.path())?;
    }
    Ok(sum)
}
