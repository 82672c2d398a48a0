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
features sigma-lang
features sigma-vault
features agent-collective
features ryot-inference
features neurectomy
features neurectomy-examples sketches sigma-lang sigma-vault agent-collective ryot-inference workflow
features neurectomy-bench sketches compression storage agents inference workflow
