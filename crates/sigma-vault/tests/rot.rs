//! Damage at rest: no wrong value, no silent loss, and one bad place never blocks the rest.

mod support;

use std::sync::Arc;

use sigma_vault::io::{Faults, SimulatedStorage};
use sigma_vault::{
    Batch, Compression, DamageKind, Durability, Options, Rsu, Stats, UncertainReads, Vault,
    VaultError,
};
use support::{Effect, fast, small};

const SYNCED: Durability = Durability::Synced;

fn open(disk: &SimulatedStorage) -> Vault {
    Vault::open_with(Arc::new(disk.clone()), small()).unwrap()
}

/// A closed vault of several segments with overwritten, removed, batched and RSU records, and what
/// each key must read as.
fn sample() -> (SimulatedStorage, Vec<Effect>) {
    let disk = SimulatedStorage::new(1);
    let options = small().compression(Compression::Fast);
    let vault = Vault::open_with(Arc::new(disk.clone()), options).unwrap();
    let text = "some words that come again ".repeat(20).into_bytes();
    for round in 0..3_u8 {
        for number in 0..5_u8 {
            let value = [&[round, number], &text[..usize::from(number) * 60]].concat();
            vault.put(&[b'k', number], &value, SYNCED).unwrap();
        }
    }
    vault.put(b"big", &[9; 100], SYNCED).unwrap();
    let noise = support::Rng(5).bytes(3000);
    vault.put(b"noise", &noise, SYNCED).unwrap();
    vault.delete(&[b'k', 3], SYNCED).unwrap();
    let mut batch = Batch::new();
    batch
        .put(b"b1", b"one")
        .put(b"b2", b"two")
        .delete(&[b'k', 4])
        .put(b"b1", b"three");
    vault.write(batch, SYNCED).unwrap();
    vault.put(b"last", b"one", SYNCED).unwrap();
    vault.put(b"last", b"two", SYNCED).unwrap();
    let mut expected: Vec<_> = vec![
        (vec![b'k', 3], None),
        (vec![b'k', 4], None),
        (b"absent".to_vec(), None),
    ];
    let live: Vec<_> = vault.iter().map(|item| item.unwrap()).collect();
    assert_eq!(live.len(), 8);
    expected.extend(live.into_iter().map(|(key, value)| (key, Some(value))));
    vault.close().unwrap();
    assert!(
        disk.files()
            .iter()
            .filter(|(name, _)| name.ends_with(".seg"))
            .count()
            >= 2
    );
    (disk, expected)
}

