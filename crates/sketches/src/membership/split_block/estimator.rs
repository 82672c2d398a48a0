//! Sizes and rates of a split-block Bloom filter.

/// Load from which on the rate is 1, but for `8 exp(-load / 32)`; up to it, no term overflows.
const LOAD_MAX: f64 = 1200.0;

/// False-positive rate with `load` keys per block on average: a block holds a Poisson number `j` of
/// keys, and each of its eight words has the asked bit set with probability `1 - (31/32)^j`.
///
/// Source: Putze, Sanders, Singler, "Cache-, hash- and space-efficient Bloom filters", 2007,
/// equation 3, for eight words of 32 bits.
pub(super) fn rate_at_load(load: f64) -> f64 {
    if load > LOAD_MAX {
        return 1.0;
    }
    // Poisson terms run up to where the rest is below any rate that is asked for.
    let last = libm::ceil(load + 12.0 * libm::sqrt(load) + 40.0);
    // Where `exp(-load)` alone would come near the smallest number, terms start from a larger one.
    let scale = (load - 600.0).max(0.0);
    let (mut rate, mut clear, mut j) = (0.0, 1.0, 0.0);
    let mut term = libm::exp(scale - load);
    while j <= last {
        let word = 1.0 - clear;
        let square = word * word;
        rate += term * square * square * square * square;
        // Terms behind the greatest shrink faster than by half from twice the load on.
        if j > 2.0 * load && term < 1e-18 * rate {
            break;
        }
        j += 1.0;
        clear *= 31.0 / 32.0;
        term *= load / j;
    }
    (rate * libm::exp(-scale)).min(1.0)
}

/// Greatest average number of keys per block at which the rate is held, by bisection.
pub(super) fn load_for_rate(rate: f64) -> f64 {
    let (mut low, mut high) = (1e-6, 1024.0);
    if rate_at_load(high) <= rate {
        return high;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if rate_at_load(middle) <= rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_per_cent_needs_ten_and_a_half_bits_a_key() {
        let bits_per_key = 256.0 / load_for_rate(0.01);
        assert!((10.4..10.6).contains(&bits_per_key), "{bits_per_key}");
    }

    #[test]
    fn the_rate_grows_with_the_load() {
        let mut last = 0.0;
        for load in [0.001, 0.1, 1.0, 8.0, 24.0, 64.0, 200.0, 700.0] {
            let rate = rate_at_load(load);
            assert!(rate > last && rate <= 1.0);
            last = rate;
        }
        for load in [1199.0, 1201.0, 1e9, 1e30, f64::INFINITY] {
            assert!((rate_at_load(load) - 1.0).abs() < 1e-12, "{load}");
        }
        for rate in [1e-9, 1e-4, 0.01, 0.3] {
            assert!((rate_at_load(load_for_rate(rate)) / rate - 1.0).abs() < 1e-6);
        }
    }
}
