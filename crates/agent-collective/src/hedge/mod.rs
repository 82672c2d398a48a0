//! Hedging: a second try of a request that takes longer than most did, and the slower one is
//! cancelled.
//!
//! # Source
//! The Tail at Scale, Dean and Barroso 2013.

mod config;
mod request;

pub use config::HedgeConfig;
pub use request::{Hedge, HedgeStats, HedgedHandle};
