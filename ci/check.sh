#!/usr/bin/env bash
# Formatting, lints and documentation, with warnings denied.
set -euo pipefail
cd "$(dirname "$0")/.."
# Every feature but the peers of the benches that need cmake or libclang.
features=$(tr '\n' ' ' <ci/all-features.txt)
cargo fmt --all --check
cargo clippy --workspace --all-targets --features "$features" --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" \
    cargo doc --workspace --no-deps --features "$features" --locked
