//! The definition of the stable hash, and hashing in batches.

use core::hash::{Hash, Hasher};

use xxhash_rust::{xxh3::xxh3_64_with_seed, xxh64::xxh64};

use crate::simd::{
    kernel::{Kernel, run_at},
    level,
};

/// Seed of every sketch that is built without one.
pub const DEFAULT_SEED: u64 = 0;

/// Hashes a value with a seed; what every `insert` of this crate calls.
///
/// Cost: about 2 ns for an integer, XXH3 speed for a string; no allocation.
///
/// ```
/// use sketches::hash::{hash_bytes, hash_of};
/// assert_eq!(hash_of("abc", 7), hash_bytes(b"abc", 7));
/// assert_eq!(hash_of(&5_u64, 7), hash_bytes(&5_u64.to_le_bytes(), 7));
/// assert_ne!(hash_of("abc", 7), hash_of("abc", 8));
/// ```
#[inline(always)]
pub fn hash_of<T: Hash + ?Sized>(value: &T, seed: u64) -> u64 {
    let mut hasher = StableHasher::new(seed);
    value.hash(&mut hasher);
    hasher.finish()
}

/// XXH3-64 of some bytes, with no length or terminator added.
#[inline]
pub fn hash_bytes(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// The hash of a value in a Parquet bloom filter: XXH64 with seed 0 of its plain encoding.
#[inline]
pub fn parquet_hash(plain_encoding: &[u8]) -> u64 {
    xxh64(plain_encoding, 0)
}

/// XXH3-64 of the eight little-endian bytes of an integer: one exclusive or with a number derived
/// from the seed, then two multiplications. Different keys never collide under one seed.
#[inline(always)]
pub fn hash_u64(value: u64, seed: u64) -> u64 {
    // Bytes 8..16 and 16..24 of the XXH3 default secret, combined as XXH3_len_4to8_64b does.
    const SECRET_FLIP: u64 = 0x1cad_21f7_2c81_017c ^ 0xdb97_9083_e96d_d4de;
    let [a, b, c, d, ..] = seed.to_le_bytes();
    let folded_seed = seed ^ (u64::from(u32::from_le_bytes([d, c, b, a])) << 32);
    avalanche_8_bytes(value.rotate_left(32) ^ SECRET_FLIP.wrapping_sub(folded_seed))
}

/// `XXH3_rrmxmx` for a length of eight.
#[inline(always)]
const fn avalanche_8_bytes(mut h: u64) -> u64 {
    const PRIME_MX2: u64 = 0x9fb2_1c65_1e98_df25;
    h ^= h.rotate_left(49) ^ h.rotate_left(24);
    h = h.wrapping_mul(PRIME_MX2);
    h ^= (h >> 35).wrapping_add(8);
    h = h.wrapping_mul(PRIME_MX2);
    h ^ (h >> 28)
}

/// Derives the `index`-th of a row of unrelated 64-bit numbers from a seed (SplitMix64).
#[inline]
pub(crate) const fn split_mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Keys that are hashed before the sketch takes the first of them.
const BATCH: usize = 128;

/// Hashes keys in batches; 64-bit integers eight at a time where the CPU multiplies them so.
#[inline]
pub(crate) fn each_batch<T: Hash>(keys: &[T], seed: u64, each: impl FnMut(&[u64])) {
    each_batch_of::<BATCH, T>(keys, seed, each);
}

/// As [`each_batch`], at most `N` at a time.
#[inline]
pub(crate) fn each_batch_of<const N: usize, T: Hash>(
    keys: &[T],
    seed: u64,
    mut each: impl FnMut(&[u64]),
) {
    let mut batch = [0; N];
    for keys in keys.chunks(N) {
        let hashes = &mut batch[..keys.len()];
        run_at(level(), HashEach { keys, seed, hashes });
        each(hashes);
    }
}

struct HashEach<'a, T> {
    keys: &'a [T],
    seed: u64,
    hashes: &'a mut [u64],
}

