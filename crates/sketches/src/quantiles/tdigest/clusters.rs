//! Merging sorted clusters under the size limit of the scale function.
//!
//! The scale function is `k1(q) = compression / (2 pi) * asin(2 q - 1)`; a cluster may span one unit
//! of it. The end of the cluster that starts at `q` is found without trigonometry: with
//! `x = 2 q - 1`, it is `x cos t + sqrt(1 - x^2) sin t`, where `t = 2 pi / compression`.

use alloc::vec::Vec;
use core::f64::consts::TAU;

/// Neighbouring numbers, by their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cluster {
    pub(super) mean: f64,
    pub(super) weight: u64,
}

/// The size limit of one compression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    sin: f64,
    cos: f64,
}

impl Limit {
    pub(super) fn new(compression: u32) -> Self {
        let step = TAU / f64::from(compression);
        Self {
            sin: libm::sin(step),
            cos: libm::cos(step),
        }
    }

    /// Greatest weight up to the end of a cluster, where `before` of `total` lie before it.
    fn end(self, before: u64, total: u64) -> f64 {
        let total = total as f64;
        let x = 2.0 * (before as f64 / total) - 1.0;
        if x >= self.cos {
            return total;
        }
        let end = x * self.cos + libm::sqrt((1.0 - x * x).max(0.0)) * self.sin;
        total * (0.5 + 0.5 * end)
    }
}

/// Merges two rows, each sorted by mean, into clusters as large as the limit allows.
///
/// Equal means come in the order of their weights, so the result does not depend on which row is
/// which.
pub(super) fn merge(limit: Limit, left: &[Cluster], right: &[Cluster], total: u64) -> Vec<Cluster> {
    let mut growing = Growing::new(limit, total, left.len());
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let order = a.mean.total_cmp(&b.mean).then(a.weight.cmp(&b.weight));
        let next = if order.is_le() {
            left.next()
        } else {
            right.next()
        };
        if let Some(next) = next {
            growing.add(*next);
        }
    }
    left.chain(right).for_each(|rest| growing.add(*rest));
    growing.finish()
}

/// [`merge`] of a row with single numbers, sorted.
pub(super) fn merge_numbers(
    limit: Limit,
    row: &[Cluster],
    numbers: &[f64],
    total: u64,
) -> Vec<Cluster> {
    let mut growing = Growing::new(limit, total, row.len());
    let mut rest = numbers;
    for cluster in row {
        // Numbers are many and clusters few: the numbers up to each cluster in one run.
        let run = rest
            .iter()
            .take_while(|number| **number <= cluster.mean)
            .count();
        let (before, after) = rest.split_at(run);
        growing.add_numbers(before);
        growing.add(*cluster);
        rest = after;
    }
    growing.add_numbers(rest);
    growing.finish()
}

/// The clusters so far, and the one that is growing.
struct Growing {
    limit: Limit,
    total: u64,
    done: Vec<Cluster>,
    /// Weight before the growing cluster.
    before: u64,
    weight: u64,
    /// Weight that the growing one may reach, and one that any may reach.
    weight_max: u64,
    /// Least and greatest mean, and the sum of the distances from the least.
    first: f64,
    last: f64,
    distances: f64,
}

impl Growing {
    fn new(limit: Limit, total: u64, clusters: usize) -> Self {
        Self {
            limit,
            total,
            done: Vec::with_capacity(clusters + 8),
            before: 0,
            weight: 0,
            weight_max: 0,
            first: 0.0,
            last: 0.0,
            distances: 0.0,
        }
    }

    #[inline]
    fn add(&mut self, item: Cluster) {
        if self.weight.saturating_add(item.weight) > self.weight_max {
            self.start(item.mean);
        }
        self.last = item.mean;
        self.distances += (item.mean - self.first) * item.weight as f64;
        self.weight = self.weight.saturating_add(item.weight);
    }

    /// Adds numbers, sorted and not below what was added before.
    #[inline]
    fn add_numbers(&mut self, mut numbers: &[f64]) {
        while let [first, ..] = numbers {
            if self.weight >= self.weight_max {
                self.start(*first);
            }
            // A cluster takes one number at least.
            let room = self.weight_max.saturating_sub(self.weight).max(1);
            let taken = usize::try_from(room)
                .unwrap_or(usize::MAX)
                .min(numbers.len());
            let (now, later) = numbers.split_at(taken);
            let base = self.first;
            self.distances += now.iter().map(|number| number - base).sum::<f64>();
            self.last = now.last().copied().unwrap_or(base);
            self.weight += taken as u64;
            numbers = later;
        }
    }

    /// Ends the growing cluster and starts one at a mean.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a weight up to the total"
    )]
    fn start(&mut self, mean: f64) {
        self.end();
        self.before = self.before.saturating_add(self.weight);
        let end = self.limit.end(self.before, self.total) as u64;
        self.weight_max = end.saturating_sub(self.before);
        self.weight = 0;
        self.first = mean;
        self.last = mean;
        self.distances = 0.0;
    }

    fn end(&mut self) {
        if self.weight > 0 {
            let mean = self.first + self.distances / self.weight as f64;
            self.done.push(Cluster {
                // Held between its ends against rounding, and against overflow.
                mean: mean.min(self.last).max(self.first),
                weight: self.weight,
            });
        }
    }

    fn finish(mut self) -> Vec<Cluster> {
        self.end();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_keep_the_weight_the_order_and_the_limit() {
        let numbers: Vec<f64> = (0..20_000).map(f64::from).collect();
        for compression in [20, 100, 500] {
            let limit = Limit::new(compression);
            let row = merge_numbers(limit, &[], &numbers, 20_000);
            assert_eq!(
                row.iter().map(|cluster| cluster.weight).sum::<u64>(),
                20_000
            );
            assert!(row.is_sorted_by(|a, b| a.mean < b.mean));
            assert!(row.len() <= compression as usize + 2, "{}", row.len());
            let mut before = 0;
            for cluster in &row {
                let end = before + cluster.weight;
                assert!(cluster.weight == 1 || end as f64 <= limit.end(before, 20_000));
                before = end;
            }
            let again = merge(limit, &row, &row, 40_000);
            assert_eq!(
                again.iter().map(|cluster| cluster.weight).sum::<u64>(),
                40_000
            );
            assert!(again.len() <= compression as usize + 2);
        }
    }

    #[test]
    fn the_limit_is_one_unit_of_the_scale() {
        let k1 = |q: f64| 100.0 / TAU * (2.0 * q - 1.0).asin();
        let limit = Limit::new(100);
        for before in [0, 1, 10, 1000, 5000, 9000] {
            let end = limit.end(before, 10_000) / 10_000.0;
            let units = k1(end) - k1(before as f64 / 10_000.0);
            assert!((units - 1.0).abs() < 1e-9, "{before} {units}");
        }
        assert_eq!(limit.end(9_999, 10_000), 10_000.0);
    }

    #[test]
    fn the_greatest_numbers_do_not_overflow() {
        let numbers = [f64::MIN, f64::MIN, 0.0, f64::MAX, f64::MAX];
        let limit = Limit::new(20);
        let mut numbers = numbers.repeat(100);
        numbers.sort_by(f64::total_cmp);
        let row = merge_numbers(limit, &[], &numbers, 500);
        assert!(row.iter().all(|cluster| cluster.mean.is_finite()));
    }
}
