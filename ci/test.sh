#!/usr/bin/env bash
# Every test and doctest, and every benchmark once at smoke size.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace --all-features --locked
cargo test --workspace --benches --locked
# Kernels once more without vector instructions.
NEURECTOMY_SIMD=scalar cargo test --package sketches --all-features --locked