impl<T: Hash> Kernel for HashEach<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (hash, key) in self.hashes.iter_mut().zip(self.keys) {
            *hash = hash_of(key, self.seed);
        }
    }
}

/// Gives hashes to `each` in batches, so that a kernel runs over many at a time.
pub(crate) fn in_batches(mut hashes: impl Iterator<Item = u64>, mut each: impl FnMut(&[u64])) {
    let mut batch = [0; BATCH];
    loop {
        let mut count = 0;
        for (place, hash) in batch.iter_mut().zip(&mut hashes) {
            *place = hash;
            count += 1;
        }
        each(&batch[..count]);
        if count < BATCH {
            break;
        }
    }
}

/// A [`Hasher`] with the same result on every platform; see the [module](super) for its definition.
///
/// ```
/// use core::hash::{Hash, Hasher};
/// use sketches::hash::{StableHasher, hash_u64};
/// let mut hasher = StableHasher::new(0);
/// 42_u64.hash(&mut hasher);
/// assert_eq!(hasher.finish(), hash_u64(42, 0));
/// ```
#[derive(Debug, Clone)]
pub struct StableHasher {
    state: u64,
    after_bytes: bool,
}

impl StableHasher {
    /// A hasher whose state is the seed.
    #[inline(always)]
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            state: seed,
            after_bytes: false,
        }
    }

    #[inline]
    fn absorb(&mut self, bytes: &[u8]) {
        self.state = xxh3_64_with_seed(bytes, self.state);
        self.after_bytes = false;
    }
}

impl Hasher for StableHasher {
    #[inline(always)]
    fn finish(&self) -> u64 {
        self.state
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.absorb(bytes);
        self.after_bytes = true;
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        if self.after_bytes && value == 0xff {
            self.after_bytes = false;
        } else {
            self.absorb(&[value]);
        }
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.absorb(&value.to_le_bytes());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.absorb(&value.to_le_bytes());
    }

    #[inline(always)]
    fn write_u64(&mut self, value: u64) {
        self.state = hash_u64(value, self.state);
        self.after_bytes = false;
    }

    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.absorb(&value.to_le_bytes());
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.write_u64((value as i64).cast_unsigned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec, vec::Vec};

    #[test]
    fn the_integer_path_is_xxh3_of_its_bytes() {
        for i in 0..10_000_u64 {
            let value = split_mix(1, i) >> (i % 64);
            let seed = split_mix(2, i) >> (i % 61);
            assert_eq!(
                hash_u64(value, seed),
                xxh3_64_with_seed(&value.to_le_bytes(), seed)
            );
        }
    }

    #[test]
    fn the_definition_holds_for_each_kind_of_value() {
        let s = 0x5eed;
        assert_eq!(hash_of(&7_u8, s), xxh3_64_with_seed(&[7], s));
        assert_eq!(hash_of(&0xff_u8, s), xxh3_64_with_seed(&[0xff], s));
        assert_eq!(hash_of(&-2_i16, s), xxh3_64_with_seed(&[0xfe, 0xff], s));
        assert_eq!(hash_of(&7_u32, s), xxh3_64_with_seed(&[7, 0, 0, 0], s));
        assert_eq!(hash_of(&7_usize, s), hash_of(&7_u64, s));
        assert_eq!(hash_of(&-7_isize, s), hash_of(&-7_i64, s));
        assert_eq!(
            hash_of(&7_u128, s),
            xxh3_64_with_seed(&7_u128.to_le_bytes(), s)
        );
        assert_eq!(hash_of("", s), xxh3_64_with_seed(b"", s));
        assert_eq!(
            hash_of(&String::from("abc"), s),
            xxh3_64_with_seed(b"abc", s)
        );
        assert_eq!(
            hash_of(&vec![1_u8, 2], s),
            xxh3_64_with_seed(&[1, 2], hash_u64(2, s))
        );
        assert_eq!(hash_of(&(1_u64, 2_u64), s), hash_u64(2, hash_u64(1, s)));
        assert_eq!(
            hash_of(&("a", "bc"), s),
            xxh3_64_with_seed(b"bc", hash_of("a", s))
        );
        assert_ne!(hash_of(&("a", "bc"), s), hash_of(&("ab", "c"), s));
    }

