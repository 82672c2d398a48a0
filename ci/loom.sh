#!/usr/bin/env bash
# Lock-free code under the loom model checker.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
LOOM_MAX_PREEMPTIONS=3 RUSTFLAGS="--cfg neurectomy_loom" \
    cargo test --package agent-collective --test loom --release --locked
LOOM_MAX_PREEMPTIONS=3 RUSTFLAGS="--cfg neurectomy_loom" \
    cargo test --package sketches --test loom --release --locked
LOOM_MAX_PREEMPTIONS=3 RUSTFLAGS="--cfg neurectomy_loom" \
    cargo test --package sigma-vault --lib --release --locked loom_
