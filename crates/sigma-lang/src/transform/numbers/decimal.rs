//! Floats that are decimal numbers.

use crate::simd::{self, Kernel};

/// Digits behind the point, at most: powers of ten up to here are floats without rounding.
pub(super) const DIGITS_MAX: usize = 22;
/// Digits that are looked for.
const DIGITS_SEARCHED: usize = 12;
/// Elements that a search looks at.
const LOOK: usize = 128;

const POWERS: [f64; DIGITS_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// What the elements of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Integers, or anything taken as such.
    Integer,
    /// Floats: an integer divided by a power of ten.
    Quotient { digits: usize },
    /// Floats: an integer times the float nearest to a power of a tenth.
    Product { digits: usize },
}

impl Kind {
    /// The numbers of elements of `width` bytes; what has none repeats the one before.
    pub(crate) fn numbers(self, elements: &[u64], width: usize) -> Vec<u64> {
        let mut numbers = Vec::with_capacity(elements.len());
        match Decimal::new(self, width) {
            Some(decimal) => push_numbers(decimal, elements, &mut numbers, &mut Vec::new()),
            None => numbers.extend_from_slice(elements),
        }
        numbers
    }
}

/// A decimal kind for floats of `width` bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    width: usize,
    power: f64,
    is_product: bool,
}

impl Decimal {
    /// Nothing for integers, and for digits beyond [`DIGITS_MAX`].
    pub(super) fn new(kind: Kind, width: usize) -> Option<Decimal> {
        let (digits, is_product) = match kind {
            Kind::Integer => return None,
            Kind::Quotient { digits } => (digits, false),
            Kind::Product { digits } => (digits, true),
        };
        let power = *POWERS.get(digits)?;
        Some(Decimal {
            width,
            power: if is_product { 1.0 / power } else { power },
            is_product,
        })
    }

    /// The float of an integer.
    #[inline(always)]
    fn of(self, integer: f64) -> f64 {
        if self.is_product {
            integer * self.power
        } else {
            integer / self.power
        }
    }

    /// Bits of the float as an element.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "to the element's own width"
    )]
    fn bits(self, value: f64) -> u64 {
        if self.width == 4 {
            u64::from((value as f32).to_bits())
        } else {
            value.to_bits()
        }
    }

    /// The element of a number.
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "part of the format")]
    pub(super) fn element(self, number: u64) -> u64 {
        self.bits(self.of(number.cast_signed() as f64))
    }

    /// The number whose element this is, and whether there is one.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the element's own width")]
    fn number(self, element: u64) -> (u64, bool) {
        /// Added to a float of less than 2^51 it leaves the nearest integer in the low bits.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        const INTEGER_MAX: f64 = 2_251_799_813_685_248.0;
        let (value, bits) = if self.width == 4 {
            let bits = element as u32;
            (f64::from(f32::from_bits(bits)), u64::from(bits))
        } else {
            (f64::from_bits(element), element)
        };
        let scaled = if self.is_product {
            value / self.power
        } else {
            value * self.power
        };
        let rounded = scaled + ROUND;
        let number = rounded.to_bits().wrapping_sub(ROUND.to_bits());
        let again = self.bits(self.of(rounded - ROUND));
        (number, (again == bits) & (scaled.abs() < INTEGER_MAX))
    }
}

/// Appends the numbers of elements, and the places of those that have none, which repeat the number before.
pub(super) fn push_numbers(
    decimal: Decimal,
    elements: &[u64],
    numbers: &mut Vec<u64>,
    strangers: &mut Vec<usize>,
) {
    simd::run(PushNumbers {
        decimal,
        elements,
        numbers,
        strangers,
    });
}

struct PushNumbers<'a> {
    decimal: Decimal,
    elements: &'a [u64],
    numbers: &'a mut Vec<u64>,
    strangers: &'a mut Vec<usize>,
}

impl Kernel<()> for PushNumbers<'_> {
    #[inline(always)]
    fn run(self) {
        const BLOCK: usize = 64;
        let decimal = self.decimal;
        let mut last = 0;
        let mut block = [0u64; BLOCK];
        let mut fits = [0u64; BLOCK];
        for (index, elements) in self.elements.chunks(BLOCK).enumerate() {
            let mut all = 1;
            for ((number, fit), &element) in block.iter_mut().zip(&mut fits).zip(elements) {
                let (found, is) = decimal.number(element);
                *number = found;
                *fit = u64::from(is);
                all &= *fit;
            }
            let (found, _) = block.split_at_mut(elements.len());
            if all == 0 {
                for (place, (number, &fit)) in found.iter_mut().zip(&fits).enumerate() {
                    if fit == 0 {
                        self.strangers.push(index * BLOCK + place);
                        *number = last;
                    }
                    last = *number;
                }
            }
            last = found.last().copied().unwrap_or(last);
            self.numbers.extend_from_slice(found);
        }
    }
}

/// The kind of decimal that most of the elements are, judged by a look: the fewest digits with which nearly
/// as many fit as with any.
pub(crate) fn find_decimal(elements: &[u64], width: usize) -> Option<Kind> {
    if width < 4 {
        return None;
    }
    // Zeros are what any number of any kind may be.
    let look: Vec<u64> = elements
        .iter()
        .step_by(elements.len().div_ceil(LOOK).max(1))
        .copied()
        .filter(|&element| element != 0)
        .collect();
    // Decimals have an exponent; integers in the place of floats mostly have none.
    let has_exponent = |&&element: &&u64| element >> if width == 4 { 23 } else { 52 } != 0;
    if 8 * look.iter().filter(has_exponent).count() < 7 * look.len().max(1) {
        return None;
    }
    let fitting = |kind| match Decimal::new(kind, width) {
        Some(decimal) => look
            .iter()
            .filter(|&&element| decimal.number(element).1)
            .count(),
        None => 0,
    };
    // Small numbers of a single float's 24 bits are what any float is.
    let digits_max = if width == 4 { 6 } else { DIGITS_SEARCHED };
    // More digits for a few strays would cost all others more than patches do.
    let strays = look.len() / 64;
    let mut best = (look.len() - look.len() / 8, None);
    for digits in 0..=digits_max {
        for kind in [Kind::Quotient { digits }, Kind::Product { digits }] {
            let fitting = fitting(kind);
            if fitting > best.0 + strays || (best.1.is_none() && fitting >= best.0) {
                best = (fitting, Some(kind));
            }
        }
        if best.0 == look.len() && best.1.is_some() {
            break;
        }
    }
    best.1
}
