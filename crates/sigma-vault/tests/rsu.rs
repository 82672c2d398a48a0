//! Reusable semantic units: stored whole, found again by similarity, after a restart too.

mod support;

use std::sync::Arc;

use sigma_vault::io::{MemoryStorage, SimulatedStorage};
use sigma_vault::{Durability, Options, Rsu, Signature, Vault, VaultError};
use support::small;

fn tokens(start: u32) -> Vec<u32> {
    (start..start + 400).collect()
}

#[test]
fn units_round_trip_and_are_found_after_a_restart() {
    let storage = MemoryStorage::new();
    let open = || Vault::open_with(Arc::new(storage.clone()), small()).unwrap();
    let vault = open();
    for number in 0..40_u32 {
        let rsu = Rsu::new(tokens(number * 10_000))
            .kv(number.to_le_bytes().repeat(50))
            .conversation(format!("talk {number}"))
            .metadata("number", number.to_string());
        vault
            .put_rsu(&number.to_le_bytes(), &rsu, Durability::Buffered)
            .unwrap();
    }
    vault
        .put(
            &0_u32.to_le_bytes(),
            b"a plain key of the same name",
            Durability::Buffered,
        )
        .unwrap();
    vault.close().unwrap();
    let vault = open();
    let stats = vault.stats();
    assert_eq!((stats.keys, stats.rsus), (1, 40));
    for number in 0..40_u32 {
        let id = number.to_le_bytes();
        let rsu = vault.get_rsu(&id).unwrap().unwrap();
        assert_eq!(rsu.tokens, tokens(number * 10_000));
        assert_eq!(rsu.kv, Some(id.repeat(50)));
        assert_eq!(rsu.conversation, format!("talk {number}"));
        assert_eq!(rsu.metadata["number"], number.to_string());
        assert_eq!(
            rsu.signature,
            Some(Signature::of_tokens(&rsu.tokens).unwrap())
        );
        // Ten of 400 tokens differ: similarity about 0.95.
        let found = vault
            .find_similar_tokens(&tokens(number * 10_000 + 10), 0.8)
            .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, id);
        assert!(found[0].1 >= 0.8 && found[0].1 < 1.0);
    }
    assert!(
        vault
            .find_similar_tokens(&tokens(5_000_000), 0.5)
            .unwrap()
            .is_empty()
    );
    assert_eq!(vault.rsu_ids().len(), 40);
    assert!(
        (vault.distinct() - 40.0).abs() < 0.5,
        "{}",
        vault.distinct()
    );
    // The same content under another id is not another content.
    vault
        .put_rsu(b"copy", &Rsu::new(tokens(0)), Durability::Buffered)
        .unwrap();
    assert!(
        (vault.distinct() - 40.0).abs() < 0.5,
        "{}",
        vault.distinct()
    );
}

