//! `get_many` and `get_with` find what `get` finds.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sigma_vault::io::{FileStorage, MemoryStorage, Storage};
use sigma_vault::{Compression, Durability, ManualClock, Options, Vault, VaultError};

fn key(number: u64) -> Vec<u8> {
    let length = usize::try_from(number % 40).unwrap();
    let mut key = number.to_le_bytes().repeat(6);
    key.truncate(length.max(2));
    key
}

type Found = Result<Option<Vec<u8>>, VaultError>;

fn many(vault: &Vault, keys: &[Vec<u8>]) -> Vec<Found> {
    let mut all = Vec::new();
    vault.get_many(keys, |position, found| {
        assert_eq!(position, all.len());
        all.push(found.map(|value| value.map(<[u8]>::to_vec)));
    });
    assert_eq!(all.len(), keys.len());
    all
}

fn compare(vault: &Vault, model: &BTreeMap<Vec<u8>, Vec<u8>>, keys: &[Vec<u8>]) {
    for (key, found) in keys.iter().zip(many(vault, keys)) {
        assert_eq!(found.unwrap().as_ref(), model.get(key));
        let length = vault.get_with(key, <[u8]>::len).unwrap();
        assert_eq!(length, model.get(key).map(Vec::len));
        assert_eq!(vault.get(key).unwrap().as_ref(), model.get(key));
    }
}

#[test]
fn all_ways_to_read_agree() {
    let dir = tempfile::tempdir().unwrap();
    let unmapped = tempfile::tempdir().unwrap();
    let storages: [Arc<dyn Storage>; 3] = [
        Arc::new(MemoryStorage::new()),
        Arc::new(FileStorage::open(dir.path()).unwrap()),
        Arc::new(
            FileStorage::open(unmapped.path())
                .unwrap()
                .without_mapping(),
        ),
    ];
    for storage in storages {
        for compression in [Compression::None, Compression::Lz4, Compression::Fast] {
            let options = Options::new()
                .segment_bytes(1 << 20)
                .compression(compression);
            let vault = Vault::open_with(Arc::clone(&storage), options).unwrap();
            let mut random = support::Rng(7);
            let mut model = BTreeMap::new();
            for (key, value) in vault.iter().map(Result::unwrap) {
                model.insert(key, value);
            }
            for round in 0..4 {
                for _ in 0..40 {
                    let key = key(random.below(200));
                    if random.below(4) == 0 {
                        vault.delete(&key, Durability::Buffered).unwrap();
                        model.remove(&key);
                        continue;
                    }
                    let bytes = match random.below(30) {
                        0 => 300_000,
                        1 => 0,
                        _ => random.below(3000),
                    };
                    let mut value = random.bytes(bytes);
                    let half = value.len() / 2;
                    value[half..].fill(3);
                    let durability = if random.below(2) == 0 {
                        Durability::Buffered
                    } else {
                        Durability::Written
                    };
                    vault.put(&key, &value, durability).unwrap();
                    model.insert(key, value);
                }
                let keys: Vec<Vec<u8>> = (0..100).map(|_| key(random.below(260))).collect();
                compare(&vault, &model, &keys);
                compare(&vault, &model, &keys[..round]);
                if round == 2 {
                    vault.compact().unwrap();
                }
            }
            vault.close().unwrap();
        }
    }
}

