//! Compaction: bounded space, nothing lost, nothing brought back, damage stays reported.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sigma_vault::io::{MemoryStorage, SimulatedStorage, Storage};
use sigma_vault::{Batch, Compression, Durability, Options, Rsu, Vault, VaultError};
use support::{Effect, Rng, small};

const BUFFERED: Durability = Durability::Buffered;
const SYNCED: Durability = Durability::Synced;

fn open(disk: &SimulatedStorage) -> Vault {
    Vault::open_with(Arc::new(disk.clone()), small()).unwrap()
}

/// Bytes of all segment files.
fn segment_bytes(storage: &MemoryStorage) -> u64 {
    let names = storage.list().unwrap();
    let segments = names.iter().filter(|name| name.ends_with(".seg"));
    segments
        .map(|name| storage.contents(name).unwrap().len() as u64)
        .sum()
}

/// Half random, half zeros: compressible like text.
fn value(rng: &mut Rng) -> Vec<u8> {
    let len = 100 + rng.below(800);
    let mut value = rng.bytes(len / 2);
    value.resize(usize::try_from(len).unwrap(), 0);
    value
}

#[test]
fn space_stays_within_bounds_after_tenfold_churn() {
    for compression in [Compression::None, Compression::Fast] {
        let storage = MemoryStorage::new();
        let options = Options::new()
            .segment_bytes(64 << 10)
            .compression(compression);
        let open = || Vault::open_with(Arc::new(storage.clone()), options.clone()).unwrap();
        let mut vault = open();
        let mut rng = Rng(3);
        let mut model = BTreeMap::new();
        for round in 0..10 {
            for _ in 0..2000 {
                let key = format!("key-{}", rng.below(2000)).into_bytes();
                if rng.below(10) == 0 {
                    vault.delete(&key, BUFFERED).unwrap();
                    model.remove(&key);
                } else {
                    let value = value(&mut rng);
                    vault.put(&key, &value, BUFFERED).unwrap();
                    model.insert(key, value);
                }
            }
            vault.compact().unwrap();
            if round % 4 == 0 {
                vault.close().unwrap();
                vault = open();
            }
        }
        let stats = vault.stats();
        assert!(stats.live_bytes > 400_000, "{stats:?}");
        let reserved_max = 64 << 10;
        let files = stats.disk_bytes..=stats.disk_bytes + reserved_max;
        assert!(files.contains(&segment_bytes(&storage)));
        assert!(
            stats.disk_bytes * 10 <= stats.live_bytes * 13,
            "{} bytes for {} live ones",
            stats.disk_bytes,
            stats.live_bytes
        );
        assert!(stats.space_amplification() <= 1.3);
        assert!(stats.write_amplification() > 1.0);
        assert!(vault.verify().unwrap().is_sound());
        vault.close().unwrap();
        let vault = open();
        let found: BTreeMap<_, _> = vault.iter().map(|item| item.unwrap()).collect();
        assert_eq!(found, model);
        assert_eq!(vault.stats().keys, model.len() as u64);
        assert_eq!(vault.stats().live_bytes, stats.live_bytes);
    }
}

/// Keys that come once and go: neither they nor their removals take space for ever.
#[test]
fn removals_are_dropped_once_they_hide_nothing() {
    let storage = MemoryStorage::new();
    let vault = Vault::open_with(Arc::new(storage.clone()), small()).unwrap();
    vault.put(b"stays", &[1; 1000], SYNCED).unwrap();
    let mut dropped = 0;
    for round in 0..20_u32 {
        for number in 0..100_u32 {
            let key = [round.to_le_bytes(), number.to_le_bytes()].concat();
            vault.put(&key, &[2; 50], BUFFERED).unwrap();
        }
        for number in 0..100_u32 {
            let key = [round.to_le_bytes(), number.to_le_bytes()].concat();
            assert!(vault.delete(&key, BUFFERED).unwrap());
        }
        dropped += vault.compact().unwrap().tombstones_dropped;
    }
    assert!(dropped > 1500, "{dropped}");
    let bytes = segment_bytes(&storage);
    assert!(bytes < 20_000, "{bytes} bytes for one key");
    drop(vault);
    let vault = Vault::open_with(Arc::new(storage), small()).unwrap();
    assert_eq!(vault.stats().keys, 1);
    assert_eq!(vault.iter().count(), 1);
}

