//! Vaults written by format version 2 and its later additions, kept as files: they must open for
//! ever, and what is written today must be the same bytes. The index snapshot of the first one is of
//! an arrangement that is not read any more, so opening it shows that snapshots may be ignored; the
//! present arrangement is kept beside it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sigma_vault::io::{MemoryStorage, Storage};
use sigma_vault::{Batch, Compression, Durability, ManualClock, Options, Rsu, Vault};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Writes a vault.
type Write = fn(&MemoryStorage);

/// Only the first fixture has a snapshot of the index: it is a copy, whose arrangement may change.
const INDEX: &str = "INDEX";

/// Each fixture with the history that wrote it.
fn fixtures() -> Vec<(&'static str, Write)> {
    vec![
        ("v2", write as Write),
        ("v2-expiry", write_expiring),
        #[cfg(feature = "encryption")]
        ("v2-encrypted", write_encrypted),
    ]
}

fn index_now() -> PathBuf {
    fixture("index1").join(INDEX)
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

const EXPIRES_MS: u64 = 1_000_060_000;

fn at(unix_time_ms: u64) -> Options {
    options().clock(Arc::new(ManualClock::new(unix_time_ms)))
}

/// Values that expire, in both key spaces.
fn write_expiring(storage: &MemoryStorage) {
    let options = at(EXPIRES_MS - 60_000);
    let vault = Vault::open_with(Arc::new(storage.clone()), options).unwrap();
    let minute = Duration::from_secs(60);
    let put = |key: &[u8], ttl| vault.put_with_ttl(key, b"value", ttl, Durability::Synced);
    vault.put(b"always", b"value", Durability::Synced).unwrap();
    put(b"a minute", minute).unwrap();
    put(b"two minutes", 2 * minute).unwrap();
    vault
        .put_rsu_with_ttl(b"unit", &unit(), minute, Durability::Synced)
        .unwrap();
    vault.close().unwrap();
}

fn check_expiring(dir: &Path) {
    for (now_ms, keys) in [
        (EXPIRES_MS - 1, 3),
        (EXPIRES_MS, 2),
        (EXPIRES_MS + 60_000, 1),
    ] {
        let vault = Vault::open(dir, at(now_ms)).unwrap();
        assert_eq!(vault.iter().map(Result::unwrap).count(), keys);
        assert_eq!(vault.get_rsu(b"unit").unwrap().is_some(), keys == 3);
        assert_eq!(vault.stats().recovery.damage_count, 0);
        assert!(vault.verify().unwrap().is_sound());
    }
}

#[cfg(feature = "encryption")]
fn sealed() -> Options {
    options().encryption(sigma_vault::EncryptionKey::raw([0x42; 32]))
}

/// Encrypted under 32 bytes 0x42.
#[cfg(feature = "encryption")]
fn write_encrypted(storage: &MemoryStorage) {
    let vault = Vault::open_with(Arc::new(storage.clone()), sealed()).unwrap();
    vault.put(b"key", b"old", Durability::Synced).unwrap();
    vault.put(b"key", b"value", Durability::Synced).unwrap();
    vault.put(b"gone", b"1", Durability::Synced).unwrap();
    vault.delete(b"gone", Durability::Synced).unwrap();
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

fn fixture_files(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(fixture(name))
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

/// A copy that may be opened.
fn copied(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in fixture_files(name) {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

#[test]
fn expiring_values_open() {
    check_expiring(copied("v2-expiry").path());
}

#[cfg(feature = "encryption")]
#[test]
fn an_encrypted_vault_opens() {
    for lost in [false, true] {
        let dir = copied("v2-encrypted");
        if lost {
            fs::remove_file(dir.path().join("MANIFEST")).unwrap();
        }
        let vault = Vault::open(dir.path(), sealed()).unwrap();
        assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
        assert_eq!(vault.get(b"gone").unwrap(), None);
        assert_eq!(vault.get_rsu(b"unit").unwrap().unwrap().kv, unit().kv);
        assert_eq!(vault.stats().recovery.manifest_rebuilt, lost);
    }
}

#[test]
fn version_2_opens() {
    let dir = copied("v2");
    let vault = Vault::open(dir.path(), options()).unwrap();
    check(&vault);
    vault.put(b"more", b"after", Durability::Synced).unwrap();
    vault.close().unwrap();
    let vault = Vault::open(dir.path(), options()).unwrap();
    check(&vault);
    assert_eq!(vault.get(b"more").unwrap().as_deref(), Some(&b"after"[..]));
}

#[test]
fn all_fixtures_are_still_written() {
    for (fixture, write) in fixtures() {
        let storage = MemoryStorage::new();
        write(&storage);
        let mut names = storage.list().unwrap();
        names.retain(|name| name != INDEX || fixture == "v2");
        names.sort();
        let files = fixture_files(fixture);
        let expected: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, expected, "{fixture}");
        for (name, mut bytes) in files {
            if name == INDEX {
                bytes = fs::read(index_now()).unwrap();
            }
            let same = storage.contents(&name).unwrap() == bytes;
            assert!(same, "{fixture}: {name} differs");
        }
    }
}

/// Writes the fixtures that are not there; never over an existing one.
#[test]
#[ignore = "run once per addition to the format"]
fn make_fixtures() {
    for (name, write) in fixtures() {
        let is_new = !fixture(name).exists();
        let storage = MemoryStorage::new();
        write(&storage);
        let mut files = Vec::new();
        for file in storage.list().unwrap() {
            let path = fixture(name).join(&file);
            if file == INDEX && name == "v2" {
                files.push((index_now(), file));
            } else if file != INDEX && is_new {
                files.push((path, file));
            }
        }
        for (path, file) in files.iter().filter(|(path, _)| !path.exists()) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, storage.contents(file).unwrap()).unwrap();
        }
    }
}
