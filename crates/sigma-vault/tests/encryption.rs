//! Encryption at rest: nothing readable on the disk, no wrong key, and everything that holds without
//! it: crashes, failing disks, flipped bits.
#![cfg(feature = "encryption")]

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sigma_vault::io::{DiskError, SimulatedStorage, Storage};
use sigma_vault::{
    Compression, Durability, EncryptionKey, Options, PassphraseCost, Rsu, Vault, VaultError,
};
use support::judge::{error_at, honest, judge, kill_at, one_failure, run};
use support::{ENCRYPTED, Rng, fast, ops_compacting, read_all, small};

const SYNCED: Durability = Durability::Synced;

/// All vaults of this program's [`small`] and [`fast`] options are encrypted.
fn encrypt() {
    ENCRYPTED.store(true, Ordering::Relaxed);
}

fn open(disk: &SimulatedStorage, options: Options) -> Vault {
    Vault::open_with(Arc::new(disk.clone()), options).unwrap()
}

fn contents(disk: &SimulatedStorage) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, _) in disk.files() {
        disk.fork(0)
            .damage(&name, |bytes| all.push((name.clone(), bytes.clone())));
    }
    all
}

#[test]
fn no_value_is_readable_on_the_disk() {
    encrypt();
    let (secret, marker) = (b"the-secret-words".repeat(20), b"secret-words");
    for compression in [Compression::None, Compression::Lz4, Compression::Fast] {
        let disk = SimulatedStorage::new(1);
        let vault = open(&disk, fast().compression(compression));
        let unit = Rsu::new(vec![0x7473_6574; 40])
            .kv(secret.clone())
            .conversation("the-secret-words");
        for number in 0..40_u8 {
            vault
                .put(&[number % 20], &secret, Durability::Buffered)
                .unwrap();
        }
        vault.put(b"short", marker, SYNCED).unwrap();
        vault.put_rsu(b"unit", &unit, SYNCED).unwrap();
        vault.compact().unwrap();
        vault.checkpoint("copy").unwrap();
        vault.close().unwrap();
        let copy = disk.directory(Path::new("copy"));
        for (name, bytes) in contents(&disk).into_iter().chain(contents(&copy)) {
            let found = bytes.windows(marker.len()).any(|part| part == marker);
            assert!(!found, "{name} shows a value");
        }
        for disk in [&disk, &copy] {
            let vault = open(disk, small());
            assert_eq!(vault.get(&[7]).unwrap().as_ref(), Some(&secret));
            assert_eq!(vault.get(b"short").unwrap().as_deref(), Some(&marker[..]));
            assert_eq!(vault.get_rsu(b"unit").unwrap().unwrap().kv, unit.kv);
            assert!(vault.verify().unwrap().is_sound());
        }
    }
}

#[test]
fn only_the_right_key_opens() {
    let plain = || Options::new().segment_bytes(4096);
    let cost = PassphraseCost::default().memory_mib(8).passes(1);
    let keys = || {
        [
            EncryptionKey::raw([1; 32]),
            EncryptionKey::passphrase_at("open sesame", cost),
        ]
    };
    for (position, key) in keys().into_iter().enumerate() {
        let disk = SimulatedStorage::new(2);
        let vault = open(&disk, plain().encryption(key));
        vault.put(b"key", b"value", SYNCED).unwrap();
        drop(vault);
        let files = contents(&disk);
        let try_open = |options| Vault::open_with(Arc::new(disk.clone()), options);
        assert!(matches!(
            try_open(plain()),
            Err(VaultError::KeyNeeded { .. })
        ));
        for (other, key) in keys().into_iter().enumerate() {
            if other != position {
                let error = try_open(plain().encryption(key)).unwrap_err();
                assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
            }
        }
        for key in [
            EncryptionKey::raw([2; 32]),
            EncryptionKey::passphrase_at("open sesamf", cost),
        ] {
            let error = try_open(plain().encryption(key)).unwrap_err();
            assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
        }
        assert_eq!(
            contents(&disk),
            files,
            "a refused opening changed something"
        );
        // The cost that counts is the stored one.
        let key = match position {
            0 => EncryptionKey::raw([1; 32]),
            _ => EncryptionKey::passphrase_at("open sesame", cost.memory_mib(9)),
        };
        let vault = try_open(plain().encryption(key)).unwrap();
        assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    }
    let disk = SimulatedStorage::new(3);
    open(&disk, plain()).put(b"key", b"value", SYNCED).unwrap();
    let error = Vault::open_with(
        Arc::new(disk.clone()),
        plain().encryption(EncryptionKey::raw([1; 32])),
    );
    assert!(matches!(error, Err(VaultError::NotEncrypted { .. })));
}

