//! Quantiles of a stream of numbers: which value has a share `q` of the stream below it?
//!
//! | structure | error bound | bytes | insert |
//! |---|---|---|---|
//! | [`DdSketch`] | every quantile within `relative_error` of the value itself | 8 per bin, at most 2,048 bins | O(1) |
//! | [`TDigest`] | rank, best at the ends: `7 sqrt(q (1 - q)) / compression` observed | 8 `compression` numbers and as many clusters | O(1) amortised |
//! | [`Kll`] | rank within `2.3 / k^0.9` with probability 99 %, for every stream | 8 per number, about 3 `k` numbers | O(1) amortised |
//!
//! The rank rule of all structures: in a stream of `n` numbers sorted ascending, the quantile `q`
//! is the number at position `floor(q * (n - 1))`, counted from 0. So `q = 0` is the least number
//! and `q = 1` the greatest.

mod ddsketch;
mod ends;
mod interface;
mod kll;
mod tdigest;

pub use ddsketch::{DdSketch, DdSketchBuilder};
pub use interface::Quantiles;
pub use kll::Kll;
pub use tdigest::TDigest;