#[test]
fn batches_and_rsus_survive_compaction() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    let tokens: Vec<u32> = (0..300).collect();
    let rsu = Rsu::new(tokens.clone()).kv(vec![7; 500]);
    vault.put_rsu(b"unit", &rsu, BUFFERED).unwrap();
    let mut batch = Batch::new();
    batch.put(b"a", b"1").put(b"b", b"2").delete(b"c");
    vault.write(batch, BUFFERED).unwrap();
    for round in 0..200_u8 {
        vault.put(b"churn", &[round; 100], BUFFERED).unwrap();
    }
    let report = vault.compact().unwrap();
    assert!(report.segments_removed > report.segments_written);
    assert!(report.records_copied >= 3 && report.copied_bytes > 500);
    for reopened in [false, true] {
        let again;
        let vault = if reopened {
            disk.power_cut();
            again = open(&disk);
            &again
        } else {
            &vault
        };
        assert_eq!(vault.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(vault.get(b"b").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(vault.get(b"churn").unwrap().unwrap(), [199; 100]);
        let found = vault.get_rsu(b"unit").unwrap().unwrap();
        assert_eq!((found.tokens, found.kv), (tokens.clone(), rsu.kv.clone()));
        assert_eq!(vault.find_similar_tokens(&tokens, 0.9).unwrap().len(), 1);
    }
}

/// A compacted vault with live keys, removals still needed, and what each key must read as.
fn compacted() -> (SimulatedStorage, Vec<Effect>) {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    for number in 0..30_u8 {
        vault.put(&[b'k', number], &[number; 60], SYNCED).unwrap();
    }
    for round in 0..60_u8 {
        vault
            .put(&[b'k', 20 + round % 10], &[round; 90], SYNCED)
            .unwrap();
    }
    vault.delete(&[b'k', 3], SYNCED).unwrap();
    vault.put(b"last", &[1; 2000], SYNCED).unwrap();
    vault.put(b"last", &[2; 2000], SYNCED).unwrap();
    assert!(vault.compact().unwrap().segments_written > 0);
    let mut expected: Vec<Effect> = vec![(vec![b'k', 3], None), (b"absent".to_vec(), None)];
    expected.extend(
        vault
            .iter()
            .map(|item| item.unwrap())
            .map(|(k, v)| (k, Some(v))),
    );
    assert_eq!(expected.len(), 32);
    vault.close().unwrap();
    (disk, expected)
}

fn refused(vault: &Vault, expected: &[Effect], what: &str) -> usize {
    let answers = expected.iter().map(|(key, value)| match vault.get(key) {
        Ok(found) => {
            assert_eq!(found, *value, "{what}: wrong value of {key:?}");
            0
        }
        Err(VaultError::Corrupt { .. } | VaultError::Uncertain { .. }) => 1,
        Err(error) => panic!("{what}: {error}"),
    });
    answers.sum()
}

#[test]
fn every_flipped_byte_of_a_compacted_vault_is_reported_and_costs_at_most_one_key() {
    let (disk, expected) = compacted();
    let mut files = disk.files();
    files.retain(|(name, _)| name != "INDEX");
    for (name, bytes) in files {
        for position in 0..usize::try_from(bytes).unwrap() {
            let copy = disk.fork(7);
            let bit = position % 8;
            assert!(copy.damage(&name, |bytes| bytes[position] ^= 1 << bit));
            let what = format!("{name}, byte {position}, bit {bit}");
            let vault = open(&copy);
            let count = refused(&vault, &expected, &what);
            assert!(count <= 1, "{what}: {count} keys refused");
            assert!(vault.stats().recovery.damage_count > 0, "{what}: silent");
        }
    }
}

/// Damage that is there before compaction, or comes up while it runs, is neither copied nor
/// forgotten: the same keys are refused before, after, and after reopening.
#[test]
fn damage_found_while_compacting_stays_reported() {
    let disk = SimulatedStorage::new(1);
    let mut expected = Vec::new();
    {
        let vault = open(&disk);
        for round in 0..3_u8 {
            for number in 0..40_u8 {
                vault.put(&[b'k', number], &[round; 70], SYNCED).unwrap();
            }
        }
        vault.delete(&[b'k', 3], SYNCED).unwrap();
        // Sealed, so that everything above may be compacted.
        vault.put(b"last", &[9; 4000], SYNCED).unwrap();
        for number in 0..40_u8 {
            let value = (number != 3).then(|| vec![2; 70]);
            expected.push((vec![b'k', number], value));
        }
        vault.close().unwrap();
    }
    let (mut pinned, mut refusals) = (0, 0);
    let segments: Vec<_> = disk.files();
    for (name, bytes) in segments.iter().filter(|(name, _)| name.ends_with(".seg")) {
        for position in (64..usize::try_from(*bytes).unwrap()).step_by(13) {
            for early in [true, false] {
                let copy = disk.fork(5);
                let what = format!("{name}, byte {position}, before opening: {early}");
                if early {
                    copy.damage(name, |bytes| bytes[position] ^= 4);
                }
                let vault = open(&copy);
                if !early {
                    copy.damage(name, |bytes| bytes[position] ^= 4);
                }
                let before = refused(&vault, &expected, &what);
                let report = vault.compact().unwrap();
                pinned += report.segments_damaged;
                assert!(
                    report.segments_removed > 0,
                    "{what}: one bad place stopped it all"
                );
                assert_eq!(refused(&vault, &expected, &what), before, "{what}");
                vault.close().unwrap();
                let vault = open(&copy);
                let after = refused(&vault, &expected, &what);
                if early {
                    assert_eq!(after, before, "{what}: after reopening");
                } else {
                    assert!(after >= before, "{what}: after reopening");
                }
                refusals += after;
                if after > 0 {
                    assert!(vault.stats().recovery.damage_count > 0, "{what}: silent");
                }
            }
        }
    }
    assert!(
        pinned > 100 && refusals > 100,
        "{pinned} pinned, {refusals} refused"
    );
}

/// What a loss of unknown keys put in doubt is in doubt after compaction too.
#[test]
fn doubt_survives_compaction() {
    let disk = SimulatedStorage::new(3);
    let vault = open(&disk);
    for number in 0..100_u8 {
        vault
            .put(&[b'k', number % 50], &[number; 60], SYNCED)
            .unwrap();
    }
    for round in 0..200_u8 {
        vault.put(b"churn", &[round; 90], SYNCED).unwrap();
    }
    vault.close().unwrap();
    let name = "0000000000000003.seg";
    disk.damage(name, |bytes| bytes[3000..3600].fill(0xee));
    let answers = |vault: &Vault| -> Vec<String> {
        (0..50_u8)
            .map(|number| match vault.get(&[b'k', number]) {
                Ok(value) => format!("{value:?}"),
                Err(VaultError::Uncertain { .. }) => "uncertain".to_owned(),
                Err(VaultError::Corrupt { .. }) => "corrupt".to_owned(),
                Err(error) => panic!("{error}"),
            })
            .collect()
    };
    let vault = open(&disk);
    let before = answers(&vault);
    assert!(
        before
            .iter()
            .filter(|answer| *answer == "uncertain")
            .count()
            > 5
    );
    assert!(vault.compact().unwrap().segments_removed > 2);
    assert_eq!(answers(&vault), before);
    vault.close().unwrap();
    assert_eq!(answers(&open(&disk)), before);
}

#[test]
fn readers_iterators_and_writers_go_on_during_compaction() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    let value = |key: u64, round: u64| (key * 1000 + round).to_le_bytes().repeat(12);
    for key in 0..40 {
        vault
            .put(&support::key(key), &value(key, 0), BUFFERED)
            .unwrap();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|seed| {
                let (vault, done) = (&vault, &done);
                scope.spawn(move || {
                    let mut rng = Rng(seed);
                    let mut reads = 0_u64;
                    while !done.load(Ordering::Relaxed) {
                        let key = rng.below(40);
                        let found = vault.get(&support::key(key)).unwrap().unwrap();
                        let number = u64::from_le_bytes(found[..8].try_into().unwrap());
                        assert_eq!(number / 1000, key);
                        if rng.below(20) == 0 {
                            let items: Result<Vec<_>, _> = vault.iter().collect();
                            assert_eq!(items.unwrap().len(), 40);
                            assert!(vault.verify().unwrap().is_sound());
                        }
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let compactor = scope.spawn(|| {
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                removed += vault.compact().unwrap().segments_removed;
            }
            removed
        });
        for round in 1..100 {
            for key in 0..40 {
                vault
                    .put(&support::key(key), &value(key, round), BUFFERED)
                    .unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
        assert!(compactor.join().unwrap() > 10);
    });
    vault.compact().unwrap();
    disk.process_kill();
    drop(vault);
    let vault = open(&disk);
    for key in 0..40 {
        assert_eq!(vault.get(&support::key(key)).unwrap(), Some(value(key, 99)));
    }
}

#[test]
fn the_rate_is_limited() {
    let disk = SimulatedStorage::new(1);
    let options = small().compaction_bytes_per_s_max(1 << 30);
    let vault = Vault::open_with(Arc::new(disk), options).unwrap();
    for round in 0..100_u8 {
        vault.put(&[round % 50], &[round; 100], BUFFERED).unwrap();
    }
    assert!(vault.compact().unwrap().reclaimed_bytes > 0);
}
