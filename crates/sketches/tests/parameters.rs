//! Impossible parameters and combinations are refused with the value and the legal range.

use sketches::{
    BloomFilter, CountMin, DdSketch, ExaLogLog, HyperLogLog, LshIndex, MinHash, SketchError,
    SpaceSaving, SplitBlockBloom, UltraLogLog,
    frequency::{CountMinBuilder, Update},
    membership::{BloomBuilder, SplitBlockBuilder},
    quantiles::DdSketchBuilder,
};

fn text<T>(result: Result<T, SketchError>) -> String {
    match result {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn distinct_parameters() {
    for precision in [0, 3, 19, 40, 255] {
        assert_eq!(
            text(HyperLogLog::new(precision)),
            format!("hyperloglog: precision is {precision}, allowed: 4 to 18")
        );
    }
    for precision in [0, 3, 19, 40, 255] {
        assert_eq!(
            text(ExaLogLog::new(precision)),
            format!("exaloglog: precision is {precision}, allowed: 4 to 18")
        );
        assert_eq!(
            text(UltraLogLog::new(precision)),
            format!("ultraloglog: precision is {precision}, allowed: 4 to 18")
        );
    }
    let mut sketch = ExaLogLog::new(10).unwrap();
    for precision in [3, 11] {
        assert_eq!(
            text(sketch.reduce_precision(precision)),
            format!("exaloglog: precision is {precision}, allowed: 4 to the present precision")
        );
    }
    assert_eq!(
        text(sketch.merge(&ExaLogLog::new(9).unwrap())),
        "exaloglog: precision differs, 10 here and 9 there"
    );
    assert_eq!(
        text(sketch.merge(&ExaLogLog::with_seed(10, 1).unwrap())),
        "exaloglog: seeds differ, 0x0000000000000000 here and 0x0000000000000001 there"
    );
    assert_eq!(
        text(HyperLogLog::with_error(0.001)),
        "hyperloglog: error is 0.001, allowed: 0.00204 or more and below 1"
    );
    assert_eq!(
        text(HyperLogLog::with_error(f64::NAN)),
        "hyperloglog: error is NaN, allowed: 0.00204 or more and below 1"
    );
    assert_eq!(HyperLogLog::with_error(0.01).unwrap().precision(), 14);
    assert_eq!(HyperLogLog::with_error(0.5).unwrap().precision(), 4);
    let mut sketch = HyperLogLog::new(10).unwrap();
    assert_eq!(
        text(sketch.reduce_precision(11)),
        "hyperloglog: precision is 11, allowed: 4 to the present precision"
    );
    assert_eq!(
        text(sketch.reduce_precision(3)),
        "hyperloglog: precision is 3, allowed: 4 to the present precision"
    );
}

#[test]
fn membership_parameters() {
    let bits = "bloom filter: bits is 0, allowed: 1 to 2^38";
    assert_eq!(text(BloomFilter::with_size(0, 3)), bits);
    assert_eq!(
        text(BloomFilter::with_size(u64::MAX, 3)),
        "bloom filter: bits is 18446744073709551615, allowed: 1 to 2^38"
    );
    for hashes in [0, 41] {
        assert_eq!(
            text(BloomFilter::with_size(64, hashes)),
            format!("bloom filter: hashes is {hashes}, allowed: 1 to 40")
        );
    }
    let items = "bloom filter: items is 0, allowed: 1 or more";
    assert_eq!(text(BloomFilter::with_rate(0, 0.01)), items);
    for rate in [0.0, 1.0, -0.5, 2.0, f64::NAN] {
        assert_eq!(
            text(BloomFilter::with_rate(10, rate)),
            format!("bloom filter: rate is {rate}, allowed: 10^-12 or more and below 1")
        );
        assert_eq!(
            text(SplitBlockBloom::with_rate(10, rate)),
            format!("split-block bloom filter: rate is {rate}, allowed: 10^-9 or more and below 1")
        );
    }
    assert_eq!(
        text(BloomFilter::with_rate(u64::MAX, 0.01)),
        "bloom filter: items is 18446744073709551615, allowed: a number that needs at most 2^38 \
         bits at the rate"
    );
    for bytes in [0, SplitBlockBuilder::BYTES_MAX + 1] {
        assert_eq!(
            text(SplitBlockBloom::with_size(bytes)),
            format!("split-block bloom filter: bytes is {bytes}, allowed: 1 to 2^31 - 32")
        );
    }
    assert_eq!(
        text(SplitBlockBloom::with_rate(1 << 40, 0.01)),
        "split-block bloom filter: items is 1099511627776, allowed: a number that needs at most \
         2^31 - 32 bytes at the rate"
    );
    assert_eq!(
        text(SplitBlockBloom::from_parquet_bitset(&[0; 33])),
        "split-block bloom filter: parquet bitset at byte 0 is 33 bytes, allowed: a multiple of \
         32 bytes, up to 2^31 - 32"
    );
}

#[test]
fn counter_parameters() {
    for depth in [0, 33] {
        assert_eq!(
            text(CountMin::with_size(depth, 10)),
            format!("count-min: depth is {depth}, allowed: 1 to 32")
        );
    }
    for width in [0, usize::MAX] {
        assert_eq!(
            text(CountMin::with_size(5, width)),
            format!("count-min: width is {width}, allowed: 1 to 2^28")
        );
    }
    for bad in [0.0, 1.0, -1.0, f64::NAN, 1e-30] {
        assert_eq!(
            text(CountMin::with_error(bad, 0.01)),
            format!("count-min: epsilon is {bad}, allowed: 0.000000011 or more and below 1")
        );
        assert_eq!(
            text(CountMin::with_error(0.01, bad)),
            format!("count-min: delta is {bad}, allowed: 10^-13 or more and below 1")
        );
    }
    // The ends of the legal range stay inside the limits of the size.
    assert_eq!(CountMin::with_error(0.5, 1e-13).unwrap().depth(), 30);
    for capacity in [0, SpaceSaving::<u64>::CAPACITY_MAX + 1] {
        assert_eq!(
            text(SpaceSaving::<u64>::new(capacity)),
            format!("space-saving: capacity is {capacity}, allowed: 1 to 2^24")
        );
    }
}

#[test]
fn similarity_parameters() {
    for permutations in [0, 4097] {
        assert_eq!(
            text(MinHash::new(permutations, 0)),
            format!("minhash: permutations is {permutations}, allowed: 1 to 4096")
        );
        assert_eq!(
            text(LshIndex::<u32>::new(0.5, permutations)),
            format!("lsh index: permutations is {permutations}, allowed: 1 to 4096")
        );
    }
    for threshold in [0.0, -0.1, 1.1, f64::NAN] {
        assert_eq!(
            text(LshIndex::<u32>::new(threshold, 128)),
            format!("lsh index: threshold is {threshold}, allowed: above 0 and at most 1")
        );
    }
}

#[test]
fn quantile_parameters() {
    for error in [0.0, 1e-6, 0.6, -0.1, f64::NAN] {
        assert_eq!(
            text(DdSketch::new(error)),
            format!("ddsketch: relative_error is {error}, allowed: 0.00001 to 0.5")
        );
    }
    for bins in [0, 15, 131_073] {
        assert_eq!(
            text(DdSketch::builder().bins_max(bins).build()),
            format!("ddsketch: bins_max is {bins}, allowed: 16 to 131072")
        );
    }
}

#[test]
fn documented_defaults_hold() {
    assert_eq!(
        DdSketchBuilder::new().build().unwrap().relative_error(),
        0.01
    );
    assert_eq!(DdSketchBuilder::BINS_MAX, 2048);
    assert_eq!(MinHash::default().permutations(), 128);
    assert_eq!(MinHash::default().seed(), sketches::hash::DEFAULT_SEED);
    assert_eq!(HyperLogLog::new(14).unwrap().seed(), 0);
    assert_eq!(CountMin::with_size(1, 1).unwrap().update(), Update::Plain);
}

#[test]
fn combining_different_seeds_or_shapes_is_refused_and_changes_nothing() {
    let seeds = "seeds differ, 0x0000000000000000 here and 0x0000000000000001 there";

    let mut hll = HyperLogLog::new(10).unwrap();
    hll.insert(&1);
    let before = hll.clone();
    let other = HyperLogLog::with_seed(10, 1).unwrap();
    assert_eq!(text(hll.merge(&other)), format!("hyperloglog: {seeds}"));
    let other = HyperLogLog::new(11).unwrap();
    assert_eq!(
        text(hll.merge(&other)),
        "hyperloglog: precision differs, 10 here and 11 there"
    );
    assert_eq!(hll, before);

    let mut bloom = BloomFilter::with_size(64, 3).unwrap();
    let other = BloomBuilder::with_size(64, 3).seed(1).build().unwrap();
    assert_eq!(text(bloom.merge(&other)), format!("bloom filter: {seeds}"));
    let other = BloomFilter::with_size(128, 3).unwrap();
    assert_eq!(
        text(bloom.merge(&other)),
        "bloom filter: bits differs, 64 here and 128 there"
    );
    let other = BloomFilter::with_size(64, 4).unwrap();
    assert_eq!(
        text(bloom.merge(&other)),
        "bloom filter: hashes differs, 3 here and 4 there"
    );

    let mut blocks = SplitBlockBloom::with_size(32).unwrap();
    let other = SplitBlockBloom::with_size(64).unwrap();
    assert_eq!(
        text(blocks.merge(&other)),
        "split-block bloom filter: blocks differs, 1 here and 2 there"
    );

    let mut counts = CountMin::with_size(2, 8).unwrap();
    let other = CountMinBuilder::with_size(2, 8).seed(1).build().unwrap();
    assert_eq!(text(counts.merge(&other)), format!("count-min: {seeds}"));
    let other = CountMin::with_size(3, 8).unwrap();
    assert_eq!(
        text(counts.merge(&other)),
        "count-min: depth differs, 2 here and 3 there"
    );
    let other = CountMin::with_size(2, 9).unwrap();
    assert_eq!(
        text(counts.merge(&other)),
        "count-min: width differs, 8 here and 9 there"
    );
    let other = CountMinBuilder::with_size(2, 8)
        .update(Update::Conservative)
        .build()
        .unwrap();
    assert_eq!(
        text(counts.merge(&other)),
        "count-min: update differs, plain here and conservative there"
    );

    let mut top = SpaceSaving::<u8>::new(4).unwrap();
    let other = SpaceSaving::<u8>::new(5).unwrap();
    assert_eq!(
        text(top.merge(&other)),
        "space-saving: capacity differs, 4 here and 5 there"
    );

    let minhash = MinHash::new(128, 0).unwrap();
    let other = MinHash::new(128, 1).unwrap();
    assert_eq!(text(minhash.jaccard(&other)), format!("minhash: {seeds}"));
    let short = MinHash::new(64, 0).unwrap();
    assert_eq!(
        text(minhash.jaccard(&short)),
        "minhash: permutations differs, 128 here and 64 there"
    );
    let mut index = LshIndex::new(0.5, 128).unwrap();
    assert_eq!(
        text(index.insert(1, other.signature())),
        format!("lsh index: {seeds}")
    );
    assert_eq!(
        text(index.query(&short.signature())),
        "lsh index: permutations differs, 128 here and 64 there"
    );
    assert!(index.is_empty());

    let mut quantiles = DdSketch::new(0.01).unwrap();
    let other = DdSketch::new(0.02).unwrap();
    assert_eq!(
        text(quantiles.merge(&other)),
        "ddsketch: relative_error differs, 0.01 here and 0.02 there"
    );
    let other = DdSketch::builder().bins_max(99).build().unwrap();
    assert_eq!(
        text(quantiles.merge(&other)),
        "ddsketch: bins_max differs, 2048 here and 99 there"
    );
}
