//! HyperLogLog as Apache DataSketches keeps it.

use alloc::{collections::BTreeSet, vec::Vec};

use super::coupon::{VALUE_MAX, coupon_of, estimate, slot, value};
use crate::{distinct::hyperloglog::estimate_ranks, error::SketchError, memory::zeros};

pub(super) const NAME: &str = "apache hll";
/// Coupons that a list has room for; one more makes it a set or registers.
pub(super) const LIST_LEN: usize = 8;
/// Least precision at which there is a set between list and registers.
const SET_PRECISION_MIN: u8 = 8;

/// How the library stores registers; estimates do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApacheHllType {
    /// Four bits each, above a common least value, and a list of exceptions.
    Hll4,
    /// Six bits each.
    Hll6,
    /// Eight bits each.
    Hll8,
}

/// The HyperLogLog sketch of Apache DataSketches (Java, C++, Python, Go, Rust), to exchange with
/// systems that use it: reads its bytes in every mode, counts into it, merges, writes it back.
///
/// Its keys are hashed by MurmurHash3 with seed 9001 and its registers are chosen by other bits than those
/// of [`HyperLogLog`](crate::HyperLogLog), so the two count the same keys differently and cannot be
/// merged; it is therefore a type of its own. Where there is no such system to talk to, use
/// [`HyperLogLog`](crate::HyperLogLog): it is faster.
///
/// Error: `0.83 / sqrt(2^precision)` as long as keys were counted one by one, since the sketch then
/// keeps the sum of their probabilities to change it (historic inverse probability); after a merge of
/// registers `1.04 / sqrt(2^precision)`. The first estimate is the number that the library itself
/// answers. The second is made by the estimator of Ertl instead of the tables of the library, so
/// it is another estimate within the same error.
///
/// Cost: insert O(log coupons) while few, then O(1); estimate O(1), after a merge O(2^precision).
/// Memory: while few about 16 bytes for each key, then one byte for each register.
///
/// Source: the layout and constants of `datasketches-cpp` and `datasketches-java`; Ting, "Streamed
/// approximate counting of distinct elements", 2014 (the historic estimator).
///
/// ```
/// use sketches::distinct::{ApacheHll, ApacheHllType};
/// let mut visitors = ApacheHll::new(12, ApacheHllType::Hll8)?;
/// for id in 0..10_000_u64 {
///     visitors.insert_u64(id);
/// }
/// assert!((visitors.estimate() / 10_000.0 - 1.0).abs() < 0.04); // three standard errors
/// let bytes = visitors.to_bytes(); // read by every DataSketches library
/// assert_eq!(ApacheHll::from_bytes(&bytes)?.estimate(), visitors.estimate());
/// # Ok::<(), sketches::SketchError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ApacheHll {
    pub(super) precision: u8,
    pub(super) kind: ApacheHllType,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    /// Distinct coupons, fewer than [`is_full`] allows.
    Coupons(BTreeSet<u32>),
    Registers(Registers),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Registers {
    pub(super) values: Vec<u8>,
    /// Sum of `2^-value` over all registers.
    pub(super) inverse_sum: f64,
    /// Sum of the inverse probabilities of all changes; none once sketches were merged.
    pub(super) history: Option<f64>,
}

impl Registers {
    pub(super) fn new(values: Vec<u8>, history: Option<f64>) -> Self {
        let inverse_sum = values.iter().map(|value| inverse_power(*value)).sum();
        Self {
            values,
            inverse_sum,
            history,
        }
    }

    fn insert(&mut self, coupon: u32) {
        let (mask, new) = (self.values.len() - 1, value(coupon));
        #[expect(clippy::cast_precision_loss, reason = "at most 2^21 registers")]
        let count = self.values.len() as f64;
        if let Some(old) = self.values.get_mut(slot(coupon) as usize & mask)
            && new > *old
        {
            if let Some(sum) = &mut self.history {
                *sum += count / self.inverse_sum;
            }
            self.inverse_sum += inverse_power(new) - inverse_power(*old);
            *old = new;
        }
    }
}

/// `2^-value`.
pub(super) fn inverse_power(value: u8) -> f64 {
    f64::from_bits((1023 - u64::from(value.min(VALUE_MAX))) << 52)
}

/// Whether so many coupons are too many for list and set.
pub(super) const fn is_full(precision: u8, coupons: usize) -> bool {
    if precision < SET_PRECISION_MIN {
        coupons >= LIST_LEN
    } else {
        4 * coupons > 3 << (precision - 3)
    }
}

impl ApacheHll {
    /// Least precision (`lg_k` of the library).
    pub const PRECISION_MIN: u8 = 4;
    /// Greatest precision, the limit of the library: 2^21 registers.
    pub const PRECISION_MAX: u8 = 21;

    /// An empty sketch with `2^precision` registers (`lg_k` of the library).
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where the precision is outside 4 to 21.
    pub fn new(precision: u8, kind: ApacheHllType) -> Result<Self, SketchError> {
        if !(Self::PRECISION_MIN..=Self::PRECISION_MAX).contains(&precision) {
            let allowed = "4 to 21";
            return Err(SketchError::parameter(
                NAME,
                "precision",
                precision,
                allowed,
            ));
        }
        Ok(Self {
            precision,
            kind,
            state: State::Coupons(BTreeSet::new()),
        })
    }

