#!/usr/bin/env bash
# Every test and doctest, and every benchmark once at smoke size.
set -euo pipefail
cd "$(dirname "$0")/.."
# Every feature but the peers of the benches that need cmake or libclang.
features=$(tr '\n' ' ' <ci/all-features.txt)
cargo test --workspace --features "$features" --locked
cargo test --workspace --benches --features "$features" --locked
# Kernels once more without vector instructions.
NEURECTOMY_SIMD=scalar cargo test --package sketches --all-features --locked
