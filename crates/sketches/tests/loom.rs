//! Models of the structures that threads share, checked over all interleavings:
//!
//! ```text
//! RUSTFLAGS="--cfg neurectomy_loom" cargo test -p sketches --test loom --release
//! ```
#![cfg(neurectomy_loom)]

use loom::{sync::Arc, thread};
use sketches::{
    CountMin, HyperLogLog, distinct::AtomicHyperLogLog, frequency::AtomicCountMin,
    membership::AtomicBloom,
};

/// Runs both in threads of their own, and then gives the structure back.
fn together<S: Send + Sync + 'static, A: Send + 'static, B: Send + 'static>(
    shared: S,
    first: impl Fn(&S) -> A + Send + 'static,
    second: impl Fn(&S) -> B + Send + 'static,
) -> (S, A, B) {
    let shared = Arc::new(shared);
    let (one, two) = (shared.clone(), shared.clone());
    let threads = (
        thread::spawn(move || first(&one)),
        thread::spawn(move || second(&two)),
    );
    let first = threads.0.join().expect("the first thread");
    let second = threads.1.join().expect("the second thread");
    let shared = Arc::try_unwrap(shared).ok().expect("the threads are gone");
    (shared, first, second)
}

/// A filter of one word, so that every two keys meet.
fn one_word() -> AtomicBloom {
    let filter = AtomicBloom::with_rate(1, 0.01).expect("a legal rate");
    assert_eq!(filter.filter_bytes(), 8);
    filter
}

#[test]
fn a_filter_loses_no_key() {
    loom::model(|| {
        let (filter, ..) = together(one_word(), |f| f.insert(&1_u64), |f| f.insert(&2_u64));
        assert!(filter.contains(&1_u64) && filter.contains(&2_u64));
        let alone = one_word();
        alone.insert(&1_u64);
        alone.insert(&2_u64);
        assert_eq!(filter.to_bytes(), alone.to_bytes());
    });
}

#[test]
fn a_key_is_new_to_one_thread_which_then_finds_it() {
    loom::model(|| {
        let insert = |filter: &AtomicBloom| {
            let new = filter.insert(&7_u64);
            assert!(
                filter.contains(&7_u64),
                "found by the thread that inserted it"
            );
            new
        };
        let (_, first, second) = together(one_word(), insert, insert);
        assert!(first ^ second, "{first} {second}");
    });
}

#[test]
fn slices_and_unions_of_filters_lose_no_key() {
    loom::model(|| {
        // Two keys for the one word: the thread gathers them apart.
        let slice = |filter: &AtomicBloom| filter.insert_each(&[1_u64, 2]);
        let union = |filter: &AtomicBloom| {
            let other = one_word();
            other.insert(&3_u64);
            filter.merge(&other).expect("the same shape");
        };
        let (filter, ..) = together(one_word(), slice, union);
        assert!((1..=3_u64).all(|key| filter.contains(&key)));
    });
}

#[test]
fn registers_rise_to_the_greatest_rank() {
    // The same register of sixteen, ranks 2 and 5.
    const HASHES: [u64; 2] = [1 << 58, 1 << 55];
    loom::model(|| {
        let empty = AtomicHyperLogLog::new(4).expect("a legal precision");
        let (counter, low, high) = together(
            empty,
            |counter| {
                counter.insert_hash(HASHES[0]);
                counter.snapshot()
            },
            |counter| {
                counter.insert_hash(HASHES[1]);
                counter.snapshot()
            },
        );
        let of = |hashes: &[u64]| {
            let alone = AtomicHyperLogLog::new(4).expect("a legal precision");
            hashes.iter().for_each(|hash| alone.insert_hash(*hash));
            alone.snapshot()
        };
        assert_eq!(counter.snapshot(), of(&HASHES));
        // What a thread inserted is in its later snapshots; what the other did may be.
        assert!(low == of(&HASHES[..1]) || low == of(&HASHES));
        assert_eq!(high, of(&HASHES[1..]));
    });
}

#[test]
fn slices_and_merges_of_counters_lose_no_key() {
    loom::model(|| {
        let empty = AtomicHyperLogLog::new(4).expect("a legal precision");
        // Twice as many keys as registers: the thread fills registers of its own.
        let slice = |counter: &AtomicHyperLogLog| counter.insert_each(&[1_u64; 32]);
        let merge = |counter: &AtomicHyperLogLog| {
            let mut other = HyperLogLog::new(4).expect("a legal precision");
            other.extend([1_u64, 2]);
            counter.merge(&other).expect("the same shape");
        };
        let (counter, ..) = together(empty, slice, merge);
        let alone = AtomicHyperLogLog::new(4).expect("a legal precision");
        alone.insert(&1_u64);
        alone.insert(&2_u64);
        assert_eq!(counter.snapshot(), alone.snapshot());
    });
}

fn two_cells() -> AtomicCountMin {
    AtomicCountMin::with_size(2, 1).expect("a legal size")
}

#[test]
fn counts_add_up_and_stop_at_the_greatest() {
    let most = u64::from(u32::MAX);
    for (count, expected) in [(3, 5), (most - 1, most), (most, most)] {
        loom::model(move || {
            let add = move |counts: &AtomicCountMin| {
                counts.add(&1_u64, count);
                counts.estimate(&1_u64)
            };
            let (counts, seen, ()) = together(two_cells(), add, |counts| counts.add(&1_u64, 2));
            assert!((count..=expected).contains(&seen), "{seen}");
            assert_eq!(counts.into_count_min().estimate(&1_u64), expected);
        });
    }
}

#[test]
fn slices_and_merges_of_counts_add_up() {
    loom::model(|| {
        // As many keys as cells: the thread counts them in a sketch of its own.
        let slice = |counts: &AtomicCountMin| counts.insert_each(&[1_u64, 1]);
        let merge = |counts: &AtomicCountMin| {
            let mut other = CountMin::with_size(2, 1).expect("a legal size");
            other.add(&1_u64, 4);
            counts.merge(&other).expect("the same shape");
        };
        let (counts, ..) = together(two_cells(), slice, merge);
        assert_eq!(counts.into_count_min().estimate(&1_u64), 6);
    });
}
