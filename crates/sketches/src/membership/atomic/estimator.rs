//! Sizes and rates of a filter whose keys set all their bits in one word of 64.

/// Most bits a key sets: five of six bits each fit the lower half of a hash.
pub(super) const HASHES_MAX: u32 = 5;

/// Load up to which no term overflows.
const LOAD_MAX: f64 = 1200.0;

/// False-positive rate with `load` keys per word on average and `hashes` bits per key: a word holds a
/// Poisson number `j` of keys, and each asked bit is set with probability `1 - (63/64)^(hashes j)`.
///
/// Source: Putze, Sanders, Singler, "Cache-, hash- and space-efficient Bloom filters", 2007,
/// equation 3, for blocks of 64 bits.
pub(super) fn rate_at_load(load: f64, hashes: u32) -> f64 {
    let power = |base: f64| (1..hashes).fold(base, |product, _| product * base);
    let kept = power(63.0 / 64.0);
    if load > LOAD_MAX {
        // Two asked bits are hardly ever clear together.
        return 1.0 - f64::from(hashes) * libm::exp(-load * (1.0 - kept));
    }
    let last = libm::ceil(load + 12.0 * libm::sqrt(load) + 40.0);
    // Where `exp(-load)` alone would come near the smallest number, terms start from a larger one.
    let scale = (load - 600.0).max(0.0);
    let (mut rate, mut clear, mut j) = (0.0, 1.0, 0.0);
    let mut term = libm::exp(scale - load);
    while j <= last {
        rate += term * power(1.0 - clear);
        // Terms behind the greatest shrink faster than by half from twice the load on.
        if j > 2.0 * load && term < 1e-18 * rate {
            break;
        }
        j += 1.0;
        clear *= kept;
        term *= load / j;
    }
    (rate * libm::exp(-scale)).min(1.0)
}

/// Greatest average number of keys per word at which the rate is held, and the bits per key that
/// allow it.
pub(super) fn load_for_rate(rate: f64) -> (f64, u32) {
    let mut best = (1e-6, 1);
    for hashes in 1..=HASHES_MAX {
        let (mut low, mut high) = (best.0, 1024.0);
        // Most numbers of bits are no better than one before.
        if rate_at_load(low, hashes) > rate {
            continue;
        }
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if rate_at_load(middle, hashes) <= rate {
                low = middle;
            } else {
                high = middle;
            }
        }
        best = (low, hashes);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_per_cent_needs_twelve_bits_a_key() {
        let (load, hashes) = load_for_rate(0.01);
        let bits_per_key = 64.0 / load;
        assert!(
            (11.9..12.0).contains(&bits_per_key),
            "{bits_per_key} {hashes}"
        );
        assert!(rate_at_load(load, hashes) <= 0.01);
        assert!(rate_at_load(1.01 * load, hashes) > 0.01);
    }

    #[test]
    fn the_rate_grows_with_the_load() {
        for hashes in 1..=HASHES_MAX {
            let mut last = 0.0;
            for load in [0.01, 1.0, 8.0, 64.0] {
                let rate = rate_at_load(load, hashes);
                assert!(rate > last && rate <= 1.0);
                last = rate;
            }
            let [below, above] = [1199.9, 1200.1].map(|load| rate_at_load(load, hashes));
            assert!((above - below).abs() < 1e-10, "{below} {above}");
            for load in [1e9, 1e30, f64::INFINITY] {
                assert_eq!(rate_at_load(load, hashes), 1.0);
            }
        }
    }
}
