#!/usr/bin/env bash
# Every example, built as a user builds it and run to the end. An example fails by its exit code.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cargo build --release --package neurectomy-examples --examples --locked
cargo run --release --locked --example collective_workflow -- --vault "$scratch/vault"
echo "again on the same vault: everything is resumed, nothing is computed twice"
cargo run --release --locked --example collective_workflow -- --vault "$scratch/vault" --json
