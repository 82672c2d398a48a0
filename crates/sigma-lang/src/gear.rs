//! The gear hash: a rolling hash of one shift and one table look-up per byte.
//!
//! # Source
//! Xia et al., "Ddelta" (2014), and FastCDC (USENIX ATC 2016).

/// One pseudo-random word per byte value. In memory only, so not part of any format.
static GEAR: [u64; 256] = gear();

const fn gear() -> [u64; 256] {
    let mut table = [0; 256];
    let mut state = 0u64;
    let mut index = 0;
    while index < 256 {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        #[expect(clippy::indexing_slicing, reason = "the index is below 256")]
        {
            table[index] = mix(state);
        }
        index += 1;
    }
    table
}

/// The finaliser of splitmix64.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The hash that goes on with `byte`.
pub(crate) fn roll(hash: u64, byte: u8) -> u64 {
    let word = GEAR.get(usize::from(byte)).copied().unwrap_or_default();
    (hash << 1).wrapping_add(word)
}
