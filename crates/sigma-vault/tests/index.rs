//! The index without keys: its memory, long records, and agreement with what is stored.

mod support;

use std::sync::Arc;

use sigma_vault::io::MemoryStorage;
use sigma_vault::{Compression, Durability, Options, Vault};

const BUFFERED: Durability = Durability::Buffered;

fn options() -> Options {
    Options::new()
        .segment_bytes(1 << 20)
        .compression(Compression::None)
}

#[test]
fn a_key_costs_at_most_twenty_bytes_of_memory_whatever_its_length() {
    let storage = MemoryStorage::new();
    let vault = Vault::open_with(Arc::new(storage.clone()), options()).unwrap();
    for number in 0..60_000_u64 {
        let key = [&number.to_le_bytes()[..], &[7; 92]].concat();
        vault.put(&key, b"v", BUFFERED).unwrap();
    }
    let stats = vault.stats();
    assert_eq!(stats.keys, 60_000);
    assert!(stats.index_bytes > 60_000 * 12, "{}", stats.index_bytes);
    assert!(stats.index_bytes <= 60_000 * 20, "{}", stats.index_bytes);
    vault.close().unwrap();
    let vault = Vault::open_with(Arc::new(storage), options()).unwrap();
    assert!(vault.stats().index_bytes <= 60_000 * 20);
}

/// Around the length from which on the index leaves it to the record's header.
#[test]
fn long_records_are_read_replaced_iterated_and_compacted() {
    let storage = MemoryStorage::new();
    let open = || Vault::open_with(Arc::new(storage.clone()), options()).unwrap();
    let vault = open();
    let lengths = [
        262_000, 262_080, 262_128, 262_136, 262_200, 600_000, 2_000_000,
    ];
    let value = |len: usize, round: u8| vec![round; len];
    for round in 0..5 {
        for len in lengths {
            let key = len.to_string();
            vault
                .put(key.as_bytes(), &value(len, round), BUFFERED)
                .unwrap();
        }
    }
    let live: usize = lengths.iter().sum();
    let live_bytes = vault.stats().live_bytes;
    assert!(
        (live as u64..live as u64 + 1000).contains(&live_bytes),
        "{live_bytes}"
    );
    for step in 0..3 {
        let again;
        let vault = match step {
            0 => &vault,
            1 => {
                assert!(vault.compact().unwrap().reclaimed_bytes > 10_000_000);
                &vault
            }
            _ => {
                vault.sync().unwrap();
                let copy = MemoryStorage::new();
                for name in sigma_vault::io::Storage::list(&storage).unwrap() {
                    copy.set_contents(&name, storage.contents(&name).unwrap());
                }
                again = Vault::open_with(Arc::new(copy), options()).unwrap();
                &again
            }
        };
        for len in lengths {
            let found = vault.get(len.to_string().as_bytes()).unwrap();
            assert!(found == Some(value(len, 4)), "{len} at step {step}");
        }
        assert_eq!(vault.iter().filter(Result::is_ok).count(), lengths.len());
        assert_eq!(vault.stats().live_bytes, live_bytes);
    }
}