/// What is needed beside the passphrase is in every segment head and in the manifest.
#[test]
fn no_single_bad_byte_locks_a_passphrase_out() {
    let cost = PassphraseCost::default().memory_mib(8).passes(1);
    let options = || Options::new().encryption(EncryptionKey::passphrase_at("open sesame", cost));
    let disk = SimulatedStorage::new(4);
    let vault = open(&disk, options());
    vault.put(b"key", b"value", SYNCED).unwrap();
    vault.close().unwrap();
    for (name, positions) in [("MANIFEST", 0..96), ("0000000000000001.seg", 0..64)] {
        for position in positions.step_by(9) {
            let copy = disk.fork(1);
            copy.damage(name, |bytes| bytes[position] ^= 0x10);
            let vault = open(&copy, options());
            assert_eq!(
                vault.get(b"key").unwrap().as_deref(),
                Some(&b"value"[..]),
                "{name} {position}"
            );
        }
    }
    let copy = disk.fork(1);
    assert!(copy.lose_file("MANIFEST"));
    assert!(open(&copy, options()).get(b"key").unwrap().is_some());
}

#[test]
fn power_cut_at_every_call_of_an_encrypted_history() {
    encrypt();
    let mut cuts = 0;
    for seed in 900..908 {
        let ops = ops_compacting(seed, 45);
        let whole = SimulatedStorage::new(seed);
        run(&whole, honest, &ops);
        for call in 0..whole.calls() {
            let disk = SimulatedStorage::new(seed * 1_000_003 + call);
            disk.set_faults(kill_at(call));
            let history = run(&disk, honest, &ops);
            disk.power_cut();
            judge(&disk, honest, &history)
                .unwrap_or_else(|what| panic!("seed {seed}, power cut at call {call}: {what}"));
            cuts += 1;
        }
    }
    assert!(cuts > 800, "{cuts} cuts");
}

#[test]
fn an_error_at_every_call_of_an_encrypted_history() {
    encrypt();
    for seed in 950..953 {
        let ops = ops_compacting(seed, 30);
        let whole = SimulatedStorage::new(seed);
        run(&whole, honest, &ops);
        for call in 0..whole.calls() {
            for error in [DiskError::Full, DiskError::Failed] {
                let disk = SimulatedStorage::new(seed * 1_000_003 + call);
                disk.set_faults(error_at(call, error));
                one_failure(&disk, &ops)
                    .unwrap_or_else(|what| panic!("seed {seed}, {error:?} at call {call}: {what}"));
            }
        }
    }
}

/// Every byte of a closed vault: opens, gives the right value or an error, and reports.
#[test]
fn a_flipped_bit_never_gives_another_value() {
    encrypt();
    let disk = SimulatedStorage::new(5);
    let vault = open(&disk, small());
    for number in 0..30_u8 {
        let value = vec![number; usize::from(number) * 11];
        vault.put(&[number % 12], &value, SYNCED).unwrap();
    }
    vault.delete(&[3], SYNCED).unwrap();
    let expected: Vec<_> = (0..12_u8).map(|key| vault.get(&[key]).unwrap()).collect();
    vault.close().unwrap();
    let (mut flips, mut refused) = (0, 0);
    for (name, bytes) in disk.files() {
        for position in 0..usize::try_from(bytes).unwrap() {
            let copy = disk.fork(1);
            copy.damage(&name, |bytes| bytes[position] ^= 1 << (position % 8));
            let vault = open(&copy, small());
            let mut errors = 0;
            for (key, value) in (0..12_u8).zip(&expected) {
                match vault.get(&[key]) {
                    Ok(found) => assert_eq!(found, *value, "{name}, byte {position}"),
                    Err(VaultError::Corrupt { .. } | VaultError::Uncertain { .. }) => errors += 1,
                    Err(error) => panic!("{name}, byte {position}: {error}"),
                }
            }
            assert!(errors <= 1, "{name}, byte {position}: {errors} keys");
            let reported = vault.stats().recovery.damage_count > 0;
            assert!(reported || name == "INDEX", "{name}, byte {position}");
            flips += 1;
            refused += errors;
        }
    }
    assert!(flips > 4000 && refused > 500, "{flips}, {refused}");
}