/// How many keys a vault refuses to answer; panics on any answer that is not the expected one.
fn refused(vault: &Vault, expected: &[Effect], what: &str) -> usize {
    let mut refused = 0;
    for (key, value) in expected {
        match vault.get(key) {
            Ok(found) => assert_eq!(found, *value, "{what}: wrong value of {key:?}"),
            Err(VaultError::Corrupt { .. } | VaultError::Uncertain { .. }) => refused += 1,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    refused
}

/// All files but the snapshot of the index, whose damage costs nothing and is not reported.
fn stored(disk: &SimulatedStorage) -> Vec<(String, u64)> {
    let mut files = disk.files();
    files.retain(|(name, _)| name != "INDEX");
    files
}

#[test]
fn every_flipped_byte_of_a_closed_vault_is_reported_and_costs_at_most_one_key() {
    let (disk, expected) = sample();
    let mut flips = 0;
    let mut refusals = 0;
    for (name, bytes) in stored(&disk) {
        for position in 0..usize::try_from(bytes).unwrap() {
            let copy = disk.fork(7);
            let bit = (position * 5 + 3) % 8;
            assert!(copy.damage(&name, |bytes| bytes[position] ^= 1 << bit));
            let what = format!("{name}, byte {position}, bit {bit}");
            let vault = Vault::open_with(Arc::new(copy), small())
                .unwrap_or_else(|error| panic!("{what}: open was blocked: {error}"));
            let count = refused(&vault, &expected, &what);
            assert!(count <= 1, "{what}: {count} keys refused");
            assert!(
                vault.stats().recovery.damage_count > 0,
                "{what}: not reported"
            );
            flips += 1;
            refusals += count;
        }
    }
    assert!(
        flips > 5000 && refusals > 3000,
        "{flips} flips, {refusals} refusals"
    );
}

/// Opened from the snapshot: damage is met by reads and found by `verify`; nothing is ever wrong.
#[test]
fn every_flipped_byte_under_a_snapshot_is_found_by_reading_or_verifying() {
    let (disk, expected) = sample();
    let (mut flips, mut refusals) = (0, 0);
    for (name, bytes) in disk.files() {
        for position in 0..usize::try_from(bytes).unwrap() {
            let copy = disk.fork(7);
            let bit = (position * 5 + 3) % 8;
            assert!(copy.damage(&name, |bytes| bytes[position] ^= 1 << bit));
            let what = format!("{name}, byte {position}, bit {bit}");
            let vault = Vault::open_with(Arc::new(copy), fast())
                .unwrap_or_else(|error| panic!("{what}: open was blocked: {error}"));
            let count = refused(&vault, &expected, &what);
            assert!(count <= 1, "{what}: {count} keys refused");
            let recovery = vault.stats().recovery;
            if name == "INDEX" {
                assert!(!recovery.from_snapshot, "{what}: believed");
            } else {
                let found = recovery.damage_count > 0 || !vault.verify().unwrap().is_sound();
                assert!(found, "{what}: not found");
            }
            flips += 1;
            refusals += count;
        }
    }
    assert!(
        flips > 6000 && refusals > 1500,
        "{flips} flips, {refusals} refusals"
    );
}

#[test]
fn damage_after_opening_is_found_by_reads_and_by_verify() {
    let (disk, expected) = sample();
    let segments: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|(name, _)| name.ends_with(".seg"))
        .collect();
    for (name, bytes) in segments {
        for position in (64..usize::try_from(bytes).unwrap()).step_by(11) {
            let copy = disk.fork(7);
            let vault = open(&copy);
            copy.damage(&name, |bytes| bytes[position] ^= 0x10);
            let what = format!("{name}, byte {position}");
            assert!(refused(&vault, &expected, &what) <= 1, "{what}");
            let report = vault.verify().unwrap();
            assert_eq!(report.damage.len(), 1, "{what}: {:?}", report.damage);
            let damage = &report.damage[0];
            assert!(damage.offset <= position as u64, "{what}");
            assert!(damage.offset + damage.bytes > position as u64, "{what}");
            assert!(damage.file.ends_with(&name));
        }
    }
}

#[test]
fn a_file_cut_at_any_length_is_reported() {
    let (disk, expected) = sample();
    for (name, bytes) in stored(&disk) {
        for length in (0..usize::try_from(bytes).unwrap()).step_by(3) {
            let copy = disk.fork(7);
            copy.damage(&name, |bytes| bytes.truncate(length));
            let what = format!("{name} cut to {length} bytes");
            let vault = open(&copy);
            refused(&vault, &expected, &what);
            assert!(
                vault.stats().recovery.damage_count > 0,
                "{what}: not reported"
            );
            // The loss is still known after writing and reopening.
            vault.put(b"new", b"value", SYNCED).unwrap();
            vault.close().unwrap();
            let vault = open(&copy);
            refused(&vault, &expected, &what);
            assert_eq!(
                vault.get(b"new").unwrap().as_deref(),
                Some(&b"value"[..]),
                "{what}"
            );
        }
    }
}

#[test]
fn a_missing_segment_is_reported_and_never_answered_with_older_values() {
    let (disk, expected) = sample();
    for (name, _) in disk
        .files()
        .into_iter()
        .filter(|(name, _)| name.ends_with(".seg"))
    {
        let copy = disk.fork(7);
        assert!(copy.lose_file(&name));
        let vault = open(&copy);
        assert!(refused(&vault, &expected, &name) > 0, "{name}");
        let recovery = vault.stats().recovery;
        assert_eq!(recovery.damage_count, 1, "{recovery:?}");
        assert_eq!(recovery.damage[0].kind, DamageKind::SegmentMissing);
        vault.put(b"new", b"value", SYNCED).unwrap();
        vault.close().unwrap();
        let vault = open(&copy);
        assert!(refused(&vault, &expected, &name) > 0, "{name}");
        assert_eq!(vault.get(b"new").unwrap().as_deref(), Some(&b"value"[..]));
    }
}

/// Where the record of `key` written last starts: found by the key's own bytes.
fn header_of(disk: &SimulatedStorage, key: &[u8]) -> (String, usize) {
    let mut found = None;
    for (name, _) in disk.files() {
        disk.damage(&name, |bytes| {
            let hit = bytes.windows(key.len()).rposition(|window| window == key);
            if let Some(position) = hit {
                found = Some((name.clone(), position - 56));
            }
        });
    }
    found.unwrap()
}

#[test]
fn a_lost_overwrite_does_not_bring_back_the_old_value() {
    let disk = SimulatedStorage::new(3);
    let vault = open(&disk);
    vault.put(b"the-key", b"old", SYNCED).unwrap();
    vault.put(b"the-key", b"new", SYNCED).unwrap();
    vault.put(b"another", b"value", SYNCED).unwrap();
    vault.close().unwrap();
    let (name, start) = header_of(&disk, b"the-key");
    for (position, kind) in [
        (start, DamageKind::Record),
        (start + 56, DamageKind::Record),
        (start + 63, DamageKind::Value),
    ] {
        let copy = disk.fork(4);
        copy.damage(&name, |bytes| bytes[position] ^= 1);
        let vault = open(&copy);
        match vault.get(b"the-key").unwrap_err() {
            VaultError::Corrupt { offset, .. } => assert_eq!(offset, start as u64),
            other => panic!("{other}"),
        }
        assert!(vault.contains(b"the-key").is_err());
        let recovery = vault.stats().recovery;
        assert_eq!(recovery.damage.len(), 1);
        assert_eq!(recovery.damage[0].kind, kind);
        assert_eq!(recovery.damage[0].offset, start as u64);
        let known = (kind == DamageKind::Value).then(|| b"the-key".to_vec());
        assert_eq!(recovery.damage[0].key, known);
        assert_eq!(
            vault.get(b"another").unwrap().as_deref(),
            Some(&b"value"[..])
        );
        assert_eq!(vault.get(b"absent").unwrap(), None);
        // A new write ends it, now and after reopening.
        vault.put(b"the-key", b"newer", SYNCED).unwrap();
        assert_eq!(
            vault.get(b"the-key").unwrap().as_deref(),
            Some(&b"newer"[..])
        );
        vault.close().unwrap();
        let vault = open(&copy);
        assert_eq!(
            vault.get(b"the-key").unwrap().as_deref(),
            Some(&b"newer"[..])
        );
        assert_eq!(vault.stats().recovery.damage_count, 1);
        vault.delete(b"the-key", SYNCED).unwrap();
        vault.close().unwrap();
        assert_eq!(open(&copy).get(b"the-key").unwrap(), None);
    }
}

#[test]
fn a_lost_removal_does_not_bring_back_the_value() {
    let disk = SimulatedStorage::new(3);
    let vault = open(&disk);
    vault.put(b"the-key", b"old", SYNCED).unwrap();
    vault.delete(b"the-key", SYNCED).unwrap();
    vault.close().unwrap();
    let (name, start) = header_of(&disk, b"the-key");
    disk.damage(&name, |bytes| bytes[start + 9] ^= 1);
    let vault = open(&disk);
    assert!(matches!(
        vault.get(b"the-key"),
        Err(VaultError::Corrupt { .. })
    ));
}

#[test]
fn losses_of_unknown_keys_put_older_states_in_doubt_only() {
    let disk = SimulatedStorage::new(3);
    let vault = open(&disk);
    for number in 0..12_u8 {
        vault.put(&[b'k', number], &[number; 30], SYNCED).unwrap();
    }
    vault.close().unwrap();
    let (name, start) = header_of(&disk, &[b'k', 4]);
    // Three neighbouring records are overwritten whole.
    disk.damage(&name, |bytes| bytes[start..start + 3 * 88].fill(0xee));
    let vault = open(&disk);
    for number in 0..12_u8 {
        let result = vault.get(&[b'k', number]);
        if number < 7 {
            assert!(
                matches!(result, Err(VaultError::Uncertain { .. })),
                "{number}: {result:?}"
            );
        } else {
            assert_eq!(result.unwrap().unwrap(), [number; 30]);
        }
    }
    let Stats { recovery, .. } = vault.stats();
    assert_eq!(recovery.damage.len(), 1);
    assert_eq!(recovery.damage[0].kind, DamageKind::Records);
    assert_eq!(
        (recovery.damage[0].offset, recovery.damage[0].bytes),
        (start as u64, 264)
    );
    drop(vault);
    let options = Options::new()
        .uncertain_reads(UncertainReads::Serve)
        .check_at_open(true);
    let vault = Vault::open_with(Arc::new(disk), options).unwrap();
    assert_eq!(vault.get(&[b'k', 1]).unwrap().unwrap(), [1; 30]);
    // Except for the last lost record, whose key's hash its successor remembers.
    assert_eq!(vault.get(&[b'k', 4]).unwrap(), None);
}

#[test]
fn a_torn_tail_is_cut_and_counted_and_is_not_rot() {
    let disk = SimulatedStorage::new(3);
    let vault = open(&disk);
    vault.put(b"kept", b"value", SYNCED).unwrap();
    vault.put(b"torn", &[7; 100], Durability::Written).unwrap();
    vault
        .put(b"behind", b"whole, but later", Durability::Written)
        .unwrap();
    disk.process_kill();
    drop(vault);
    let (name, start) = header_of(&disk, b"torn");
    disk.damage(&name, |bytes| bytes[start + 80] ^= 1);
    let mut written = 0;
    disk.damage(&name, |bytes| {
        // Behind the last record the file holds reserved space: zeros.
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        written = (last as u64 + 1).next_multiple_of(8);
    });
    let vault = open(&disk);
    let recovery = vault.stats().recovery;
    assert_eq!(recovery.damage_count, 0);
    assert_eq!(recovery.torn_tail_bytes, written - start as u64);
    assert_eq!(recovery.torn_tail_records, 1);
    assert_eq!(vault.get(b"kept").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(vault.get(b"torn").unwrap(), None);
    assert_eq!(vault.get(b"behind").unwrap(), None);
}

/// The same bytes, but a later record proves that the damaged one was durable.
#[test]
fn damage_below_a_proven_durable_end_is_rot() {
    let disk = SimulatedStorage::new(3);
    let vault = open(&disk);
    vault.put(b"torn", &[7; 100], SYNCED).unwrap();
    vault
        .put(b"behind", b"whole, and later", Durability::Written)
        .unwrap();
    disk.process_kill();
    drop(vault);
    let (name, start) = header_of(&disk, b"torn");
    disk.damage(&name, |bytes| bytes[start + 80] ^= 1);
    let vault = open(&disk);
    let recovery = vault.stats().recovery;
    assert_eq!((recovery.damage_count, recovery.torn_tail_bytes), (1, 0));
    assert!(matches!(
        vault.get(b"torn"),
        Err(VaultError::Corrupt { .. })
    ));
    assert_eq!(
        vault.get(b"behind").unwrap().as_deref(),
        Some(&b"whole, and later"[..])
    );
}

/// A write that landed in the wrong place is damage there, not a record.
#[test]
fn a_misdirected_record_is_not_believed() {
    let disk = SimulatedStorage::new(3);
    let vault = open(&disk);
    vault.put(b"key-a", b"value-1", SYNCED).unwrap();
    vault.put(b"key-b", b"value-2", SYNCED).unwrap();
    vault.put(b"key-c", b"value-3", SYNCED).unwrap();
    vault.close().unwrap();
    let (name, source) = header_of(&disk, b"key-a");
    let (_, target) = header_of(&disk, b"key-b");
    disk.damage(&name, |bytes| bytes.copy_within(source..target, target));
    let vault = open(&disk);
    assert!(matches!(
        vault.get(b"key-b"),
        Err(VaultError::Corrupt { .. })
    ));
    assert_eq!(
        vault.get(b"key-a").unwrap().as_deref(),
        Some(&b"value-1"[..])
    );
    assert_eq!(
        vault.get(b"key-c").unwrap().as_deref(),
        Some(&b"value-3"[..])
    );
}

#[test]
fn a_damaged_kv_state_is_reported_and_the_similarity_index_still_opens() {
    let disk = SimulatedStorage::new(3);
    let vault = open(&disk);
    let tokens: Vec<u32> = (0..200).collect();
    let rsu = Rsu::new(tokens.clone()).kv(b"the kv state of this unit".to_vec());
    vault.put_rsu(b"unit", &rsu, SYNCED).unwrap();
    vault
        .put_rsu(b"other", &Rsu::new((500..700).collect()), SYNCED)
        .unwrap();
    vault.close().unwrap();
    for (name, _) in disk.files() {
        disk.damage(&name, |bytes| {
            let hit = bytes
                .windows(12)
                .position(|window| window == b"the kv state");
            if let Some(hit) = hit {
                bytes[hit] ^= 4;
            }
        });
    }
    let vault = open(&disk);
    assert!(matches!(
        vault.get_rsu(b"unit"),
        Err(VaultError::Corrupt { .. })
    ));
    assert!(vault.get_rsu(b"other").unwrap().is_some());
    assert_eq!(
        vault.find_similar_tokens(&tokens, 0.9).unwrap()[0].0,
        b"unit"
    );
}

/// Sectors that cannot be read are damage like any other: reported, and no bar to opening.
#[test]
fn unreadable_sectors_do_not_keep_a_vault_from_opening() {
    let (disk, expected) = sample();
    let mut refusals = 0;
    for (name, bytes) in stored(&disk) {
        for start in (0..bytes).step_by(512) {
            for options in [small(), fast()] {
                let copy = disk.fork(7);
                let mut faults = Faults::default();
                faults.unreadable = Some((name.clone(), start, start + 512));
                copy.set_faults(faults);
                let what = format!("{name} from {start}");
                let vault = Vault::open_with(Arc::new(copy.clone()), options)
                    .unwrap_or_else(|error| panic!("{what}: open was blocked: {error}"));
                for (key, value) in &expected {
                    match vault.get(key) {
                        Ok(found) => assert_eq!(found, *value, "{what}: wrong value of {key:?}"),
                        Err(_) => refusals += 1,
                    }
                }
                let reported = vault.stats().recovery.damage_count > 0;
                assert!(reported || !vault.verify().unwrap().is_sound(), "{what}");
                vault.put(b"new", b"value", SYNCED).unwrap();
                // It may have gone to just these sectors.
                copy.set_faults(Faults::default());
                assert_eq!(vault.get(b"new").unwrap().as_deref(), Some(&b"value"[..]));
            }
        }
    }
    assert!(refusals > 10, "{refusals}");
}

/// Found by fuzzing: with the manifest damaged and the only segment cut short, the vault was taken for a
/// new one without a word.
#[test]
fn a_damaged_manifest_is_reported_where_no_segment_holds_a_record() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    vault.put(b"key", b"value", SYNCED).unwrap();
    vault.close().unwrap();
    assert!(disk.damage("0000000000000001.seg", |bytes| bytes.truncate(5)));
    assert!(disk.damage("MANIFEST", |bytes| bytes[20] ^= 1));
    let vault = open(&disk);
    let recovery = vault.stats().recovery;
    assert!(recovery.manifest_rebuilt);
    assert_eq!(recovery.damage[0].kind, DamageKind::Manifest);
    assert_eq!(recovery.damage_count, 1);
    vault.put(b"key", b"new", SYNCED).unwrap();
    vault.close().unwrap();
    let vault = open(&disk);
    assert_eq!(vault.stats().recovery.damage_count, 0);
    assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"new"[..]));
}
