//! A sound vault with arbitrary bytes changed opens (or says why not), and no answer is wrong
//! without a report.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sigma_vault::io::{MemoryStorage, Storage};
use sigma_vault::{Durability, Options, Rsu, Vault};

const KEYS: u8 = 12;

fn options() -> Options {
    Options::new().segment_bytes(4096).check_at_open(true)
}

fn value(key: u8) -> Vec<u8> {
    vec![key; usize::from(key) * 37]
}

static SOUND: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let storage = MemoryStorage::new();
    let vault = Vault::open_with(Arc::new(storage.clone()), options()).expect("a new vault");
    for key in 0..KEYS {
        vault.put(&[key], b"older", Durability::Buffered).expect("room");
    }
    for key in 0..KEYS {
        vault.put(&[key], &value(key), Durability::Synced).expect("room");
    }
    let rsu = Rsu::new((0..50).collect()).kv(vec![3; 100]);
    vault.put_rsu(b"unit", &rsu, Durability::Synced).expect("room");
    vault.close().expect("sound");
    let mut names = storage.list().expect("memory");
    // A copy of what the others say: its damage costs nothing and is not reported.
    names.retain(|name| name != "INDEX");
    names.into_iter().map(|name| (name.clone(), storage.contents(&name).expect("listed"))).collect()
});

fuzz_target!(|data: &[u8]| {
    let storage = MemoryStorage::new();
    let mut files = SOUND.clone();
    // Changes of four bytes: file, two bytes of position, new byte.
    for change in data.chunks_exact(4) {
        let count = files.len();
        let bytes = &mut files[usize::from(change[0]) % count].1;
        let position = usize::from(u16::from_le_bytes([change[1], change[2]])) % bytes.len();
        bytes[position] = change[3];
    }
    let changed = files != *SOUND;
    for (name, bytes) in files {
        storage.set_contents(&name, bytes);
    }
    let Ok(vault) = Vault::open_with(Arc::new(storage), options()) else { return };
    let recovery = vault.stats().recovery;
    assert!(!changed || recovery.damage_count > 0, "damage was not reported");
    for key in 0..KEYS {
        if let Ok(found) = vault.get(&[key]) {
            assert!(found == Some(value(key)) || recovery.manifest_rebuilt);
        }
    }
    let _ = vault.get_rsu(b"unit");
    vault.verify().expect("memory does not fail");
    vault.put(b"new", b"value", Durability::Synced).expect("room");
    assert_eq!(vault.get(b"new").expect("sound").as_deref(), Some(&b"value"[..]));
});
