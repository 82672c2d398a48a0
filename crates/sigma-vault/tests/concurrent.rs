//! Many threads on one vault.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sigma_vault::io::SimulatedStorage;
use sigma_vault::{Batch, Durability, Rsu, Vault};
use support::{Rng, small};

fn open(disk: &SimulatedStorage) -> Arc<Vault> {
    Arc::new(Vault::open_with(Arc::new(disk.clone()), small()).unwrap())
}

#[test]
fn writers_of_every_durability_lose_nothing_to_a_power_cut() {
    const THREADS: u64 = 6;
    const EACH: u64 = 150;
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let vault = &vault;
            scope.spawn(move || {
                let mut rng = Rng(thread);
                for number in 0..EACH {
                    let durability = match thread % 3 {
                        0 => Durability::Synced,
                        1 => Durability::Grouped,
                        _ => Durability::Buffered,
                    };
                    let key = format!("{thread}/{number}");
                    let len = rng.below(200);
                    vault
                        .put(key.as_bytes(), &rng.bytes(len), durability)
                        .unwrap();
                }
                if thread % 3 == 2 {
                    vault.sync().unwrap();
                }
            });
        }
    });
    disk.power_cut();
    drop(vault);
    let vault = open(&disk);
    for thread in 0..THREADS {
        let mut rng = Rng(thread);
        for number in 0..EACH {
            let len = rng.below(200);
            let value = vault.get(format!("{thread}/{number}").as_bytes()).unwrap();
            assert_eq!(
                value,
                Some(rng.bytes(len)),
                "thread {thread}, write {number}"
            );
        }
    }
    assert_eq!(vault.stats().keys, THREADS * EACH);
}

/// Readers of an iterator see both keys of a batch at the same version, whatever writers do.
#[test]
fn batches_are_seen_whole() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    let write = |version: u32| {
        let mut batch = Batch::new();
        batch
            .put(b"a", &version.to_le_bytes())
            .put(b"b", &version.to_le_bytes());
        vault.write(batch, Durability::Buffered).unwrap();
    };
    write(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                let values: Vec<_> = vault.iter().map(|item| item.unwrap().1).collect();
                assert_eq!(values.len(), 2);
                assert_eq!(values[0], values[1]);
                seen += 1;
            }
            seen
        });
        for version in 1..3000 {
            write(version);
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn an_iterator_keeps_its_snapshot() {
    let vault = open(&SimulatedStorage::new(1));
    for number in 0..50_u8 {
        vault
            .put(&[number], &[number], Durability::Buffered)
            .unwrap();
    }
    let iter = vault.iter();
    for number in 0..50_u8 {
        vault
            .put(&[number], b"later", Durability::Buffered)
            .unwrap();
        vault
            .put(&[number, 1], b"new", Durability::Buffered)
            .unwrap();
    }
    vault.delete(&[7], Durability::Buffered).unwrap();
    let mut found: Vec<_> = iter.map(|item| item.unwrap()).collect();
    found.sort();
    let expected: Vec<_> = (0..50_u8)
        .map(|number| (vec![number], vec![number]))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn rsus_of_one_id_from_many_threads_agree_with_the_similarity_index() {
    let disk = SimulatedStorage::new(1);
    let vault = open(&disk);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let vault = &vault;
            scope.spawn(move || {
                for round in 0..40_u32 {
                    let start = (thread * 40 + round) * 1000;
                    let rsu = Rsu::new((start..start + 100).collect()).kv(vec![1; 10]);
                    vault.put_rsu(b"shared", &rsu, Durability::Grouped).unwrap();
                }
            });
        }
    });
    let rsu = vault.get_rsu(b"shared").unwrap().unwrap();
    let found = vault.find_similar_tokens(&rsu.tokens, 1.0).unwrap();
    assert_eq!(found, [(b"shared".to_vec(), 1.0)]);
}