/// The nonces that lie on the disk, whether in sound records or left-overs, with what they encrypt.
fn nonces(disk: &SimulatedStorage, seen: &mut HashMap<Vec<u8>, Vec<u8>>) {
    for (name, bytes) in contents(disk) {
        if !name.ends_with(".seg") {
            continue;
        }
        for start in (64..bytes.len()).step_by(8) {
            let record = &bytes[start..];
            if !record.starts_with(b"SVr1") || record.len() < 56 || record[55] & 8 == 0 {
                continue;
            }
            let key_bytes = usize::from(u16::from_le_bytes([record[52], record[53]]));
            let stored = u32::from_le_bytes([record[40], record[41], record[42], record[43]]);
            let end = 56 + key_bytes + usize::try_from(stored).unwrap();
            let Some(sealed) = record.get(56 + key_bytes..end) else {
                continue;
            };
            let (nonce, rest) = sealed.split_at(24);
            let known = seen.entry(nonce.to_vec()).or_insert_with(|| rest.to_vec());
            // A torn left-over may differ from the whole record in zeros only.
            let torn = known
                .iter()
                .zip(rest)
                .any(|(a, b)| a != b && *a != 0 && *b != 0);
            assert!(!torn, "a nonce was used for two values");
        }
    }
}

/// The same places are written again after crashes, with the same sequence numbers.
#[test]
fn no_nonce_is_used_twice_across_crashes() {
    encrypt();
    let mut all = 0;
    for seed in 0..12 {
        let disk = SimulatedStorage::new(seed);
        let mut rng = Rng(seed);
        let mut seen = HashMap::new();
        for round in 0..12 {
            let vault = open(&disk, fast());
            for op in &ops_compacting(seed * 100 + round, 12) {
                op.run(&vault).unwrap();
            }
            nonces(&disk, &mut seen);
            if rng.below(4) > 0 {
                disk.power_cut();
            }
            drop(vault);
            read_all(&open(&disk, small())).unwrap();
            nonces(&disk, &mut seen);
        }
        all += seen.len();
    }
    assert!(all > 1000, "{all} nonces");
}

/// A value that another program puts into an encrypted vault without encrypting it is refused.
#[test]
fn a_plain_record_in_an_encrypted_vault_is_no_value() {
    encrypt();
    // The same vault id, written without a key.
    let (plain, sealed) = (SimulatedStorage::new(6), SimulatedStorage::new(6));
    let options = Options::new()
        .segment_bytes(4096)
        .compression(Compression::None);
    let vault = open(&plain, options.clone());
    vault.put(b"key", b"forged", SYNCED).unwrap();
    vault.close().unwrap();
    let vault = open(&sealed, small());
    vault.put(b"key", b"true", SYNCED).unwrap();
    vault.close().unwrap();
    let name = "0000000000000001.seg";
    let mut forged = Vec::new();
    plain.damage(name, |bytes| forged = bytes.clone());
    sealed.damage(name, |bytes| {
        bytes.truncate(64);
        bytes.extend_from_slice(&forged[64..]);
    });
    let vault = open(&sealed, small());
    match vault.get(b"key") {
        Err(VaultError::Corrupt { .. } | VaultError::Uncertain { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(sealed.list().unwrap().contains(&name.to_owned()));
}
