//! Full disks, failed syncs, limits: the error says what happened and the vault goes on.

mod support;

use std::sync::Arc;

use sigma_vault::io::{DiskError, Faults, SimulatedStorage};
use sigma_vault::{
    Batch, Compression, Durability, KEY_BYTES_MAX, Options, VALUE_BYTES_MAX, Vault, VaultError,
};
use support::small;

const SYNCED: Durability = Durability::Synced;

fn open(disk: &SimulatedStorage) -> Vault {
    Vault::open_with(Arc::new(disk.clone()), small()).unwrap()
}

fn capacity(bytes: u64) -> Faults {
    let mut faults = Faults::default();
    faults.capacity_bytes = Some(bytes);
    faults
}

fn error_at(disk: &SimulatedStorage, calls_ahead: u64, error: DiskError) {
    let mut faults = Faults::default();
    faults.error_at_call = Some((disk.calls() + calls_ahead, error));
    disk.set_faults(faults);
}

#[test]
fn a_full_disk_refuses_writes_clearly_and_recovers() {
    for limit in (200..9000).step_by(97) {
        let disk = SimulatedStorage::new(limit);
        let vault = open(&disk);
        disk.set_faults(capacity(
            limit.max(disk.files().iter().map(|file| file.1).sum()),
        ));
        let mut stored = 0_u8;
        let error = loop {
            match vault.put(&[stored], &[stored; 150], SYNCED) {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
        };
        match &error {
            VaultError::OutOfSpace {
                bytes_wanted, file, ..
            } => {
                assert!(*bytes_wanted > 0);
                assert!(file.to_string_lossy().contains("simulated"));
            }
            other => panic!("{other}"),
        }
        assert_eq!(vault.get(&[stored]).unwrap(), None);
        // Still refused, still readable.
        assert!(vault.put(&[stored], &[9; 150], SYNCED).is_err());
        for number in 0..stored {
            assert_eq!(vault.get(&[number]).unwrap().unwrap(), [number; 150]);
        }
        // Space returns: writes go on.
        disk.set_faults(Faults::default());
        vault.put(&[stored], b"fits now", SYNCED).unwrap();
        disk.power_cut();
        drop(vault);
        let vault = open(&disk);
        assert_eq!(vault.stats().recovery.damage_count, 0);
        assert_eq!(
            vault.get(&[stored]).unwrap().as_deref(),
            Some(&b"fits now"[..])
        );
        for number in 0..stored {
            assert_eq!(vault.get(&[number]).unwrap().unwrap(), [number; 150]);
        }
    }
}

#[test]
fn a_full_disk_does_not_keep_a_vault_from_opening() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    vault.put(b"key", b"value", SYNCED).unwrap();
    disk.power_cut();
    drop(vault);
    disk.set_faults(capacity(0));
    let vault = open(&disk);
    assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    assert!(matches!(
        vault.put(b"k", b"v", SYNCED),
        Err(VaultError::OutOfSpace { .. })
    ));
}

#[test]
fn a_failed_sync_poisons_writes_but_not_reads() {
    for durability in [Durability::Synced, Durability::Grouped] {
        let disk = SimulatedStorage::new(1);
        let vault = open(&disk);
        vault.put(b"before", b"durable", durability).unwrap();
        // The write itself is one call, its sync the next.
        error_at(&disk, 1, DiskError::Failed);
        let error = vault.put(b"key", b"value", durability).unwrap_err();
        assert!(
            matches!(
                error,
                VaultError::Io {
                    operation: "sync",
                    ..
                }
            ),
            "{error}"
        );
        for durability in [
            Durability::Buffered,
            Durability::Grouped,
            Durability::Synced,
        ] {
            let error = vault.put(b"later", b"value", durability).unwrap_err();
            assert!(matches!(error, VaultError::Poisoned { .. }), "{error}");
            assert!(error.to_string().contains("sync"), "{error}");
        }
        assert!(matches!(vault.sync(), Err(VaultError::Poisoned { .. })));
        assert_eq!(
            vault.get(b"before").unwrap().as_deref(),
            Some(&b"durable"[..])
        );
        assert!(matches!(vault.close(), Err(VaultError::Poisoned { .. })));
        disk.power_cut();
        let vault = open(&disk);
        assert_eq!(
            vault.get(b"before").unwrap().as_deref(),
            Some(&b"durable"[..])
        );
        assert_eq!(vault.get(b"later").unwrap(), None);
        vault.put(b"later", b"value", durability).unwrap();
    }
}

