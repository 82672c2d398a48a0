//! Structures that many threads write end up as one thread would have left them.

use std::{
    sync::{Barrier, atomic::AtomicUsize, atomic::Ordering},
    thread,
};

use sketches::{
    CountMin, HyperLogLog, SketchError, distinct::AtomicHyperLogLog, frequency::AtomicCountMin,
    hash::hash_u64, membership::AtomicBloom,
};

const THREADS: u64 = 4;

/// Runs a part on each of some threads, all starting together.
fn together(part: impl Fn(u64) + Sync) {
    let start = Barrier::new(usize::try_from(THREADS).unwrap());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (start, part) = (&start, &part);
            scope.spawn(move || {
                start.wait();
                part(thread);
            });
        }
    });
}

#[test]
fn counting_together_is_counting_alone() {
    // Slices of fewer and of more than two keys a register.
    for (precision, keys) in [(4, 20_000_u64), (10, 60_000), (14, 60_000), (14, 2_000)] {
        let shared = AtomicHyperLogLog::with_seed(precision, 5).unwrap();
        // Every key is counted by two threads, in opposite orders.
        together(|thread| {
            let half = thread / 2 * keys / 2;
            let part = half..half + keys / 2;
            if thread % 2 == 0 {
                part.for_each(|key| shared.insert(&key));
            } else {
                shared.insert_each(&part.rev().collect::<Vec<_>>());
            }
        });
        let mut alone = HyperLogLog::with_seed(precision, 5).unwrap();
        alone.extend(0..keys);
        assert_eq!(shared.snapshot(), alone);
        assert_eq!(shared.estimate(), alone.estimate());
    }
}

/// Many short rounds in structures so small that all threads write the same few words, from the first
/// instant on: a lost update of any round shows, since the end states are compared bit by bit.
#[test]
fn nothing_is_lost_where_all_threads_meet() {
    for round in 0..300 {
        let counter = AtomicHyperLogLog::with_seed(4, round).unwrap();
        let filter = AtomicBloom::with_rate_and_seed(20, 0.3, round).unwrap();
        let counts = AtomicCountMin::with_size(2, 3).unwrap();
        let keys = 40_u64;
        together(|thread| {
            for i in 0..keys {
                // Two threads go up, two down, so that they cross.
                let key = if thread % 2 == 0 { i } else { keys - 1 - i };
                counter.insert(&(key + thread));
                filter.insert(&(key + thread));
                counts.add(&key, thread + 1);
            }
        });
        let mut alone = HyperLogLog::with_seed(4, round).unwrap();
        alone.extend(0..keys + THREADS - 1);
        let registers = AtomicHyperLogLog::with_seed(4, round).unwrap();
        registers.merge(&alone).unwrap();
        assert_eq!(counter.snapshot(), registers.snapshot(), "{round}");
        let alone = AtomicBloom::with_rate_and_seed(20, 0.3, round).unwrap();
        (0..keys + THREADS - 1).for_each(|key| {
            alone.insert(&key);
        });
        assert_eq!(filter.to_bytes(), alone.to_bytes(), "{round}");
        let mut alone = CountMin::with_size(2, 3).unwrap();
        (0..keys).for_each(|key| alone.add(&key, (1..=THREADS).sum()));
        assert_eq!(counts.into_count_min(), alone, "{round}");
    }
}

#[test]
fn an_atomic_counter_takes_in_sketches_of_both_states() {
    let shared = AtomicHyperLogLog::new(10).unwrap();
    assert_eq!(shared.estimate(), 0.0);
    let (mut few, mut many) = (HyperLogLog::new(10).unwrap(), HyperLogLog::new(10).unwrap());
    few.extend(0..50_u64);
    many.extend(0..9_000_u64);
    shared.merge(&few).unwrap();
    assert!((shared.estimate() - 50.0).abs() < 8.0);
    shared.merge(&many).unwrap();
    assert_eq!(shared.snapshot(), many);
    let other = HyperLogLog::with_seed(10, 1).unwrap();
    assert!(matches!(
        shared.merge(&other),
        Err(SketchError::SeedMismatch { .. })
    ));
    let error = shared.merge(&HyperLogLog::new(9).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "atomic hyperloglog: precision differs, 10 here and 9 there"
    );
    assert_eq!(
        AtomicHyperLogLog::new(40).unwrap_err().to_string(),
        "hyperloglog: precision is 40, allowed: 4 to 18"
    );
}

