//! What the integration tests share: a seeded generator, streams, and one sample of each encoding.
#![allow(dead_code, reason = "each test binary uses a part")]

use sketches::{
    BinaryFuse8, BloomFilter, CountMin, DdSketch, ExaLogLog, HyperLogLog, MinHash, SketchError,
    SpaceSaving, SplitBlockBloom, UltraLogLog,
    distinct::{ApacheHll, ApacheHllType},
    frequency::{CountMinBuilder, CountSketch, Update},
    hash::{Keyed, SipKey},
    membership::{AtomicBloom, BloomBuilder},
    quantiles::{Kll, TDigest},
    similarity::{OnePermutation, PackedSignature},
    top_k::FrequentItems,
};

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws ranks 1..=n with probability proportional to rank^-exponent.
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(n: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n)
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        Self { cumulative }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        let point = random.unit() * self.cumulative.last().unwrap();
        self.cumulative.partition_point(|sum| *sum <= point) as u64 + 1
    }
}

/// Decodes and encodes again.
pub(crate) type Recode = fn(&[u8]) -> Result<Vec<u8>, SketchError>;

/// A named encoding with its decoder.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) recode: Recode,
}

fn sample(name: &'static str, bytes: Vec<u8>, recode: Recode) -> Sample {
    Sample {
        name,
        bytes,
        recode,
    }
}

/// Small encodings of every state of every structure. They are the golden files of format 1: their
/// contents must never change.
pub(crate) fn samples() -> Vec<Sample> {
    let mut all = hyperloglog_samples();
    all.extend(loglog_samples());
    all.extend(membership_samples());
    all.extend(counter_samples());
    all.extend(ddsketch_samples());

    let mut minhash = MinHash::new(16, 9).unwrap();
    minhash.extend(0..100_u32);
    let recode: Recode = |bytes| Ok(MinHash::from_bytes(bytes)?.to_bytes());
    all.push(sample("minhash", minhash.to_bytes(), recode));
    all.extend(similarity_samples());
    all.extend(frequent_items_samples());
    all.extend(rank_samples());
    all.extend(keyed_samples());
    all.extend(apache_samples());
    all
}

fn apache_samples() -> Vec<Sample> {
    let recode: Recode = |bytes| Ok(ApacheHll::from_bytes(bytes)?.to_bytes());
    let build = |precision, kind, n| {
        let mut sketch = ApacheHll::new(precision, kind).unwrap();
        (0..n).for_each(|key| sketch.insert_u64(key));
        sketch
    };
    use ApacheHllType::{Hll4, Hll6, Hll8};
    let mut merged = build(5, Hll8, 300);
    merged.merge(&build(5, Hll8, 500)).unwrap();
    let mut four = build(5, Hll4, 5_000);
    // A value 15 above the least one, which four bits do not hold.
    (0..200_000).for_each(|key| four.insert_u64(key << 20));
    vec![
        sample("apache_empty", build(12, Hll8, 0).to_bytes(), recode),
        sample("apache_list", build(10, Hll4, 5).to_bytes(), recode),
        sample("apache_set", build(10, Hll6, 20).to_bytes(), recode),
        sample("apache_hll4", four.to_bytes(), recode),
        sample("apache_hll6", build(5, Hll6, 100).to_bytes(), recode),
        sample("apache_hll8", build(5, Hll8, 100).to_bytes(), recode),
        sample("apache_merged", merged.to_bytes(), recode),
    ]
}

fn keyed_samples() -> Vec<Sample> {
    let key = || SipKey::new([0x1111, 0x2222]);
    let mut counter = Keyed::new(key(), |seed| HyperLogLog::with_seed(8, seed)).unwrap();
    let build = |seed| BloomBuilder::with_size(300, 3).seed(seed).build();
    let mut filter = Keyed::new(key(), build).unwrap();
    for word in ["alpha", "beta", "gamma"] {
        counter.insert(word);
        filter.insert(word);
    }
    let recode: Recode =
        |b| Ok(Keyed::<HyperLogLog>::from_bytes(b, SipKey::new([0x1111, 0x2222]))?.to_bytes());
    vec![
        sample("keyed_hyperloglog", counter.to_bytes(), recode),
        sample("keyed_bloom", filter.to_bytes(), |b| {
            Ok(Keyed::<BloomFilter>::from_bytes(b, SipKey::new([0x1111, 0x2222]))?.to_bytes())
        }),
    ]
}

