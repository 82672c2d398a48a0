//! Files that are not, or no longer, what a vault wrote: typed errors or reports, no panic, no
//! allocation beyond the files' own size, no blocked open where records are left.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use sigma_vault::io::{MemoryStorage, Storage};
use sigma_vault::{Durability, Vault, VaultError};
use support::{Rng, small};

fn open(storage: &MemoryStorage) -> Result<Vault, VaultError> {
    Vault::open_with(Arc::new(storage.clone()), small())
}

fn sample() -> (MemoryStorage, BTreeMap<Vec<u8>, Vec<u8>>) {
    let storage = MemoryStorage::new();
    let vault = open(&storage).unwrap();
    let mut rng = Rng(9);
    let mut model = BTreeMap::new();
    for number in 0..60_u8 {
        let len = rng.below(300);
        let value = rng.bytes(len);
        vault
            .put(&[number % 40], &value, Durability::Buffered)
            .unwrap();
        model.insert(vec![number % 40], value);
    }
    vault.close().unwrap();
    (storage, model)
}

fn copy(storage: &MemoryStorage) -> MemoryStorage {
    let target = MemoryStorage::new();
    for name in storage.list().unwrap() {
        target.set_contents(&name, storage.contents(&name).unwrap());
    }
    target
}

#[test]
fn random_files_are_refused_or_opened_empty() {
    let mut rng = Rng(1);
    for _ in 0..300 {
        let storage = MemoryStorage::new();
        for name in [
            "MANIFEST",
            "MANIFEST.new",
            "0000000000000001.seg",
            "stranger.seg",
            "x",
        ] {
            if rng.below(3) > 0 {
                let len = rng.below(400);
                storage.set_contents(name, rng.bytes(len));
            }
        }
        match open(&storage) {
            Ok(vault) => assert_eq!(vault.stats().keys, 0),
            Err(error) => assert!(matches!(error, VaultError::Corrupt { .. }), "{error}"),
        }
    }
}

/// Several damaged places at once may cost several keys, but every wrong answer is announced.
#[test]
fn random_damage_in_many_places_is_never_silent() {
    let (storage, model) = sample();
    let mut names: Vec<_> = storage.list().unwrap();
    names.retain(|name| name != "INDEX");
    let mut rng = Rng(2);
    for round in 0..1500 {
        let damaged = copy(&storage);
        let mut changed = false;
        for _ in 0..1 + rng.below(4) {
            let name = &names[usize::try_from(rng.below(names.len() as u64)).unwrap()];
            let mut bytes = damaged.contents(name).unwrap();
            let before = bytes.clone();
            let start = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
            let len = usize::try_from(rng.below(600))
                .unwrap()
                .min(bytes.len() - start);
            match rng.below(4) {
                0 => bytes[start..start + len].fill(0),
                1 => bytes[start..start + len].fill_with(|| rng.next().to_le_bytes()[0]),
                2 => bytes.truncate(start),
                _ => bytes[start] ^= 1 << rng.below(8),
            }
            changed |= bytes != before;
            damaged.set_contents(name, bytes);
        }
        let Ok(vault) = open(&damaged) else { continue };
        let mut wrong = 0;
        for (key, value) in &model {
            match vault.get(key) {
                Ok(found) => wrong += u32::from(found.as_ref() != Some(value)),
                Err(VaultError::Corrupt { .. } | VaultError::Uncertain { .. }) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
        }
        let recovery = vault.stats().recovery;
        assert!(
            wrong == 0 || recovery.manifest_rebuilt,
            "round {round}: {wrong} wrong"
        );
        assert!(
            !changed || recovery.damage_count > 0,
            "round {round}: not reported"
        );
        vault.verify().unwrap();
        vault.put(b"new", b"value", Durability::Synced).unwrap();
        assert_eq!(vault.get(b"new").unwrap().as_deref(), Some(&b"value"[..]));
    }
}

#[test]
fn other_versions_are_refused_by_name() {
    for version in [1, 9] {
        let (storage, _) = sample();
        let mut bytes = storage.contents("MANIFEST").unwrap();
        let body = bytes.len() - 8;
        bytes[8] = version;
        let check = xxhash_rust::xxh3::xxh3_64(&bytes[..body]).to_le_bytes();
        bytes[body..].copy_from_slice(&check);
        storage.set_contents("MANIFEST", bytes);
        let error = open(&storage).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "open memory:/MANIFEST: manifest version {version} is none that format version 2 \
                 has"
            )
        );
    }
}

#[test]
fn a_lost_manifest_is_rebuilt_and_reported() {
    let (storage, model) = sample();
    storage.remove("MANIFEST").unwrap();
    let vault = open(&storage).unwrap();
    assert!(vault.stats().recovery.manifest_rebuilt);
    for (key, value) in &model {
        assert_eq!(vault.get(key).unwrap().as_ref(), Some(value));
    }
    vault.close().unwrap();
    assert!(!open(&storage).unwrap().stats().recovery.manifest_rebuilt);
}

/// A rebuilt manifest knows as much as the lost one: losing a segment later is noticed as usual.
#[test]
fn a_segment_lost_after_a_rebuild_is_not_answered_with_older_values() {
    let (storage, model) = sample();
    storage.remove("MANIFEST").unwrap();
    open(&storage).unwrap().close().unwrap();
    let names = storage.list().unwrap();
    let mut segments: Vec<_> = names.iter().filter(|name| name.ends_with(".seg")).collect();
    segments.sort();
    assert!(segments.len() >= 3);
    // Everything in the first segment was written again later.
    for lost in &segments[1..] {
        let copy = copy(&storage);
        copy.remove(lost).unwrap();
        let vault = open(&copy).unwrap();
        let mut refused = 0;
        for (key, value) in &model {
            match vault.get(key) {
                Ok(found) => assert_eq!(found.as_ref(), Some(value), "{lost}"),
                Err(VaultError::Uncertain { .. }) => refused += 1,
                Err(error) => panic!("{lost}: {error}"),
            }
        }
        assert!(refused > 0, "{lost}");
    }
}

/// A manifest from an old backup does not make newer segments disappear.
#[test]
fn an_old_manifest_is_noticed() {
    let storage = MemoryStorage::new();
    let vault = open(&storage).unwrap();
    vault.put(b"first", &[1; 100], Durability::Synced).unwrap();
    vault.close().unwrap();
    let old = storage.contents("MANIFEST").unwrap();
    let vault = open(&storage).unwrap();
    for number in 0..60_u8 {
        vault
            .put(&[number], &[number; 200], Durability::Synced)
            .unwrap();
    }
    vault.close().unwrap();
    storage.set_contents("MANIFEST", old);
    let vault = open(&storage).unwrap();
    assert!(vault.stats().recovery.manifest_rebuilt);
    for number in 0..60_u8 {
        assert_eq!(vault.get(&[number]).unwrap().unwrap(), [number; 200]);
    }
}
