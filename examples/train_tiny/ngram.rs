//! The baseline: an n-gram model with modified Kneser-Ney smoothing, interpolated over all orders.
//!
//! Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1998).

use std::collections::HashMap;

/// Words of the longest n-gram.
pub(crate) const ORDER: usize = 5;
/// Bits per token in a packed n-gram; five of 12 fit 64.
const BITS: u32 = 12;

/// What is known about a context: sum of counts, and how many n-grams have count 1, 2, more.
#[derive(Clone, Copy, Default)]
struct Context {
    total: u64,
    kinds: [u32; 3],
}

/// Counts of one order.
#[derive(Default)]
struct Order {
    counts: HashMap<u64, u32>,
    contexts: HashMap<u64, Context>,
    discounts: [f64; 3],
}

/// A trained model.
pub(crate) struct NGram {
    orders: Vec<Order>,
    vocab: usize,
}

fn pack(tokens: &[u32]) -> u64 {
    tokens
        .iter()
        .fold(0, |key, t| (key << BITS) | u64::from(*t))
}

impl NGram {
    /// Counts `windows`; `vocab` is at most 4,096.
    pub(crate) fn train<'a>(windows: impl Iterator<Item = &'a [u32]>, vocab: usize) -> Self {
        assert!(vocab <= 1 << BITS, "{vocab} tokens do not fit {BITS} bits");
        let mut orders: Vec<Order> = (0..ORDER).map(|_| Order::default()).collect();
        for window in windows {
            for end in 1..=window.len() {
                let n = end.min(ORDER);
                // shorter n-grams are counted where nothing stands before them, so once per window
                *orders[n - 1]
                    .counts
                    .entry(pack(&window[end - n..end]))
                    .or_default() += 1;
            }
        }
        // below the highest order a count says how many different tokens stand before the n-gram
        for n in (1..ORDER).rev() {
            let mask = (1_u64 << (BITS * u32::try_from(n).unwrap_or(0))) - 1;
            let (lower, higher) = orders.split_at_mut(n);
            for key in higher[0].counts.keys() {
                *lower[n - 1].counts.entry(key & mask).or_default() += 1;
            }
        }
        orders.iter_mut().for_each(Order::finish);
        Self { orders, vocab }
    }

    /// Probability of `token` after `context`.
    pub(crate) fn probability(&self, context: &[u32], token: u32) -> f64 {
        let mut p = 1.0 / self.vocab as f64;
        for (length, order) in self.orders.iter().enumerate().take(context.len() + 1) {
            let context = pack(&context[context.len() - length..]);
            let Some(known) = order.contexts.get(&context) else {
                break;
            };
            let total = known.total as f64;
            let kept = known.kinds.iter().zip(&order.discounts);
            let spared = kept.map(|(n, d)| f64::from(*n) * d).sum::<f64>() / total;
            let key = (context << BITS) | u64::from(token);
            let count = order.counts.get(&key).copied().unwrap_or(0);
            let own = match count {
                0 => 0.0,
                c => (f64::from(c) - order.discounts[kind(c)]).max(0.0) / total,
            };
            p = own + spared * p;
        }
        p
    }

    /// Mean `-ln p` of all tokens of `windows` but the first of each.
    pub(crate) fn loss<'a>(&self, windows: impl Iterator<Item = &'a [u32]>) -> f64 {
        let (mut sum, mut count) = (0.0, 0_u64);
        for window in windows {
            for at in 1..window.len() {
                let start = (at + 1).saturating_sub(ORDER);
                sum -= self.probability(&window[start..at], window[at]).ln();
                count += 1;
            }
        }
        sum / count.max(1) as f64
    }
}

fn kind(count: u32) -> usize {
    (count as usize).clamp(1, 3) - 1
}

impl Order {
    fn finish(&mut self) {
        let mut of_counts = [0.0_f64; 4];
        for (key, &count) in &self.counts {
            let context = self.contexts.entry(key >> BITS).or_default();
            context.total += u64::from(count);
            context.kinds[kind(count)] += 1;
            if (1..=4).contains(&count) {
                of_counts[count as usize - 1] += 1.0;
            }
        }
        let [n1, n2, n3, n4] = of_counts;
        let y = if n1 > 0.0 { n1 / (n1 + 2.0 * n2) } else { 0.5 };
        let discount = |k: f64, low: f64, high: f64| match low > 0.0 {
            true => (k - (k + 1.0) * y * high / low).clamp(0.1, k),
            false => 0.5,
        };
        self.discounts = [
            discount(1.0, n1, n2),
            discount(2.0, n2, n3),
            discount(3.0, n3, n4),
        ];
    }
}
