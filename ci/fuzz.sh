#!/usr/bin/env bash
# ci/fuzz.sh TARGET SECONDS: runs one fuzz target. Needs nightly and `cargo install cargo-fuzz`.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
# gcc reports a use after scope in zstd on a table that is static.
export CFLAGS="-fno-sanitize-address-use-after-scope"
cargo +nightly fuzz run "${1:?name a target; see fuzz/Cargo.toml}" -- \
    -max_total_time="${2:-60}" -rss_limit_mb=2048
