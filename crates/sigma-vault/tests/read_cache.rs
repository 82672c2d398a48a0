//! The cache of decoded values: never another answer than without it, never more memory than set.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sigma_vault::io::{MemoryStorage, SimulatedStorage};
use sigma_vault::{Compression, Durability, ManualClock, Options, Vault};
use support::{State, apply, fast, keys, ops_compacting, read_all};

const CACHE_BYTES: usize = 200_000;

/// A small cache beside a map, over histories with batches, removals and compactions; every key is
/// read twice after every step, so that the second answer comes from the cache.
#[test]
fn a_vault_with_a_cache_is_a_map() {
    let mut hits = 0;
    for seed in 0..40 {
        let disk = SimulatedStorage::new(seed);
        let options = fast()
            .read_cache_bytes(CACHE_BYTES)
            .compression(Compression::Lz4);
        let vault = Vault::open_with(Arc::new(disk.clone()), options).unwrap();
        let mut state = State::new();
        for op in ops_compacting(seed, 80) {
            op.run(&vault).unwrap();
            apply(&mut state, &op.effects());
            assert_eq!(read_all(&vault).unwrap(), state, "seed {seed}");
            assert_eq!(read_all(&vault).unwrap(), state, "seed {seed}");
        }
        let stats = vault.stats();
        assert!(stats.cache_bytes <= CACHE_BYTES as u64);
        hits += stats.cache_hits;
    }
    assert!(hits > 5000, "{hits} hits");
}

#[test]
fn what_is_replaced_or_removed_leaves_the_cache() {
    let options = Options::new().read_cache_bytes(1 << 20);
    let vault = Vault::open_with(Arc::new(MemoryStorage::new()), options).unwrap();
    let buffered = Durability::Buffered;
    for number in 0..50_u8 {
        vault.put(&[number], &[number; 500], buffered).unwrap();
        vault.get(&[number]).unwrap();
    }
    assert_eq!(vault.stats().cache_entries, 50);
    vault.put(&[1], b"new", buffered).unwrap();
    vault.delete(&[2], buffered).unwrap();
    let mut batch = sigma_vault::Batch::new();
    batch.put(&[3], b"new").delete(&[4]);
    vault.write(batch, buffered).unwrap();
    assert_eq!(vault.stats().cache_entries, 46);
    assert_eq!(vault.get(&[1]).unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(vault.get(&[2]).unwrap(), None);
    assert!(keys().all(|key| vault.get(&key).unwrap().is_none()));
}

#[test]
fn a_cached_value_expires_too() {
    let clock = ManualClock::new(1000);
    let options = Options::new()
        .read_cache_bytes(1 << 20)
        .clock(Arc::new(clock.clone()));
    let vault = Vault::open_with(Arc::new(MemoryStorage::new()), options).unwrap();
    let second = Duration::from_secs(1);
    vault
        .put_with_ttl(b"key", b"value", second, Durability::Buffered)
        .unwrap();
    for _ in 0..3 {
        assert!(vault.get(b"key").unwrap().is_some());
    }
    assert_eq!(vault.stats().cache_hits, 2);
    clock.advance(2 * second);
    assert_eq!(vault.get(b"key").unwrap(), None);
}

/// Readers never see a key go back to an older number, while a writer counts it up.
#[test]
fn no_reader_sees_an_older_value_after_a_newer_one() {
    let options = Options::new()
        .read_cache_bytes(1 << 20)
        .segment_bytes(64 << 10);
    let vault = Vault::open_with(Arc::new(MemoryStorage::new()), options).unwrap();
    let written = AtomicU64::new(0);
    let put = |number: u64| {
        let value = number.to_le_bytes().repeat(50);
        vault.put(b"counter", &value, Durability::Buffered).unwrap();
    };
    put(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..20_000 {
                put(number);
                written.store(number, Ordering::SeqCst);
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while last < 19_999 {
                    let least = written.load(Ordering::SeqCst);
                    let value = vault.get(b"counter").unwrap().unwrap();
                    let number = u64::from_le_bytes(*value.first_chunk::<8>().unwrap());
                    assert!(
                        number >= least.max(last),
                        "{number} after {last} and {least}"
                    );
                    last = number;
                }
            });
        }
    });
    vault.get(b"counter").unwrap();
    let before = vault.stats().cache_hits;
    vault.get(b"counter").unwrap();
    assert_eq!(vault.stats().cache_hits, before + 1);
}