fn similarity_samples() -> Vec<Sample> {
    let recode: Recode = |bytes| Ok(OnePermutation::from_bytes(bytes)?.to_bytes());
    let recode_packed: Recode = |bytes| Ok(PackedSignature::from_bytes(bytes)?.to_bytes());
    let mut few = OnePermutation::new(16, 9).unwrap();
    few.extend(0..5_u32);
    let mut many = few.clone();
    many.extend(0..1000_u32);
    let mut minhash = MinHash::new(19, 0).unwrap();
    minhash.extend(0..100_u32);
    let packed = PackedSignature::new(&minhash.signature(), 2).unwrap();
    let wide = PackedSignature::new(&many.signature(), 16).unwrap();
    vec![
        sample("one_permutation_few", few.to_bytes(), recode),
        sample("one_permutation_many", many.to_bytes(), recode),
        sample("packed_signature_2", packed.to_bytes(), recode_packed),
        sample("packed_signature_16", wide.to_bytes(), recode_packed),
    ]
}

fn frequent_items_samples() -> Vec<Sample> {
    let mut words = FrequentItems::<String>::new(4).unwrap();
    let mut numbers = FrequentItems::<u64>::with_seed(8, 5).unwrap();
    for key in 0..30_u64 {
        words.add(format!("word {}", key % 7), key);
        numbers.add(key % 5, key * 1000);
    }
    vec![
        sample("frequent_items_string", words.to_bytes(), |b| {
            Ok(FrequentItems::<String>::from_bytes(b)?.to_bytes())
        }),
        sample("frequent_items_u64", numbers.to_bytes(), |b| {
            Ok(FrequentItems::<u64>::from_bytes(b)?.to_bytes())
        }),
    ]
}

fn rank_samples() -> Vec<Sample> {
    let recode_digest: Recode = |bytes| Ok(TDigest::from_bytes(bytes)?.to_bytes());
    let recode_kll: Recode = |bytes| Ok(Kll::from_bytes(bytes)?.to_bytes());
    let mut digest = TDigest::new(20).unwrap();
    digest.extend((0..500).map(|i| f64::from(i * i % 499) - 100.0));
    digest.insert(f64::NAN);
    let mut kll = Kll::new(8).unwrap();
    kll.extend((0..100).map(|i| f64::from(i * i % 499) - 100.0));
    kll.insert(f64::INFINITY);
    vec![
        sample(
            "tdigest_empty",
            TDigest::new(200).unwrap().to_bytes(),
            recode_digest,
        ),
        sample("tdigest", digest.to_bytes(), recode_digest),
        sample("kll_empty", Kll::new(200).unwrap().to_bytes(), recode_kll),
        sample("kll", kll.to_bytes(), recode_kll),
    ]
}

fn hyperloglog_samples() -> Vec<Sample> {
    let recode: Recode = |bytes| Ok(HyperLogLog::from_bytes(bytes)?.to_bytes());
    let mut sparse = HyperLogLog::with_seed(12, 7).unwrap();
    sparse.extend(0..20_u64);
    let mut dense = HyperLogLog::new(5).unwrap();
    dense.extend(0..500_u64);
    vec![
        sample(
            "hyperloglog_empty",
            HyperLogLog::new(14).unwrap().to_bytes(),
            recode,
        ),
        sample("hyperloglog_sparse", sparse.to_bytes(), recode),
        sample("hyperloglog_dense", dense.to_bytes(), recode),
    ]
}

fn loglog_samples() -> Vec<Sample> {
    let mut exa = ExaLogLog::with_seed(4, 7).unwrap();
    exa.extend(0..200_u64);
    let mut ultra = UltraLogLog::new(5).unwrap();
    ultra.extend(0..200_u64);
    vec![
        sample("exaloglog", exa.to_bytes(), |b| {
            Ok(ExaLogLog::from_bytes(b)?.to_bytes())
        }),
        sample("ultraloglog", ultra.to_bytes(), |b| {
            Ok(UltraLogLog::from_bytes(b)?.to_bytes())
        }),
    ]
}