#[test]
fn a_damaged_value_is_one_error_among_sound_values() {
    let storage = MemoryStorage::new();
    let options = || Options::new().compression(Compression::None);
    let open = || Vault::open_with(Arc::new(storage.clone()), options()).unwrap();
    let vault = open();
    let keys: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n]).collect();
    for key in &keys {
        vault
            .put(key, &key.repeat(100), Durability::Synced)
            .unwrap();
    }
    vault.close().unwrap();
    let name = "0000000000000001.seg";
    let mut bytes = storage.contents(name).unwrap();
    let at = bytes
        .windows(100)
        .position(|window| window == [9; 100])
        .unwrap();
    bytes[at + 50] ^= 1;
    storage.open(name).unwrap().write_at(0, &bytes).unwrap();
    let vault = open();
    for (key, found) in keys.iter().zip(many(&vault, &keys)) {
        if key == &[9] {
            assert!(
                matches!(found, Err(VaultError::Corrupt { .. })),
                "{found:?}"
            );
            assert!(vault.get_with(key, <[u8]>::len).is_err());
        } else {
            assert_eq!(found.unwrap(), Some(key.repeat(100)));
        }
    }
    assert_eq!(vault.stats().reads_refused, 2);
}

/// Readers meet whole values of their keys while segments come and go; what is shown may be used
/// to write.
#[test]
fn values_are_whole_while_segments_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new()
        .segment_bytes(64 << 10)
        .compression(Compression::None);
    let vault = Vault::open(dir.path(), options).unwrap();
    let keys: Vec<Vec<u8>> = (0..80_u8).map(|n| vec![n, 1]).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2_u8)
            .map(|thread| {
                let (vault, keys, done) = (&vault, &keys, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        vault.get_many(keys, |position, found| {
                            let key = &keys[position];
                            if let Some(value) = found.unwrap() {
                                assert!(value.chunks(2).all(|part| part == key.as_slice()));
                                if position % 40 == 7 {
                                    vault.put(&[thread], value, Durability::Buffered).unwrap();
                                }
                            }
                        });
                        for key in keys {
                            let value = vault.get(key).unwrap().unwrap_or_default();
                            assert!(value.chunks(2).all(|part| part == key.as_slice()));
                        }
                    }
                })
            })
            .collect();
        for round in 0..24_usize {
            if readers
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
            {
                break;
            }
            for (number, key) in keys.iter().enumerate() {
                if (number + round) % 9 == 0 {
                    vault.delete(key, Durability::Written).unwrap();
                } else {
                    let value = key.repeat(100 + (number * round) % 900);
                    vault.put(key, &value, Durability::Written).unwrap();
                }
            }
            if round % 6 == 5 {
                vault.compact().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(vault.stats().segments < 40);
}

/// Vaults whose values need more than their bytes: a clock, a key, a cache.
fn special() -> Vec<Options> {
    let plain = || Options::new().segment_bytes(1 << 20);
    vec![
        plain(),
        plain().read_cache_bytes(1 << 20),
        #[cfg(feature = "encryption")]
        plain().encryption(sigma_vault::EncryptionKey::raw([7; 32])),
        #[cfg(feature = "encryption")]
        plain()
            .encryption(sigma_vault::EncryptionKey::raw([7; 32]))
            .read_cache_bytes(1 << 20),
    ]
}

#[test]
fn all_ways_to_read_agree_on_what_expires_is_encrypted_or_cached() {
    for options in special() {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(1_000_000);
        let vault = Vault::open(dir.path(), options.clock(Arc::new(clock.clone()))).unwrap();
        let keys: Vec<Vec<u8>> = (0..200).map(key).collect();
        let keys: Vec<Vec<u8>> = keys
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut model = BTreeMap::new();
        for (number, key) in keys.iter().enumerate() {
            let value = support::Rng(number as u64 + 1).bytes(number as u64 * 13 % 900);
            if number % 3 == 0 {
                let ttl = Duration::from_secs(60);
                vault
                    .put_with_ttl(key, &value, ttl, Durability::Written)
                    .unwrap();
            } else {
                vault.put(key, &value, Durability::Written).unwrap();
            }
            model.insert(key.clone(), value);
        }
        for _ in 0..2 {
            compare(&vault, &model, &keys);
        }
        clock.advance(Duration::from_secs(61));
        for (number, key) in keys.iter().enumerate() {
            if number % 3 == 0 {
                model.remove(key);
            }
        }
        compare(&vault, &model, &keys);
    }
}
