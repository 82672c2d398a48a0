//! Random operations against a map, with reopening in between; short names, many collisions.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use sigma_vault::io::MemoryStorage;
use sigma_vault::{Batch, Compression, Durability, Options, Vault};

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8),
    Batch(Vec<(u8, Option<Vec<u8>>)>),
    Reopen { close: bool },
    Check(u8),
    Compact,
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..60),
        1 => (any::<u8>(), 0..3000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..6_u8;
    prop_oneof![
        5 => (key.clone(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => key.clone().prop_map(Step::Delete),
        2 => prop::collection::vec((key.clone(), prop::option::of(value())), 0..5)
            .prop_map(Step::Batch),
        1 => any::<bool>().prop_map(|close| Step::Reopen { close }),
        3 => key.prop_map(Step::Check),
        1 => Just(Step::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_vault_is_a_map(steps in prop::collection::vec(step(), 1..80)) {
        let storage = MemoryStorage::new();
        let options = Options::new().segment_bytes(4096).compression(Compression::Fast);
        let open = || Vault::open_with(Arc::new(storage.clone()), options.clone()).unwrap();
        let mut vault = open();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    vault.put(&[key], &value, Durability::Buffered).unwrap();
                    model.insert(vec![key], value);
                }
                Step::Delete(key) => {
                    let existed = vault.delete(&[key], Durability::Buffered).unwrap();
                    prop_assert_eq!(existed, model.remove(&vec![key]).is_some());
                }
                Step::Batch(writes) => {
                    let mut batch = Batch::new();
                    for (key, value) in writes {
                        if let Some(value) = value {
                            batch.put(&[key], &value);
                            model.insert(vec![key], value);
                        } else {
                            batch.delete(&[key]);
                            model.remove(&vec![key]);
                        }
                    }
                    vault.write(batch, Durability::Grouped).unwrap();
                }
                Step::Reopen { close } => {
                    if close {
                        vault.close().unwrap();
                    } else {
                        drop(vault);
                    }
                    vault = open();
                    prop_assert_eq!(vault.stats().recovery.damage_count, 0);
                }
                Step::Compact => {
                    vault.compact().unwrap();
                }
                Step::Check(key) => {
                    prop_assert_eq!(vault.get(&[key]).unwrap(), model.get(&vec![key]).cloned());
                    prop_assert_eq!(vault.contains(&[key]).unwrap(), model.contains_key(&vec![key]));
                }
            }
            prop_assert_eq!(vault.stats().keys, model.len() as u64);
        }
        let found: BTreeMap<_, _> = vault.iter().map(|item| item.unwrap()).collect();
        prop_assert_eq!(found, model);
        prop_assert!(vault.verify().unwrap().is_sound());
    }
}