#[test]
fn replacing_and_removing_keep_index_and_kv_in_step() {
    let storage = MemoryStorage::new();
    let open = || Vault::open_with(Arc::new(storage.clone()), small()).unwrap();
    let vault = open();
    vault
        .put_rsu(b"id", &Rsu::new(tokens(0)).kv(vec![1]), Durability::Synced)
        .unwrap();
    vault
        .put_rsu(b"id", &Rsu::new(tokens(50_000)), Durability::Synced)
        .unwrap();
    let check = |vault: &Vault| {
        assert!(
            vault
                .find_similar_tokens(&tokens(0), 0.5)
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            vault
                .find_similar_tokens(&tokens(50_000), 0.5)
                .unwrap()
                .len(),
            1
        );
        assert_eq!(vault.get_rsu(b"id").unwrap().unwrap().kv, None);
    };
    check(&vault);
    vault.close().unwrap();
    let vault = open();
    check(&vault);
    assert!(vault.delete_rsu(b"id", Durability::Synced).unwrap());
    assert!(!vault.delete_rsu(b"id", Durability::Synced).unwrap());
    assert_eq!(vault.get_rsu(b"id").unwrap(), None);
    assert!(
        vault
            .find_similar_tokens(&tokens(50_000), 0.5)
            .unwrap()
            .is_empty()
    );
    vault.close().unwrap();
    let vault = open();
    assert_eq!(vault.get_rsu(b"id").unwrap(), None);
    assert!(
        vault
            .find_similar_tokens(&tokens(50_000), 0.5)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_unit_survives_a_power_cut_whole_or_not_at_all() {
    let mut whole = 0;
    // A snapshot would make it durable.
    let options = small().index_snapshot_bytes_min(u64::MAX);
    for seed in 0..300 {
        let disk = SimulatedStorage::new(seed);
        let open = || Vault::open_with(Arc::new(disk.clone()), options.clone()).unwrap();
        let vault = open();
        let rsu = Rsu::new(tokens(0)).kv(support::Rng(seed).bytes(1500));
        vault.put_rsu(b"id", &rsu, Durability::Written).unwrap();
        disk.power_cut();
        drop(vault);
        let vault = open();
        if let Some(found) = vault.get_rsu(b"id").unwrap() {
            assert_eq!((found.tokens, found.kv), (rsu.tokens, rsu.kv));
            whole += 1;
        }
        assert_eq!(vault.stats().recovery.damage_count, 0);
    }
    assert!((20..280).contains(&whole), "{whole} of 300");
}

#[test]
fn thresholds_outside_the_range_are_refused_by_name() {
    let storage = Arc::new(MemoryStorage::new());
    let options = Options::new().similarity_threshold_min(0.6);
    let vault = Vault::open_with(storage, options).unwrap();
    for threshold in [0.5, 1.1, f64::NAN] {
        let error = vault
            .find_similar_tokens(&[1, 2, 3], threshold)
            .unwrap_err();
        assert!(matches!(
            error,
            VaultError::InvalidArgument {
                name: "threshold",
                ..
            }
        ));
    }
    vault.find_similar_tokens(&[1, 2, 3], 0.6).unwrap();
}

#[test]
fn the_units_read_most_come_first_and_removed_ones_not_at_all() {
    let storage = Arc::new(MemoryStorage::new());
    let options = Options::new().hot_units_max(8);
    let vault = Vault::open_with(storage.clone(), options).unwrap();
    let id = |number: u32| number.to_le_bytes();
    for number in 0..30 {
        let rsu = Rsu::new(tokens(number * 1000));
        vault
            .put_rsu(&id(number), &rsu, Durability::Buffered)
            .unwrap();
    }
    assert!(vault.hot(5).is_empty());
    assert!(vault.get_rsu(b"absent").unwrap().is_none());
    for (number, reads) in [(3, 40), (7, 90), (11, 20)] {
        for _ in 0..reads {
            vault.get_rsu(&id(number)).unwrap().unwrap();
        }
    }
    let found = |vault: &Vault, k| -> Vec<_> {
        let hot = vault.hot(k);
        assert!(hot.iter().all(|unit| unit.reads_error_max == 0));
        hot.into_iter().map(|unit| (unit.id, unit.reads)).collect()
    };
    let expected = [(7, 90), (3, 40), (11, 20)].map(|(n, reads)| (id(n).to_vec(), reads));
    assert_eq!(found(&vault, 10), expected);
    assert_eq!(found(&vault, 1), expected[..1]);
    assert!(vault.hot(0).is_empty());
    vault.delete_rsu(&id(7), Durability::Buffered).unwrap();
    assert_eq!(found(&vault, 2), expected[1..]);
    // More units than counters: the busiest stays, and the error is said.
    for number in 12..30 {
        vault.get_rsu(&id(number)).unwrap();
    }
    let hot = vault.hot(10);
    assert!(hot.len() <= 8 && hot[0].id == id(3) && hot[0].reads >= 40);
    assert!(hot[0].reads - hot[0].reads_error_max <= 40);
    vault.close().unwrap();
    let vault = Vault::open_with(storage, Options::new()).unwrap();
    assert!(vault.hot(5).is_empty());
}

/// Estimates and the search are held to plain counting over a few hundred units.
#[test]
fn distinct_and_similar_agree_with_counting() {
    let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new()).unwrap();
    let contents = |number: u32| tokens((number % 120) * 137);
    for number in 0..240_u32 {
        let rsu = Rsu::new(contents(number));
        vault
            .put_rsu(&number.to_le_bytes(), &rsu, Durability::Buffered)
            .unwrap();
    }
    let distinct = vault.distinct();
    assert!((distinct - 120.0).abs() < 4.0, "{distinct}");
    // Of two runs of 400 ids, by how far apart they begin: both have 397 runs of four.
    let exact = |one: u32, other: u32| {
        let apart = (one % 120).abs_diff(other % 120) * 137;
        let both = 397_u32.saturating_sub(apart);
        f64::from(both) / f64::from(2 * 397 - both)
    };
    let (mut wanted, mut found) = (0, 0);
    for number in 0..120 {
        let asked = contents(number);
        let similar = vault.find_similar_tokens(&asked, 0.5).unwrap();
        assert!(similar.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        for other in 0..240_u32 {
            let exact = exact(number, other);
            let hit = similar.iter().any(|(id, _)| *id == other.to_le_bytes());
            if exact > 0.7 {
                wanted += 1;
                found += u32::from(hit);
            }
            assert!(!hit || exact > 0.3, "{number} and {other}: {exact}");
        }
    }
    assert!(
        wanted >= 240 && found * 100 >= wanted * 95,
        "{found} of {wanted}"
    );
}
