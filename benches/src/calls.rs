//! Functions of a suite by instructions and by how often they are called: callgrind's profile of its
//! smoke run.
//!
//! Samples of stacks cannot count calls; callgrind follows every one, some fifty times slower and
//! without AVX-512, so the suite runs each benchmark once on small input. Shares are of instructions,
//! the peers', criterion's and those of preparing the input among them.

use crate::profile::Hotspot;
use std::collections::BTreeMap;
use std::path::Path;

/// callgrind's file in the folder of the suite.
pub const CALLS_FILE: &str = "callgrind.out";
/// Functions that are kept.
const FUNCTIONS_MAX: usize = 40;
/// Longest profile that is read, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;

#[derive(Default)]
struct Counts {
    own: u64,
    callees: u64,
    calls: u64,
}

/// Reads the profile in the folder, the function with most instructions of its own first.
///
/// # Errors
/// The file cannot be read, is longer than 512 MiB or is none of callgrind's.
pub fn read(folder: &Path) -> Result<Vec<Hotspot>, String> {
    let path = folder.join(CALLS_FILE);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::metadata(&path).map_err(|error| failed(&error))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(failed(&format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read(&path).map_err(|error| failed(&error))?;
    let counts = count(&String::from_utf8_lossy(&text));
    if counts.is_empty() {
        return Err(failed(&"it holds no function"));
    }
    Ok(rank(counts))
}

/// Instructions and calls of each function.
///
/// The format is that of Valgrind's manual, "Callgrind Format Specification": `fn=(1) name` gives a
/// number to a name, `fn=(1)` uses it; a line of `calls=` says that the next line's cost is that of
/// the calls.
fn count(text: &str) -> BTreeMap<String, Counts> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    let (mut function, mut callee) = (String::new(), String::new());
    let mut is_of_calls = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = resolve(&mut names, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = resolve(&mut names, name);
        } else if let Some(rest) = line.strip_prefix("calls=") {
            let calls = rest.split_whitespace().next();
            let calls: u64 = calls.and_then(|calls| calls.parse().ok()).unwrap_or(0);
            counts.entry(callee.clone()).or_default().calls += calls;
            is_of_calls = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            let cost = line.split_whitespace().nth(1);
            let cost: u64 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
            let own = counts.entry(function.clone()).or_default();
            if is_of_calls {
                own.callees += cost;
            } else {
                own.own += cost;
            }
            is_of_calls = false;
        }
    }
    counts
}

fn resolve<'a>(names: &mut BTreeMap<&'a str, &'a str>, text: &'a str) -> String {
    let Some((number, name)) = text.split_once(')') else {
        return text.to_owned();
    };
    let name = name.trim();
    if !name.is_empty() {
        names.insert(number, name);
    }
    let known = names.get(number).copied().unwrap_or("unknown");
    without_hash(known).to_owned()
}

/// A name without what tells recursion levels and builds apart: `'2` and `::h0123456789abcdef`.
fn without_hash(name: &str) -> &str {
    let name = name.split('\'').next().unwrap_or(name);
    match name.rsplit_once("::h") {
        Some((plain, hash))
            if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            plain
        }
        _ => name,
    }
}

fn rank(counts: BTreeMap<String, Counts>) -> Vec<Hotspot> {
    let all: u64 = counts.values().map(|counts| counts.own).sum();
    let percent = |part: u64| 100.0 * float(part) / float(all.max(1));
    let mut ranked: Vec<Hotspot> = counts
        .into_iter()
        .map(|(function, counts)| Hotspot {
            function,
            self_percent: percent(counts.own),
            // What calls itself is counted once for each level.
            total_percent: percent(counts.own + counts.callees).min(100.0),
            samples: all,
            calls: Some(counts.calls),
        })
        .collect();
    ranked.sort_by(|a, b| b.self_percent.total_cmp(&a.self_percent));
    ranked.truncate(FUNCTIONS_MAX);
    ranked
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of instructions below 2^52"
)]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "version: 1\nevents: Ir\n\nfl=(1) a.rs\nfn=(1) main::h0123456789abcdef\n3 10\n\
                           cfn=(2) work'2\ncalls=4 20\n5 80\n+1 5\n\nfn=(2)\n20 60\ncfi=(2) b.rs\ncfn=(3) leaf\n\
                           calls=8 1\n* 20\n\nfn=(3)\n1 20\ntotals: 95\n";

    #[test]
    fn instructions_and_calls_are_summed_by_function() {
        let found: Vec<(String, f64, f64, Option<u64>)> = rank(count(PROFILE))
            .into_iter()
            .map(|spot| {
                let of = |percent: f64| (percent * 0.95).round();
                let (own, total) = (of(spot.self_percent), of(spot.total_percent));
                (spot.function, own, total, spot.calls)
            })
            .collect();
        let spot = |name: &str, own, total, calls| (name.to_owned(), own, total, Some(calls));
        assert_eq!(
            found,
            [
                spot("work", 60.0, 80.0, 4),
                spot("leaf", 20.0, 20.0, 8),
                spot("main", 15.0, 95.0, 0),
            ]
        );
    }

    #[test]
    fn a_file_without_functions_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap_err().contains("callgrind.out"));
        std::fs::write(dir.path().join(CALLS_FILE), "version: 1\n").unwrap();
        let message = read(dir.path()).unwrap_err();
        assert!(message.contains("it holds no function"), "{message}");
    }
}
