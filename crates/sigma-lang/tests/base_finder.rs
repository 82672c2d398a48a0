//! Finding a base: grown contexts by prefix, edited ones by similarity, strangers not at all.

use proptest::prelude::*;
use sigma_lang::{
    BaseFinder, BaseFinderConfig, BaseMatch, Config, Limits, SigmaError, compress,
    compress_with_base, decompress_with_base,
};

mod data;

fn finder() -> BaseFinder {
    BaseFinder::new(BaseFinderConfig::new()).unwrap()
}

#[test]
fn a_grown_context_finds_its_last_turn() {
    let mut finder = finder();
    let mut turns = vec![data::mixed(20_000, 1)];
    for turn in 1..10u64 {
        let mut next = turns.last().unwrap().clone();
        next.extend_from_slice(&data::mixed(3000, 100 + turn));
        turns.push(next);
    }
    for other in 0..30 {
        finder
            .insert(1000 + other, &data::mixed(20_000, 500 + other))
            .unwrap();
    }
    for (id, turn) in turns.iter().enumerate() {
        if id > 0 {
            let found = finder.find(turn).unwrap();
            let expected_bytes = turns[id - 1].len() as u64 / 1024 * 1024;
            let bytes = match found {
                Some(BaseMatch::Prefix { id: base, bytes }) if base == id as u64 - 1 => bytes,
                other => panic!("turn {id}: {other:?}"),
            };
            assert!(bytes >= expected_bytes);
        }
        finder.insert(id as u64, turn).unwrap();
    }
}

#[test]
fn an_edited_text_finds_its_original() {
    let mut finder = finder();
    for id in 0..50 {
        finder.insert(id, &data::noise(10_000, id)).unwrap();
    }
    let mut edited = b"a new first line\n".to_vec();
    edited.extend_from_slice(&data::noise(10_000, 33)[..4000]);
    edited.extend_from_slice(b"a few changed words");
    edited.extend_from_slice(&data::noise(10_000, 33)[4100..]);
    match finder.find(&edited).unwrap() {
        Some(BaseMatch::Similar { id: 33, similarity }) => {
            assert!(similarity > 0.7, "{similarity}")
        }
        other => panic!("{other:?}"),
    }
    let base = data::noise(10_000, 33);
    let packed = compress_with_base(&base, &edited, &Config::new()).unwrap();
    assert!(packed.len() * 10 < compress(&edited, &Config::new()).unwrap().len());
    assert_eq!(
        decompress_with_base(&base, &packed, &Limits::default()).unwrap(),
        edited
    );
}

#[test]
fn an_edited_late_turn_finds_the_latest_turn() {
    let mut finder = finder();
    let all = data::noise(60_000, 9);
    for (turn, bytes) in (20_000..60_000).step_by(1000).enumerate() {
        finder.insert(turn as u64, &all[..bytes]).unwrap();
    }
    let edited = [b"edited in front", &all[..50_000]].concat();
    match finder.find(&edited).unwrap() {
        Some(BaseMatch::Similar { id, similarity }) => {
            assert!(id >= 26 && similarity > 0.5, "{id} {similarity}");
        }
        other => panic!("{other:?}"),
    }
    // The signature outlives the base that it was made of, as long as one of the lineage is known.
    for turn in 0..39 {
        finder.remove(turn);
    }
    assert_eq!(
        finder.find(&edited).unwrap().map(|found| found.id()),
        Some(39)
    );
    finder.remove(39);
    assert_eq!(finder.find(&edited).unwrap(), None);
}

#[test]
fn a_stranger_finds_nothing() {
    let mut finder = finder();
    assert_eq!(finder.find(b"").unwrap(), None);
    for id in 0..100 {
        finder.insert(id, &data::noise(5000, id)).unwrap();
    }
    for seed in 1000..1050 {
        assert_eq!(finder.find(&data::noise(5000, seed)).unwrap(), None);
    }
    assert_eq!(finder.find(b"short").unwrap(), None);
}

#[test]
fn removed_and_replaced_bases_are_not_found() {
    let mut finder = finder();
    let (one, two) = (data::noise(5000, 1), data::noise(5000, 2));
    finder.insert(1, &one).unwrap();
    finder.insert(2, &one).unwrap();
    assert_eq!(finder.find(&one).unwrap().map(|found| found.id()), Some(2));
    assert!(finder.remove(2));
    assert!(!finder.remove(2));
    assert_eq!(finder.find(&one).unwrap().map(|found| found.id()), Some(1));
    finder.insert(1, &two).unwrap();
    assert_eq!(finder.find(&one).unwrap(), None);
    assert_eq!(finder.find(&two).unwrap().map(|found| found.id()), Some(1));
    assert_eq!(finder.len(), 1);
}

#[test]
fn the_oldest_base_makes_room() {
    let config = BaseFinderConfig::new().bases_max(3);
    let mut finder = BaseFinder::new(config).unwrap();
    for id in 0..3 {
        assert_eq!(finder.insert(id, &data::noise(3000, id)).unwrap(), None);
    }
    // Renewed, so 1 is the oldest now.
    assert_eq!(finder.insert(0, &data::noise(3000, 0)).unwrap(), None);
    assert_eq!(finder.insert(3, &data::noise(3000, 3)).unwrap(), Some(1));
    assert_eq!(finder.len(), 3);
    assert_eq!(finder.find(&data::noise(3000, 1)).unwrap(), None);
    assert!(finder.find(&data::noise(3000, 0)).unwrap().is_some());
}

#[test]
fn settings_out_of_range_are_named() {
    let config = BaseFinderConfig::new;
    let cases = [
        config().similarity_min(0.04),
        config().similarity_min(1.1),
        config().similarity_min(f64::NAN),
        config().bases_max(0),
        config().prefix_block_bytes(63),
        config().prefix_block_bytes((1 << 20) + 1),
    ];
    for config in cases {
        assert!(
            matches!(
                BaseFinder::new(config),
                Err(SigmaError::InvalidConfig { .. })
            ),
            "{config:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn inserts_and_removes_keep_the_count(
        steps in proptest::collection::vec((0u64..12, any::<bool>()), 1..200),
        bases_max in 1usize..8,
    ) {
        let mut finder = BaseFinder::new(BaseFinderConfig::new().bases_max(bases_max)).unwrap();
        let mut model: Vec<u64> = Vec::new();
        for (id, insert) in steps {
            let known = model.contains(&id);
            model.retain(|other| *other != id);
            if insert {
                model.push(id);
                let evicted = (model.len() > bases_max).then(|| model.remove(0));
                prop_assert_eq!(finder.insert(id, &data::noise(2048, id)).unwrap(), evicted);
            } else {
                prop_assert_eq!(finder.remove(id), known);
            }
            prop_assert_eq!(finder.len(), model.len());
            for id in 0..12 {
                let found = finder.find(&data::noise(2048, id)).unwrap().map(|found| found.id());
                prop_assert_eq!(found, model.contains(&id).then_some(id));
            }
        }
    }
}