    /// Counts an integer, as `update(long)` of the library.
    pub fn insert_u64(&mut self, key: u64) {
        self.insert_coupon(coupon_of(&key.to_le_bytes()));
    }

    /// Counts a string, as `update(String)` of the library: its UTF-8 bytes, and nothing where it is
    /// empty.
    pub fn insert_str(&mut self, key: &str) {
        self.insert_bytes(key.as_bytes());
    }

    /// Counts some bytes, as `update(byte[])` of the library, which ignores an empty array.
    pub fn insert_bytes(&mut self, key: &[u8]) {
        if !key.is_empty() {
            self.insert_coupon(coupon_of(key));
        }
    }

    fn insert_coupon(&mut self, coupon: u32) {
        match &mut self.state {
            State::Coupons(coupons) => {
                coupons.insert(coupon);
                if is_full(self.precision, coupons.len()) {
                    self.state = State::Registers(self.to_registers());
                }
            }
            State::Registers(registers) => registers.insert(coupon),
        }
    }

    /// The registers of some coupons, with the estimate of the coupons as their history.
    pub(super) fn to_registers(&self) -> Registers {
        match &self.state {
            State::Coupons(coupons) => {
                let mut registers = Registers::new(alloc::vec![0; 1 << self.precision], None);
                coupons.iter().for_each(|coupon| registers.insert(*coupon));
                registers.history = Some(estimate(coupons.len()));
                registers
            }
            State::Registers(registers) => registers.clone(),
        }
    }

    /// Estimated number of distinct keys; 0 for an empty sketch.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        match &self.state {
            State::Coupons(coupons) => estimate(coupons.len()),
            State::Registers(Registers {
                history: Some(sum), ..
            }) => *sum,
            State::Registers(registers) => estimate_ranks(&registers.values, VALUE_MAX),
        }
    }

    /// Whether keys were only counted one by one, so that the better estimator holds.
    #[must_use]
    pub const fn has_history(&self) -> bool {
        match &self.state {
            State::Coupons(_) => true,
            State::Registers(registers) => registers.history.is_some(),
        }
    }

    /// Standard error of an estimate from registers, as a share of the count.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        let factor = if self.has_history() { 0.8326 } else { 1.039 };
        factor / libm::sqrt(f64::from(1_u32 << self.precision))
    }

    /// Counts every key of another sketch. Of two precisions the lower one remains, as in a union of
    /// the library; the kind of the receiver does.
    ///
    /// # Errors
    /// [`SketchError::Memory`]; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        if other.precision < self.precision {
            self.reduce_precision(other.precision)?;
        }
        if let State::Coupons(theirs) = &other.state {
            theirs.iter().for_each(|coupon| self.insert_coupon(*coupon));
            return Ok(());
        }
        let mut merged = other.clone();
        merged.kind = self.kind;
        if merged.precision > self.precision {
            merged.reduce_precision(self.precision)?;
        }
        match (&self.state, &mut merged.state) {
            (State::Coupons(ours), State::Registers(registers)) => {
                ours.iter().for_each(|coupon| registers.insert(*coupon));
            }
            (State::Registers(ours), State::Registers(registers)) => {
                let mut values = core::mem::take(&mut registers.values);
                for (value, ours) in values.iter_mut().zip(&ours.values) {
                    *value = (*value).max(*ours);
                }
                *registers = Registers::new(values, None);
            }
            (_, State::Coupons(_)) => {}
        }
        *self = merged;
        Ok(())
    }

    /// Goes down to a lower precision, as a union of the library does: the history is lost where there
    /// are registers.
    ///
    /// # Errors
    /// [`SketchError::Parameter`] where `precision` is below 4 or above the present one, and
    /// [`SketchError::Memory`].
    pub fn reduce_precision(&mut self, precision: u8) -> Result<(), SketchError> {
        if !(Self::PRECISION_MIN..=self.precision).contains(&precision) {
            let allowed = "4 to the present precision";
            return Err(SketchError::parameter(
                NAME,
                "precision",
                precision,
                allowed,
            ));
        }
        if precision == self.precision {
            return Ok(());
        }
        match &self.state {
            State::Coupons(coupons) => {
                let full = is_full(precision, coupons.len());
                self.precision = precision;
                if full {
                    self.state = State::Registers(self.to_registers());
                }
            }
            State::Registers(registers) => {
                let mut lower: Vec<u8> = zeros(NAME, 1 << precision)?;
                // A slot is the low bits of the hash, and values come from another word of it.
                for part in registers.values.chunks(lower.len()) {
                    for (value, higher) in lower.iter_mut().zip(part) {
                        *value = (*value).max(*higher);
                    }
                }
                self.precision = precision;
                self.state = State::Registers(Registers::new(lower, None));
            }
        }
        Ok(())
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.state = State::Coupons(BTreeSet::new());
    }

    /// Whether no key was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.state, State::Coupons(coupons) if coupons.is_empty())
    }

    /// Base-2 logarithm of the number of registers (`lg_k` of the library).
    #[must_use]
    pub const fn precision(&self) -> u8 {
        self.precision
    }

    /// How registers are stored in bytes.
    #[must_use]
    pub const fn kind(&self) -> ApacheHllType {
        self.kind
    }

    /// Changes how registers are stored in bytes; nothing else depends on it.
    #[must_use]
    pub const fn with_kind(mut self, kind: ApacheHllType) -> Self {
        self.kind = kind;
        self
    }
}