    #[test]
    fn keys_hash_alike_at_every_level_and_in_every_batch() {
        for count in [0, 1, 7, 127, 128, 129, 1000] {
            let keys: Vec<u64> = (0..count).map(|i| split_mix(4, i) >> (i % 60)).collect();
            let pairs: Vec<(u32, String)> = (0..9).map(|i| (i, "x".repeat(i as usize))).collect();
            for seed in [0, 42] {
                let expected: Vec<u64> = keys.iter().map(|key| hash_u64(*key, seed)).collect();
                for level in crate::simd::available_levels() {
                    let mut hashes = vec![0; keys.len()];
                    let (keys, hashes_out) = (&keys[..], &mut hashes[..]);
                    run_at(
                        level,
                        HashEach {
                            keys,
                            seed,
                            hashes: hashes_out,
                        },
                    );
                    assert_eq!(hashes, expected, "{level:?}");
                }
                let mut all = Vec::new();
                each_batch(&keys, seed, |batch| all.extend_from_slice(batch));
                assert_eq!(all, expected);
                let mut all = Vec::new();
                each_batch(&pairs, seed, |batch| all.extend_from_slice(batch));
                assert!(
                    all.into_iter()
                        .eq(pairs.iter().map(|pair| hash_of(pair, seed)))
                );
            }
        }
    }

    #[test]
    fn batches_hold_every_hash_once_and_in_order() {
        for count in [0, 1, 127, 128, 129, 256, 1000] {
            let mut all = Vec::new();
            in_batches(0..count, |batch| all.extend_from_slice(batch));
            assert!(all.into_iter().eq(0..count));
        }
    }

    #[test]
    fn the_values_never_change() {
        assert_eq!(hash_of(&0_u64, 0), 0xc77b_3abb_6f87_acd9);
        assert_eq!(hash_of(&1_u64, 0), 0x2fbc_5935_64db_792e);
        assert_eq!(hash_of("", 0), 0x2d06_8005_38d3_94c2);
        assert_eq!(hash_of("sketches", 0), 0xf556_0a44_6184_b94c);
        assert_eq!(hash_of("sketches", 42), 0x9770_5056_0613_368f);
        assert_eq!(hash_of(&(1_u8, "x", 3_u32), 42), 0x1e5b_21ec_7656_1c44);
    }

    #[test]
    fn seeds_give_unrelated_sets_for_sequential_keys() {
        let mut all: Vec<u64> = Vec::new();
        for seed in 0..16 {
            all.extend((0..1024_u64).map(|key| hash_u64(key, seed)));
        }
        let total = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), total);
    }

    #[test]
    fn every_output_bit_is_balanced_and_every_input_bit_reaches_half_of_them() {
        let mut flips = [0_u32; 64];
        let mut ones = [0_u32; 64];
        let trials = 2_000_u64;
        for i in 0..trials {
            let hash = hash_u64(i, 9);
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += u32::from((hash >> bit) & 1 == 1);
            }
            for (bit, count) in flips.iter_mut().enumerate() {
                *count += (hash_u64(i ^ (1 << bit), 9) ^ hash).count_ones();
            }
        }
        // Standard deviation of a share over 2,000 fair bits is 0.011; five of them.
        for count in ones {
            assert!((f64::from(count) / trials as f64 - 0.5).abs() < 0.056);
        }
        for count in flips {
            assert!((f64::from(count) / (64.0 * trials as f64) - 0.5).abs() < 0.01);
        }
    }
}
