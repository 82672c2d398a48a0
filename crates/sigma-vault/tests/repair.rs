//! Repair: what is sound stays, what is lost is named and accepted, a crash in between costs
//! nothing more.

mod support;

use std::sync::Arc;

use sigma_vault::io::{Faults, SimulatedStorage};
use sigma_vault::{DamageKind, Durability, Rsu, Vault, VaultError};
use support::{Effect, small};

const SYNCED: Durability = Durability::Synced;

fn open(disk: &SimulatedStorage) -> Vault {
    Vault::open_with(Arc::new(disk.clone()), small()).unwrap()
}

/// A closed vault whose keys were never overwritten, so that a lost one has no older value.
fn sample() -> (SimulatedStorage, Vec<Effect>) {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    let mut expected = Vec::new();
    for number in 0..60_u8 {
        let (key, value) = (vec![b'k', number], vec![number; 80]);
        vault.put(&key, &value, SYNCED).unwrap();
        expected.push((key, Some(value)));
    }
    vault.delete(&[b'k', 5], SYNCED).unwrap();
    expected[5].1 = None;
    vault.close().unwrap();
    (disk, expected)
}

/// How many keys read otherwise than they should: absent, or a removed one present; panics on any other difference.
fn missing(vault: &Vault, expected: &[Effect], what: &str) -> usize {
    let differ = expected.iter().map(|(key, value)| {
        let found = vault
            .get(key)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        // A lost removal brings its value back: the last state that is known.
        assert!(
            value.is_none() || found.is_none() || found == *value,
            "{what}: wrong value"
        );
        usize::from(found != *value)
    });
    differ.sum()
}

#[test]
fn one_bad_byte_costs_one_key_at_most_and_is_gone_after_repair() {
    let (disk, expected) = sample();
    let mut lost = 0;
    for (name, bytes) in disk.files() {
        for position in (0..usize::try_from(bytes).unwrap()).step_by(5) {
            for early in [true, false] {
                let copy = disk.fork(7);
                let what = format!("{name}, byte {position}, before opening: {early}");
                let before = (!early).then(|| open(&copy));
                copy.damage(&name, |bytes| bytes[position] ^= 2);
                let vault = before.unwrap_or_else(|| open(&copy));
                let report = vault.repair().unwrap();
                let count = missing(&vault, &expected, &what);
                assert!(count <= 1, "{what}: {count} keys");
                assert!(count <= report.lost.len(), "{what}: not reported");
                for damage in &report.lost {
                    assert!(damage.file.ends_with(&name), "{what}");
                    assert!(damage.offset <= position as u64, "{what}");
                    if let Some(key) = &damage.key {
                        assert_eq!(damage.kind, DamageKind::Value);
                        assert_eq!(vault.get(key).unwrap(), None, "{what}");
                    }
                }
                assert!(
                    vault.verify().unwrap().is_sound() || name == "MANIFEST",
                    "{what}"
                );
                vault.put(b"new", b"value", SYNCED).unwrap();
                vault.close().unwrap();
                let vault = open(&copy);
                assert_eq!(vault.stats().recovery.damage_count, 0, "{what}");
                let again = expected
                    .iter()
                    .filter(|(key, value)| vault.get(key).unwrap() != *value);
                assert!(again.count() <= 1, "{what}");
                lost += count;
            }
        }
    }
    assert!(lost > 500, "{lost}");
}

#[test]
fn a_missing_segment_and_unnamed_losses_are_accepted() {
    let (disk, expected) = sample();
    disk.lose_file("0000000000000001.seg");
    disk.damage("0000000000000002.seg", |bytes| bytes[200..900].fill(0xee));
    let vault = open(&disk);
    assert!(matches!(
        vault.get(b"absent"),
        Err(VaultError::Uncertain { .. })
    ));
    let report = vault.repair().unwrap();
    assert_eq!(report.segments_repaired, 2);
    assert_eq!(report.lost[0].kind, DamageKind::SegmentMissing);
    assert!(report.records_kept > 5);
    assert_eq!(vault.get(b"absent").unwrap(), None);
    let count = missing(&vault, &expected, "repaired");
    assert!((30..50).contains(&count), "{count}");
    vault.close().unwrap();
    let vault = open(&disk);
    assert_eq!(vault.stats().recovery.damage_count, 0);
    assert_eq!(missing(&vault, &expected, "reopened"), count);
}

