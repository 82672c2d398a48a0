//! XXH3-64 over long input, in steps: the same hash as that of `xxhash_rust`, which knows registers of 16
//! bytes only unless the whole program is compiled for more.
//!
//! # Source
//! Y. Collet, XXH3 (xxHash 0.8), "XXH3 Algorithm Overview" of its specification, inputs of more than 240 bytes.

/// Bytes between two scrambles of the state: 16 stripes of 64 bytes.
pub(crate) const BLOCK_BYTES: usize = 1024;
pub(super) type Block = [u8; BLOCK_BYTES];
const STRIPE_BYTES: usize = 64;
/// Up to this length the hash is another one.
pub(crate) const SHORT_BYTES_MAX: usize = 240;

pub(super) const PRIME32_1: u64 = 0x9E37_79B1;
const PRIME64_1: u64 = 0x9E37_79B1_85EB_CA87;
/// Offsets into the secret: for a scramble, the last stripe, and the end.
const SCRAMBLE_AT: usize = 128;
const LAST_AT: usize = 121;
const MERGE_AT: usize = 11;

/// `kSecret` of the specification.
static SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

/// State between blocks.
pub(super) type Lanes = [u64; 8];

/// Eight words of the secret from `offset` on.
const fn secret(offset: usize) -> Lanes {
    let mut words = [0; 8];
    let mut byte = 0;
    while byte < 64 {
        #[expect(clippy::indexing_slicing, reason = "offsets are at most 128")]
        {
            words[byte / 8] |= (SECRET[offset + byte] as u64) << (8 * (byte % 8));
        }
        byte += 1;
    }
    words
}

/// Words for each stripe of a block, for the scramble behind it, and for the last stripe.
pub(super) static STRIPES: [Lanes; 16] = {
    let mut stripes = [[0; 8]; 16];
    let mut stripe = 0;
    while stripe < 16 {
        #[expect(clippy::indexing_slicing, reason = "the index is below 16")]
        {
            stripes[stripe] = secret(8 * stripe);
        }
        stripe += 1;
    }
    stripes
};
pub(super) static SCRAMBLE: Lanes = secret(SCRAMBLE_AT);
static LAST: Lanes = secret(LAST_AT);
static MERGE: Lanes = secret(MERGE_AT);

/// XXH3-64 with seed 0 of input whose length is known, block after block.
#[derive(Debug)]
pub(crate) struct LongHash {
    lanes: Lanes,
}

impl LongHash {
    pub(crate) fn new() -> LongHash {
        LongHash {
            lanes: [
                0xC2B2_AE3D,
                PRIME64_1,
                0xC2B2_AE3D_27D4_EB4F,
                0x1656_67B1_9E37_79F9,
                0x85EB_CA77_C2B2_AE63,
                0x85EB_CA77,
                0x27D4_EB2F_1656_67C5,
                PRIME32_1,
            ],
        }
    }

    /// Takes blocks that are not the end of the input: at least one byte follows.
    pub(crate) fn add(&mut self, blocks: &[Block]) {
        super::hash_blocks(&mut self.lanes, blocks);
    }

    /// Takes what follows the blocks, at most one block, and gives the hash; `last` are the last 64 bytes
    /// of the whole input of `bytes` bytes, more than [`SHORT_BYTES_MAX`].
    pub(crate) fn finish(mut self, rest: &[u8], last: &[u8; STRIPE_BYTES], bytes: usize) -> u64 {
        let whole = rest.len().saturating_sub(1) / STRIPE_BYTES;
        let stripes = rest.as_chunks::<STRIPE_BYTES>().0.iter().take(whole);
        for (stripe, secret) in stripes.zip(&STRIPES) {
            add_stripe(&mut self.lanes, stripe, secret);
        }
        add_stripe(&mut self.lanes, last, &LAST);
        let mut hash = (bytes as u64).wrapping_mul(PRIME64_1);
        let (lanes, _) = self.lanes.as_chunks::<2>();
        let (secrets, _) = MERGE.as_chunks::<2>();
        for ([low, high], [secret_low, secret_high]) in lanes.iter().zip(secrets) {
            hash = hash.wrapping_add(fold(low ^ secret_low, high ^ secret_high));
        }
        hash ^= hash >> 37;
        hash = hash.wrapping_mul(0x1656_6791_9E37_79F9);
        hash ^ hash >> 32
    }
}

#[expect(clippy::cast_possible_truncation, reason = "halves of the product")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Takes blocks into the state.
pub(super) fn add_blocks(lanes: &mut Lanes, blocks: &[Block]) {
    for block in blocks {
        let (stripes, _) = block.as_chunks::<STRIPE_BYTES>();
        for (stripe, secret) in stripes.iter().zip(&STRIPES) {
            add_stripe(lanes, stripe, secret);
        }
        for (lane, secret) in lanes.iter_mut().zip(&SCRAMBLE) {
            *lane = (*lane ^ *lane >> 47 ^ secret).wrapping_mul(PRIME32_1);
        }
    }
}

fn add_stripe(lanes: &mut Lanes, stripe: &[u8; STRIPE_BYTES], secret: &Lanes) {
    let (words, _) = stripe.as_chunks::<8>();
    let mut values = [0u64; 8];
    for (value, word) in values.iter_mut().zip(words) {
        *value = u64::from_le_bytes(*word);
    }
    let [a, b, c, d, e, f, g, h] = values;
    let crossed = [b, a, d, c, f, e, h, g];
    for ((lane, (value, crossed)), secret) in
        lanes.iter_mut().zip(values.iter().zip(crossed)).zip(secret)
    {
        let key = value ^ secret;
        let product = (key & 0xFFFF_FFFF).wrapping_mul(key >> 32);
        *lane = lane.wrapping_add(product).wrapping_add(crossed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn hash_is_that_of_the_library() {
        let bytes: Vec<u8> = (0..9_000u64)
            .map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()[7])
            .collect();
        let lengths = (241..1400).chain([2047, 2048, 2049, 2112, 3072, 3073, 8192, 8999, 9000]);
        for length in lengths {
            let input = &bytes[..length];
            let (blocks, _) = input[..length - 1].as_chunks::<BLOCK_BYTES>();
            for step in [1, 3, 100] {
                let mut hash = LongHash::new();
                let mut plain = LongHash::new();
                for blocks in blocks.chunks(step) {
                    hash.add(blocks);
                    add_blocks(&mut plain.lanes, blocks);
                }
                let rest = &input[blocks.len() * BLOCK_BYTES..];
                let last = input.last_chunk().unwrap();
                let expected = xxh3_64(input);
                assert_eq!(hash.finish(rest, last, length), expected, "{length} bytes");
                assert_eq!(plain.finish(rest, last, length), expected, "{length} bytes");
            }
        }
    }
}
