#!/usr/bin/env bash
# Every example, built as a user builds it and run to the end. An example fails by its exit code.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cargo build --release --package neurectomy-examples --examples --locked
cargo run --release --locked --package neurectomy-examples --example collective_workflow -- --vault "$scratch/vault"
echo "again on the same vault: everything is resumed, nothing is computed twice"
cargo run --release --locked --package neurectomy-examples --example collective_workflow -- --vault "$scratch/vault" --json
cargo run --release --locked --package neurectomy-examples --example pick_a_sketch
cargo run --release --locked --package neurectomy-examples --example validate_solvers
cargo run --release --locked --package neurectomy-examples --example compress_folder
cargo run --release --locked --package neurectomy-examples --example compress_folder -- docs --benchmark --json
cargo run --release --locked --package neurectomy-examples --example vault_tour
cargo run --release --locked --package neurectomy-examples --example chat -- --prompt "Count the lines of notes/coast.md that mention retry."
cargo run --release --locked --package neurectomy-examples --example many_agents
cargo run --release --locked --package neurectomy-examples --example speculate -- --repeats 3
cargo run --release --locked --package neurectomy-examples --example embed
cargo run --release --locked --package neurectomy-examples --example splice_cascade
cargo run --release --locked --package neurectomy-examples --example train_tiny -- --check
cargo run --release --locked --package neurectomy-examples --example traces
cargo run --release --locked --package neurectomy-examples --example metrics