fn membership_samples() -> Vec<Sample> {
    let mut bloom = BloomFilter::with_size(500, 3).unwrap();
    bloom.extend(0..40_u32);
    let mut blocks = SplitBlockBloom::with_size(96).unwrap();
    blocks.extend(["alpha", "beta", "gamma"]);
    let fuse = BinaryFuse8::with_seed(&(0..30_u64).collect::<Vec<_>>(), 6).unwrap();
    let atomic = AtomicBloom::with_rate_and_seed(40, 0.01, 4).unwrap();
    atomic.insert_each(&(0..40_u64).collect::<Vec<_>>());
    vec![
        sample("atomic_bloom", atomic.to_bytes(), |b| {
            Ok(AtomicBloom::from_bytes(b)?.to_bytes())
        }),
        sample("binary_fuse", fuse.to_bytes(), |b| {
            Ok(BinaryFuse8::from_bytes(b)?.to_bytes())
        }),
        sample("bloom", bloom.to_bytes(), |b| {
            Ok(BloomFilter::from_bytes(b)?.to_bytes())
        }),
        sample("split_block", blocks.to_bytes(), |b| {
            Ok(SplitBlockBloom::from_bytes(b)?.to_bytes())
        }),
        sample("split_block_parquet", blocks.to_parquet_bitset(), |b| {
            Ok(SplitBlockBloom::from_parquet_bitset(b)?.to_parquet_bitset())
        }),
    ]
}

fn counter_samples() -> Vec<Sample> {
    let recode: Recode = |bytes| Ok(CountMin::from_bytes(bytes)?.to_bytes());
    let mut plain = CountMin::with_size(3, 10).unwrap();
    let builder = CountMinBuilder::with_size(2, 16)
        .update(Update::Conservative)
        .seed(3);
    let mut conservative = builder.build().unwrap();
    let mut words = SpaceSaving::<String>::new(4).unwrap();
    let mut numbers = SpaceSaving::<u64>::with_seed(8, 5).unwrap();
    for key in 0..30_u64 {
        plain.add(&key, key);
        conservative.add(&key, key);
        words.add(format!("word {}", key % 7), key);
        numbers.add(key % 5, key * 1000);
    }
    let mut signed = CountSketch::with_seed(3, 10, 4).unwrap();
    (0..30_i64).for_each(|key| signed.add(&key, 40 - key * key));
    vec![
        sample("count_sketch", signed.to_bytes(), |b| {
            Ok(CountSketch::from_bytes(b)?.to_bytes())
        }),
        sample("count_min_plain", plain.to_bytes(), recode),
        sample("count_min_conservative", conservative.to_bytes(), recode),
        sample("space_saving_string", words.to_bytes(), |b| {
            Ok(SpaceSaving::<String>::from_bytes(b)?.to_bytes())
        }),
        sample("space_saving_u64", numbers.to_bytes(), |b| {
            Ok(SpaceSaving::<u64>::from_bytes(b)?.to_bytes())
        }),
    ]
}

fn ddsketch_samples() -> Vec<Sample> {
    let recode: Recode = |bytes| Ok(DdSketch::from_bytes(bytes)?.to_bytes());
    let mut mixed = DdSketch::new(0.05).unwrap();
    mixed.extend([-3.0, -2.5, 0.0, 1.0, 1.5, 40.0, f64::NAN]);
    mixed.insert_many(2.0, 1_000_000);
    let mut folded = DdSketch::builder().bins_max(16).build().unwrap();
    folded.extend((0..40).map(f64::from));
    vec![
        sample(
            "ddsketch_empty",
            DdSketch::new(0.01).unwrap().to_bytes(),
            recode,
        ),
        sample("ddsketch_mixed", mixed.to_bytes(), recode),
        sample("ddsketch_folded", folded.to_bytes(), recode),
    ]
}
