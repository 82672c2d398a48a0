//! A vault with arbitrary bytes changed is repaired: then it is sound, answers every key, with its
//! value or a loss that was reported, and stays so after reopening.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sigma_vault::io::{MemoryStorage, Storage};
use sigma_vault::{Durability, Options, Rsu, UncertainReads, Vault};

const KEYS: u8 = 12;

fn options() -> Options {
    // Keys are written once, so nothing older can stand in for what is lost.
    Options::new().segment_bytes(4096).uncertain_reads(UncertainReads::Serve)
}

fn value(key: u8) -> Vec<u8> {
    (0..usize::from(key) * 97).map(|position| (position % 7) as u8 ^ key).collect()
}

static SOUND: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let storage = MemoryStorage::new();
    let vault = Vault::open_with(Arc::new(storage.clone()), options()).expect("a new vault");
    for key in 0..KEYS {
        vault.put(&[key], &value(key), Durability::Synced).expect("room");
    }
    let rsu = Rsu::new((0..50).collect()).kv(vec![3; 100]);
    vault.put_rsu(b"unit", &rsu, Durability::Synced).expect("room");
    vault.close().expect("sound");
    let mut names = storage.list().expect("memory");
    names.retain(|name| name != "LOCK");
    names.into_iter().map(|name| (name.clone(), storage.contents(&name).expect("listed"))).collect()
});

/// How many keys are there, each with its own value.
fn present(vault: &Vault) -> usize {
    let found = (0..KEYS).filter(|key| {
        let found = vault.get(&[*key]).expect("a repaired vault answers");
        assert!(found.is_none() || found == Some(value(*key)));
        found.is_some()
    });
    let unit = vault.get_rsu(b"unit").expect("a repaired vault answers");
    assert!(unit.as_ref().is_none_or(|unit| unit.kv == Some(vec![3; 100])));
    found.count() + usize::from(unit.is_some())
}

fuzz_target!(|data: &[u8]| {
    let Some((how, changes)) = data.split_first() else { return };
    let storage = MemoryStorage::new();
    let mut files = SOUND.clone();
    // Changes of four bytes: file, two bytes of position, new byte; now and then a cut.
    for change in changes.chunks_exact(4) {
        let count = files.len();
        let bytes = &mut files[usize::from(change[0] & 0x7f) % count].1;
        let position = usize::from(u16::from_le_bytes([change[1], change[2]]));
        if bytes.is_empty() {
            continue;
        }
        let position = position % bytes.len();
        if change[0] >= 0xf0 {
            bytes.truncate(position);
        } else {
            bytes[position] = change[3];
        }
    }
    for (name, bytes) in files {
        storage.set_contents(&name, bytes);
    }
    let options = options().check_at_open(how & 1 == 1);
    let Ok(vault) = Vault::open_with(Arc::new(storage.clone()), options.clone()) else { return };
    let recovery = vault.stats().recovery;
    if how & 2 == 2 {
        let _ = vault.compact();
    }
    let report = vault.repair().expect("memory does not fail");
    let after = vault.verify().expect("memory does not fail");
    assert!(after.is_sound(), "{:?}", after.damage);
    let there = present(&vault);
    let lost = usize::from(KEYS) + 1 - there;
    let reported = recovery.damage_count + recovery.torn_tail_bytes
        + report.lost.len() as u64 + report.lost_keys_unnamed;
    assert!(lost == 0 || reported > 0, "{lost} keys are gone without a word");
    vault.put(b"new", b"value", Durability::Synced).expect("room");
    vault.close().expect("memory does not fail");
    let vault = Vault::open_with(Arc::new(storage), options).expect("a repaired vault opens");
    assert_eq!(vault.stats().recovery.damage_count, 0);
    assert_eq!(present(&vault), there);
    assert_eq!(vault.get(b"new").expect("sound").as_deref(), Some(&b"value"[..]));
});
