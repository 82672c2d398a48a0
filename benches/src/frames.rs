//! Names of functions in profiles: an inlined function has no path in the debug information, so the
//! file in which it stands says whose it is.

/// Whether a source file is the standard library's: what it takes is its caller's.
///
/// Profiles name files whole or by their last four parts.
pub(crate) fn is_standard(file: &str) -> bool {
    let is_whole = file.contains("/rustc/") || file.contains("rustlib/src/rust/library/");
    let ends = [
        "library/",
        "alloc/src/",
        "core/src/",
        "std/src/",
        "src/iter/adapters/",
    ];
    is_whole || ends.iter().any(|begin| file.starts_with(begin))
}

/// A function and where it stands: `find (sigma-vault/index/find.rs)`.
pub(crate) fn named(function: &str, file: &str) -> String {
    let parts: Vec<&str> = file.split('/').filter(|part| !part.is_empty()).collect();
    let Some(src) = parts
        .iter()
        .rposition(|part| *part == "src")
        .filter(|at| *at > 0)
    else {
        return match parts.last() {
            Some(last) if last.contains('.') => format!("{function} ({last})"),
            _ => function.to_owned(),
        };
    };
    format!(
        "{function} ({}/{})",
        parts[src - 1],
        parts[src + 1..].join("/")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_with_their_crate() {
        for (file, standard, expected) in [
            (
                "/a/b/crates/sigma-vault/src/index/find.rs",
                false,
                "f (sigma-vault/index/find.rs)",
            ),
            (
                "sigma-vault/src/index/find.rs",
                false,
                "f (sigma-vault/index/find.rs)",
            ),
            (
                "/home/registry/src/x/brotli-8.0.1/src/enc/mod.rs",
                false,
                "f (brotli-8.0.1/enc/mod.rs)",
            ),
            ("/a/benches/suites/agents.rs", false, "f (agents.rs)"),
            (
                "/rustc/0123/library/core/src/ops/range.rs",
                true,
                "f (core/ops/range.rs)",
            ),
            ("library/alloc/src/alloc.rs", true, "f (alloc/alloc.rs)"),
            ("alloc/src/raw_vec/mod.rs", true, "f (alloc/raw_vec/mod.rs)"),
            ("Unknown", false, "f"),
            ("???", false, "f"),
            ("", false, "f"),
        ] {
            assert_eq!(is_standard(file), standard, "{file}");
            assert_eq!(named("f", file), expected);
        }
    }
}
