//! Suite `sketches`: each family beside a peer, with measured error and bytes in rows of their own.
//!
//! Keys are 64-bit integers from a seeded generator, all different unless a group says otherwise; 16-byte
//! ids and 64-byte strings stand in `keys`. Every
//! structure hashes its keys itself, as its users would have it do.
//!
//! `NEURECTOMY_SKETCHES=membership,keys` measures these families only; `main.rs` lists their names.

mod distinct;
mod frequency;
mod keys;
mod membership;
mod quantiles;
mod similarity;

use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::{BenchError, Comparison, Goal, Suite};
use std::process::ExitCode;

/// The families, in the order of their rows.
const FAMILIES: [(&str, Family); 7] = [
    ("distinct", distinct::distinct),
    ("membership", membership::membership),
    ("frequency", frequency::frequency),
    ("top-k", frequency::top_k),
    ("similarity", similarity::similarity),
    ("quantiles", quantiles::quantiles),
    ("keys", keys::kinds_of_keys),
];

type Family = fn(&mut Suite) -> Result<(), BenchError>;

fn main() -> ExitCode {
    let asked = std::env::var("NEURECTOMY_SKETCHES").unwrap_or_default();
    let asked: Vec<&str> = asked.split(',').filter(|name| !name.is_empty()).collect();
    neurectomy_bench::run("sketches", |suite| {
        if let Some(name) = asked
            .iter()
            .find(|name| FAMILIES.iter().all(|(known, _)| known != *name))
        {
            return Err(format!("NEURECTOMY_SKETCHES: no family {name}").into());
        }
        for (name, family) in FAMILIES {
            if asked.is_empty() || asked.contains(&name) {
                family(suite)?;
            }
        }
        Ok(())
    })
}

/// Two rows of one comparison: the goal as measured on the machine of the design, and the ratio to
/// the peer that it was there, for other machines.
fn compare_by(suite: &mut Suite, comparison: Comparison<'_>, nanoseconds: f64, ratio: f64) {
    for goal in [Goal::OursAtMost(nanoseconds), Goal::RatioAtMost(ratio)] {
        suite.compare(Comparison {
            goal: Some(goal),
            ..comparison
        });
    }
}

fn keys(count: usize, seed: u64) -> Vec<u64> {
    let mut seeded = SplitMix64::new(seed);
    (0..count).map(|_| seeded.bits()).collect()
}

fn near(what: &str, found: f64, expected: f64, tolerance: f64) -> Result<(), BenchError> {
    if (found - expected).abs() <= tolerance * expected {
        Ok(())
    } else {
        Err(format!("{what}: {found} is more than {tolerance} away from {expected}").into())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
fn float(count: usize) -> f64 {
    count as f64
}
