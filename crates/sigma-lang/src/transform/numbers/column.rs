//! Numbers of a column: unit, base, differences and their codes.

use super::ORDER_MAX;
use crate::detect::table_bits;
use crate::simd::{self, Kernel};

/// What stands between the numbers of a column and its codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) base: u64,
    /// Not 0.
    pub(super) unit: u64,
    /// Differences taken.
    pub(super) order: u8,
}

impl Scale {
    /// The scale for numbers, with the order that makes the fewest bits of a sample.
    pub(super) fn of(numbers: &[u64]) -> Scale {
        let Some(&first) = numbers.first() else {
            return Scale {
                base: 0,
                unit: 1,
                order: 0,
            };
        };
        let (min, max) = simd::run(Span(numbers));
        // A span beyond the signed integers has no unit: differences wrap.
        let unit = match max.checked_sub(min) {
            Some(_) => common_unit(numbers, first),
            None => 1,
        };
        let order = best_order(numbers, unit);
        Scale {
            base: if order == 0 {
                min.cast_unsigned()
            } else {
                first
            },
            unit,
            order,
        }
    }

    /// The codes of numbers, in their place.
    pub(super) fn encode(self, numbers: &mut [u64]) {
        simd::run(Offsets {
            numbers: &mut *numbers,
            base: self.base,
        });
        if self.unit > 1 {
            let unit = self.unit.cast_signed();
            for number in numbers.iter_mut() {
                *number = (number.cast_signed().wrapping_div(unit)).cast_unsigned();
            }
        }
        difference(numbers, self.order);
    }

    /// The numbers of codes, in their place.
    #[inline(always)]
    pub(super) fn decode(self, codes: &mut [u64]) {
        if self.order > 0 {
            for code in codes.iter_mut() {
                *code = *code >> 1 ^ (*code & 1).wrapping_neg();
            }
        }
        for _ in 0..self.order {
            let mut sum = 0u64;
            for code in codes.iter_mut() {
                sum = sum.wrapping_add(*code);
                *code = sum;
            }
        }
        for code in codes.iter_mut() {
            *code = self.base.wrapping_add(self.unit.wrapping_mul(*code));
        }
    }
}

/// Differences of the given order, their signs moved to the lowest bit.
fn difference(numbers: &mut [u64], order: u8) {
    simd::run(Differences { numbers, order });
}

struct Differences<'a> {
    numbers: &'a mut [u64],
    order: u8,
}

impl Kernel<()> for Differences<'_> {
    #[inline(always)]
    fn run(self) {
        for _ in 0..self.order {
            let mut before = 0u64;
            for number in self.numbers.iter_mut() {
                let difference = number.wrapping_sub(before);
                before = *number;
                *number = difference;
            }
        }
        if self.order > 0 {
            for number in self.numbers.iter_mut() {
                *number = *number << 1 ^ (*number >> 63).wrapping_neg();
            }
        }
    }
}

struct Offsets<'a> {
    numbers: &'a mut [u64],
    base: u64,
}

impl Kernel<()> for Offsets<'_> {
    #[inline(always)]
    fn run(self) {
        for number in self.numbers.iter_mut() {
            *number = number.wrapping_sub(self.base);
        }
    }
}

/// Least and greatest.
struct Span<'a>(&'a [u64]);

impl Kernel<(i64, i64)> for Span<'_> {
    #[inline(always)]
    fn run(self) -> (i64, i64) {
        let span = (i64::MAX, i64::MIN);
        self.0.iter().fold(span, |(min, max), &number| {
            let number = number.cast_signed();
            (min.min(number), max.max(number))
        })
    }
}

/// The greatest integer of which all differences from `first` are multiples, as far as signed integers go;
/// 1 if all are equal.
fn common_unit(numbers: &[u64], first: u64) -> u64 {
    const SIGNED_MAX: u64 = i64::MAX.unsigned_abs();
    let mut unit = 0u64;
    for &number in numbers {
        let mut rest = number.wrapping_sub(first).cast_signed().unsigned_abs();
        if unit != 0 {
            rest %= unit;
        }
        while rest != 0 {
            (unit, rest) = (rest, unit % rest);
        }
        if unit == 1 {
            break;
        }
    }
    if (1..=SIGNED_MAX).contains(&unit) {
        unit
    } else {
        1
    }
}

/// The order whose codes take the fewest bits in a sample of the numbers.
fn best_order(numbers: &[u64], unit: u64) -> u8 {
    const PLACES: usize = 4;
    const PLACE: usize = 256;
    let gap = (numbers.len() / PLACES).max(PLACE);
    let places: Vec<&[u64]> = numbers
        .chunks(gap)
        .map(|place| {
            place
                .split_at_checked(PLACE)
                .map_or(place, |(first, _)| first)
        })
        .collect();
    let unit = unit.max(1).cast_signed();
    let mut best = (0, f64::INFINITY);
    let mut codes = Vec::new();
    for order in 0..=ORDER_MAX {
        codes.clear();
        for place in &places {
            let Some(&first) = place.first() else {
                continue;
            };
            let base = if order == 0 {
                place
                    .iter()
                    .map(|number| number.cast_signed())
                    .min()
                    .map_or(0, i64::cast_unsigned)
            } else {
                first
            };
            let start = codes.len();
            codes.extend(place.iter().map(|number| {
                let offset = number.wrapping_sub(base).cast_signed();
                offset.wrapping_div(unit).cast_unsigned()
            }));
            let own = codes.get_mut(start..).unwrap_or_default();
            difference(own, order);
            // The first ones have no predecessors.
            let skipped = own.len().min(usize::from(order));
            codes.drain(start..start + skipped);
        }
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        let bits = code_bits(&codes) / codes.len().max(1) as f64;
        // A higher order must gain: it adds up what rounding leaves.
        if bits < 0.99 * best.1 {
            best = (order, bits);
        }
    }
    best.0
}

/// Bits of the planes of codes.
fn code_bits(codes: &[u64]) -> f64 {
    let used = codes.iter().fold(0, |all, code| all | code);
    let planes = (64 - used.leading_zeros()).div_ceil(8);
    let plane = |index: u32| -> Vec<u8> {
        codes
            .iter()
            .map(|code| {
                let [low, ..] = (code >> (8 * index)).to_le_bytes();
                low
            })
            .collect()
    };
    (0..planes).map(|index| table_bits(&plane(index))).sum()
}