#[test]
fn an_rsu_that_lost_its_kv_state_goes_as_a_whole() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    let tokens: Vec<u32> = (0..200).collect();
    let rsu = Rsu::new(tokens.clone()).kv(b"the kv state of this unit".to_vec());
    vault.put_rsu(b"unit", &rsu, SYNCED).unwrap();
    vault
        .put_rsu(b"other", &Rsu::new((500..700).collect()), SYNCED)
        .unwrap();
    disk.damage("0000000000000001.seg", |bytes| {
        let at = bytes
            .windows(12)
            .position(|window| window == b"the kv state");
        bytes[at.unwrap()] ^= 4;
    });
    let report = vault.repair().unwrap();
    assert_eq!(report.lost[0].key.as_deref(), Some(&b"unit"[..]));
    assert!(vault.get_rsu(b"unit").unwrap().is_none());
    assert!(vault.get_rsu(b"other").unwrap().is_some());
    assert!(vault.find_similar_tokens(&tokens, 0.9).unwrap().is_empty());
}

/// The record of the KV state is lost with its name: the unit's body alone would be refused for ever.
#[test]
fn an_rsu_whose_kv_state_lost_its_name_goes_as_a_whole() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    let tokens: Vec<u32> = (0..200).collect();
    let rsu = Rsu::new(tokens.clone()).kv(b"the kv state of this unit".to_vec());
    vault.put_rsu(b"unit", &rsu, SYNCED).unwrap();
    vault.put_rsu(b"other", &rsu, SYNCED).unwrap();
    vault.put(b"key", b"value", SYNCED).unwrap();
    vault.close().unwrap();
    disk.damage("0000000000000001.seg", |bytes| {
        let at = bytes
            .windows(12)
            .position(|window| window == b"the kv state");
        // The sequence number in the header before key and value.
        bytes[at.unwrap() - 4 - 56 + 8] ^= 4;
    });
    let vault = open(&disk);
    assert!(vault.get_rsu(b"unit").is_err());
    let report = vault.repair().unwrap();
    assert_eq!(report.units_without_kv, [b"unit"]);
    assert!(report.lost.iter().all(|damage| damage.key.is_none()));
    disk.power_cut();
    drop(vault);
    let vault = open(&disk);
    assert!(vault.get_rsu(b"unit").unwrap().is_none());
    assert_eq!(vault.find_similar_tokens(&tokens, 0.9).unwrap().len(), 1);
    assert_eq!(vault.get_rsu(b"other").unwrap().unwrap().kv, rsu.kv);
    assert_eq!(vault.repair().unwrap().units_without_kv.len(), 0);
}

#[test]
fn a_power_cut_at_every_call_of_a_repair_loses_nothing_sound() {
    let (disk, expected) = sample();
    disk.damage("0000000000000001.seg", |bytes| {
        bytes[64 + 3 * 144 + 100] ^= 1
    });
    let mut cuts = 0;
    loop {
        let copy = disk.fork(cuts);
        let vault = open(&copy);
        let mut faults = Faults::default();
        faults.kill_at_call = Some(copy.calls() + cuts);
        copy.set_faults(faults);
        let repaired = vault.repair().is_ok();
        copy.power_cut();
        drop(vault);
        let vault = open(&copy);
        let mut refused = 0;
        for (key, value) in &expected {
            match vault.get(key) {
                Ok(found) if found == *value => {}
                Ok(None) => refused += 1,
                Err(VaultError::Corrupt { .. }) => refused += 1,
                other => panic!("cut {cuts}: {other:?}"),
            }
        }
        assert_eq!(refused, 1, "cut {cuts}");
        if repaired {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 30, "{cuts}");
}
