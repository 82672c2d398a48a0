#!/usr/bin/env bash
# ci/fuzz.sh TARGET SECONDS: runs one fuzz target. Needs nightly and `cargo install cargo-fuzz`.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
# gcc reports a use after scope in zstd on a table that is static.
export CFLAGS="-fno-sanitize-address-use-after-scope"
target="${1:?name a target; see fuzz/Cargo.toml}"
case "$target" in
    sketches_*) crate=sketches ;;
    sigma_*) crate=sigma-lang ;;
    vault_*) crate=sigma-vault ;;
    *) crate=ryot-inference ;;
esac
cargo +nightly fuzz run --no-default-features --features "$crate" "$target" -- \
    -max_total_time="${2:-60}" -rss_limit_mb=2048