#[test]
fn a_failed_write_is_not_visible_and_the_next_one_takes_its_place() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    vault.put(b"key", b"old", SYNCED).unwrap();
    // The record that is to be replaced is read in one call, the new one written in the next.
    error_at(&disk, 1, DiskError::Failed);
    let error = vault.put(b"key", b"new", SYNCED).unwrap_err();
    assert!(
        matches!(
            error,
            VaultError::Io {
                operation: "write",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"old"[..]));
    vault.put(b"other", b"x", SYNCED).unwrap();
    assert!(vault.verify().unwrap().is_sound());
    disk.power_cut();
    drop(vault);
    let vault = open(&disk);
    assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(vault.get(b"other").unwrap().as_deref(), Some(&b"x"[..]));
}

#[test]
fn limits_are_enforced_by_name() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    let long = vec![0; KEY_BYTES_MAX + 1];
    let error = vault.put(&long, b"", SYNCED).unwrap_err();
    assert!(matches!(
        error,
        VaultError::KeyTooLong {
            bytes: 65_536,
            bytes_max: 65_535
        }
    ));
    vault.put(&long[1..], b"longest key", SYNCED).unwrap();
    assert_eq!(
        vault.get(&long[1..]).unwrap().as_deref(),
        Some(&b"longest key"[..])
    );
    assert_eq!(vault.get(&long).unwrap(), None);
    vault.put(b"", b"empty key", SYNCED).unwrap();
    assert_eq!(vault.get(b"").unwrap().as_deref(), Some(&b"empty key"[..]));
    assert_eq!(VALUE_BYTES_MAX, 1 << 30);
    let error = Vault::open_with(Arc::new(disk), Options::new().segment_bytes(100)).unwrap_err();
    assert!(matches!(
        error,
        VaultError::InvalidArgument {
            name: "segment_bytes",
            ..
        }
    ));
}

#[test]
fn a_write_larger_than_a_segment_gets_its_own() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    let big = support::Rng(1).bytes(50_000);
    vault.put(b"small", b"1", SYNCED).unwrap();
    vault.put(b"big", &big, SYNCED).unwrap();
    let mut batch = Batch::new();
    batch.put(b"big2", &big).put(b"big3", &big);
    vault.write(batch, SYNCED).unwrap();
    vault.put(b"small2", b"2", SYNCED).unwrap();
    assert_eq!(vault.stats().segments, 4);
    vault.close().unwrap();
    let vault = open(&disk);
    for key in [&b"big"[..], b"big2", b"big3"] {
        assert_eq!(vault.get(key).unwrap().unwrap(), big);
    }
    assert_eq!(vault.get(b"small2").unwrap().as_deref(), Some(&b"2"[..]));
    assert!(vault.verify().unwrap().is_sound());
}

#[test]
fn compressed_values_read_back_under_any_setting() {
    let disk = SimulatedStorage::new(1);
    let text = "compressible ".repeat(1000).into_bytes();
    for (number, compression) in [
        Compression::None,
        Compression::Lz4,
        Compression::Fast,
        Compression::Smallest,
    ]
    .into_iter()
    .enumerate()
    {
        let options = small().compression(compression);
        let vault = Vault::open_with(Arc::new(disk.clone()), options).unwrap();
        vault
            .put(&[number.to_le_bytes()[0]], &text, SYNCED)
            .unwrap();
        for earlier in 0..=number {
            assert_eq!(
                vault.get(&[earlier.to_le_bytes()[0]]).unwrap().unwrap(),
                text
            );
        }
        assert!(vault.verify().unwrap().is_sound());
        vault.close().unwrap();
    }
    let bytes: u64 = disk.files().iter().map(|file| file.1).sum();
    assert!(
        bytes < 17_000,
        "{bytes} bytes for one plain and three compressed values"
    );
}
