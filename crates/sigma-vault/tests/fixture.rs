//! A vault written by format version 2, kept as files: it must open for ever, and what is written
//! today must be the same bytes.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sigma_vault::io::{MemoryStorage, Storage};
use sigma_vault::{Batch, Compression, Durability, Options, Rsu, Vault};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2")
}

fn options() -> Options {
    Options::new()
        .segment_bytes(4096)
        .compression(Compression::None)
}

fn noise(len: u64) -> Vec<u8> {
    support::Rng(1).bytes(len)
}

fn unit() -> Rsu {
    Rsu::new((100..140).collect())
        .kv(b"kv state".to_vec())
        .conversation("talk")
        .metadata("model", "test")
}

/// The history of the fixture.
fn write(storage: &MemoryStorage) {
    let vault = Vault::open_with(Arc::new(storage.clone()), options()).unwrap();
    vault.put(b"key", b"old", Durability::Synced).unwrap();
    vault.put(b"key", b"value", Durability::Buffered).unwrap();
    vault.put(b"", b"empty key", Durability::Grouped).unwrap();
    vault.put(b"empty", b"", Durability::Synced).unwrap();
    vault
        .put(b"noise", &noise(3000), Durability::Synced)
        .unwrap();
    vault
        .put(b"gone", b"removed below", Durability::Synced)
        .unwrap();
    let mut batch = Batch::new();
    batch
        .put(b"batch/1", b"one")
        .put(b"batch/2", b"two")
        .delete(b"gone");
    vault.write(batch, Durability::Synced).unwrap();
    vault.put_rsu(b"unit", &unit(), Durability::Synced).unwrap();
    vault.close().unwrap();
}

fn check(vault: &Vault) {
    let get = |key: &[u8]| vault.get(key).unwrap();
    assert_eq!(get(b"key").unwrap(), b"value");
    assert_eq!(get(b"").unwrap(), b"empty key");
    assert_eq!(get(b"empty").unwrap(), b"");
    assert_eq!(get(b"noise").unwrap(), noise(3000));
    assert_eq!(get(b"gone"), None);
    assert_eq!(get(b"batch/1").unwrap(), b"one");
    assert_eq!(get(b"batch/2").unwrap(), b"two");
    let unit = unit();
    let found = vault.get_rsu(b"unit").unwrap().unwrap();
    assert_eq!((&found.tokens, &found.kv), (&unit.tokens, &unit.kv));
    assert_eq!(
        (&found.conversation, &found.metadata),
        (&unit.conversation, &unit.metadata)
    );
    assert_eq!(
        vault.find_similar_tokens(&unit.tokens, 0.9).unwrap().len(),
        1
    );
    assert_eq!(vault.stats().recovery.damage_count, 0);
    assert!(vault.verify().unwrap().is_sound());
}

fn fixture_files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(fixture())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn version_2_opens() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in fixture_files() {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let vault = Vault::open(dir.path(), options()).unwrap();
    check(&vault);
    vault.put(b"more", b"after", Durability::Synced).unwrap();
    vault.close().unwrap();
    let vault = Vault::open(dir.path(), options()).unwrap();
    check(&vault);
    assert_eq!(vault.get(b"more").unwrap().as_deref(), Some(&b"after"[..]));
}

#[test]
fn version_2_is_still_written() {
    let storage = MemoryStorage::new();
    write(&storage);
    let mut names = storage.list().unwrap();
    names.sort();
    let files = fixture_files();
    assert_eq!(
        names,
        files
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    );
    for (name, bytes) in files {
        assert!(storage.contents(&name).unwrap() == bytes, "{name} differs");
    }
}

/// Writes the fixture where there is none; never over an existing one.
#[test]
#[ignore = "run once per format version"]
fn make_fixture() {
    let storage = MemoryStorage::new();
    write(&storage);
    fs::create_dir_all(fixture()).unwrap();
    for name in storage.list().unwrap() {
        let path = fixture().join(&name);
        assert!(!path.exists(), "{} exists", path.display());
        fs::write(path, storage.contents(&name).unwrap()).unwrap();
    }
}
