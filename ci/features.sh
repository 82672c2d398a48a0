#!/usr/bin/env bash
# Each crate without default features, and with each of its features alone.
set -euo pipefail
cd "$(dirname "$0")/.."
features() {
    local package=$1
    shift
    cargo check --quiet --locked --package "$package" --no-default-features
    for feature in "$@"; do
        echo "$package: $feature"
        cargo check --quiet --locked --package "$package" --no-default-features --features "$feature"
    done
}
features sketches std serde
echo "sketches: a program without std"
cargo build --quiet --locked --package sketches --no-default-features
built="${CARGO_TARGET_DIR:-target}/debug"
rustc --edition 2024 --crate-type staticlib -C panic=abort -o "$built/libno_std.a" \
    --extern sketches="$built/libsketches.rlib" -L dependency="$built/deps" ci/no_std.rs
features sigma-lang cli
features sigma-vault encryption async
features agent-collective
features ryot-inference grammar
features neurectomy
features neurectomy-examples sketches sigma-lang sigma-vault agent-collective ryot-inference train workflow telemetry
features neurectomy-bench sketches compression storage peer-lmdb peer-sled peer-caches agents inference workflow harness planted pprof dhat