#[test]
fn filling_together_is_filling_alone() {
    let keys = 40_000_u64;
    // Few words, so that threads meet in them.
    let shared = AtomicBloom::with_rate(2_000, 0.01).unwrap();
    together(|thread| {
        (0..keys / THREADS).for_each(|i| {
            shared.insert(&(i * THREADS + thread));
        })
    });
    let alone = AtomicBloom::with_rate(2_000, 0.01).unwrap();
    (0..keys).for_each(|key| {
        alone.insert(&key);
    });
    assert_eq!(shared.to_bytes(), alone.to_bytes());
    // Slices of fewer and of more than two keys a word, beside keys one by one, for every number of
    // bits a key and lengths that fill no batch.
    for (items, rate) in [(100, 0.5), (2_000, 0.1), (2_000, 0.01), (30_000, 1e-4)] {
        let keys = 4 * 10_001;
        let shared = AtomicBloom::with_rate_and_seed(items, rate, 9).unwrap();
        together(|thread| {
            let part = (0..keys / THREADS).map(|i| i * THREADS + thread);
            if thread == 0 {
                part.for_each(|key| {
                    shared.insert(&key);
                });
            } else {
                shared.insert_each(&part.collect::<Vec<_>>());
            }
        });
        let alone = AtomicBloom::with_rate_and_seed(items, rate, 9).unwrap();
        (0..keys).for_each(|key| {
            alone.insert(&key);
        });
        assert_eq!(shared.to_bytes(), alone.to_bytes(), "{items} {rate}");
    }
}

#[test]
fn no_thread_forgets_what_another_was_told() {
    let keys = 30_000_u64;
    let shared = AtomicBloom::with_rate(keys, 0.001).unwrap();
    let new = AtomicUsize::new(0);
    together(|_| {
        for key in 0..keys {
            if shared.insert(&key) {
                new.fetch_add(1, Ordering::Relaxed);
            }
            assert!(shared.contains(&key));
        }
    });
    let new = new.into_inner() as u64;
    // At most one thread is told for a key, and one is for each that is no false positive.
    assert!(new <= keys && new > keys - keys / 100, "{new}");
    assert!((0..keys).all(|key| shared.contains(&key)));
}

#[test]
fn atomic_filters_hold_their_rate() {
    for (items, rate) in [(100, 0.01), (10_000, 0.2), (20_000, 0.01), (20_000, 1e-4)] {
        let filter = AtomicBloom::with_rate(items, rate).unwrap();
        filter.insert_each(&(0..items).collect::<Vec<_>>());
        assert!((0..items).all(|key| filter.contains_hash(hash_u64(key, 0))));
        assert!(filter.false_positive_rate(items) <= rate);
        let trials = 400_000;
        let wrong = (items..items + trials)
            .filter(|key| filter.contains(key))
            .count() as f64;
        let expected = trials as f64 * rate;
        assert!(
            wrong < 1.1 * expected + 5.0 * expected.sqrt() + 1.0,
            "{items} {rate}: {wrong}"
        );
    }
}

#[test]
fn atomic_filters_merge_and_refuse_what_does_not_fit() {
    let build = |keys: &[u64]| {
        let filter = AtomicBloom::with_rate(100, 0.01).unwrap();
        filter.insert_each(keys);
        filter
    };
    let (left, right, both) = (build(&[1, 2]), build(&[2, 3]), build(&[1, 2, 3]));
    let other = right.clone();
    other.merge(&left).unwrap();
    left.merge(&right).unwrap();
    assert_eq!(left.to_bytes(), both.to_bytes());
    assert_eq!(other.to_bytes(), both.to_bytes());
    assert!(build(&[]).is_empty() && !both.is_empty());
    let text = |result: Result<AtomicBloom, SketchError>| result.unwrap_err().to_string();
    assert_eq!(
        text(AtomicBloom::with_rate(0, 0.1)),
        "atomic bloom filter: items is 0, allowed: 1 or more"
    );
    for rate in [0.0, 1.0, f64::NAN, 1e-7] {
        assert_eq!(
            text(AtomicBloom::with_rate(1, rate)),
            format!("atomic bloom filter: rate is {rate}, allowed: 10^-6 or more and below 1")
        );
    }
    assert_eq!(
        text(AtomicBloom::with_rate(u64::MAX, 0.1)),
        "atomic bloom filter: items is 18446744073709551615, allowed: a number that needs at most \
         2^32 words at the rate"
    );
    let seeded = AtomicBloom::with_rate_and_seed(100, 0.01, 1).unwrap();
    assert!(matches!(
        both.merge(&seeded),
        Err(SketchError::SeedMismatch { .. })
    ));
    let larger = AtomicBloom::with_rate(1_000, 0.01).unwrap();
    assert!(matches!(
        both.merge(&larger),
        Err(SketchError::ShapeMismatch { .. })
    ));
}
