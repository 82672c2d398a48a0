//! What a piece of content is, and whether a transform pays.
//!
//! A sample is looked at first (is it noise, text, or elements of some width?), which leaves a few
//! candidates. Each is tried on the sample beside plain zstd, and the best one is taken if it wins
//! by a margin.

mod numbers;
mod sample;
mod trial;

pub(crate) use sample::{coding, table_bits};
pub(crate) use trial::{DIGITS_LEVEL, Plan, Trial};
