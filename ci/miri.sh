#!/usr/bin/env bash
# Unsafe code under Miri, where a nightly toolchain with the component is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "miri: skipped: no nightly toolchain with the miri component is installed"
    exit 0
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri"
# crossbeam-epoch frees its last garbage at process end, which Miri would call a leak.
MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-ignore-leaks" \
    cargo +nightly miri test --package agent-collective --test nested scope --locked
# The vector kernels of sketches as compiled for AVX2, and their plain twins. The level is what the
# build is compiled for, as Miri reports no CPU; AVX-512 kernels are held to the twins by the same
# tests outside Miri.
RUSTFLAGS="-C target-feature=+avx2,+bmi1,+bmi2,+lzcnt,+popcnt" \
    MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows" \
    cargo +nightly miri test --package sketches --lib --locked -- simd:: kernel::
MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-ignore-leaks" \
    cargo +nightly miri test --package agent-collective --lib --locked -- inline:: parker::
# The gate of lookups, with fences on both sides: Miri has no membarrier.
MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-ignore-leaks" \
    cargo +nightly miri test --package sigma-vault --lib --locked -- index::gate
