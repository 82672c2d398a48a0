#!/usr/bin/env bash
# The report in a headless browser. Installs Chromium where that is missing and possible; where it is
# not possible, says so and ends well.
set -euo pipefail
cd "$(dirname "$0")/.."
has_chromium() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}
if ! has_chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    timeout --kill-after=10 300 bash -c \
        'apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core' \
        >/dev/null || echo "browser: apt-get did not install chromium"
fi
if ! has_chromium >/dev/null; then
    echo "browser: skipped: chromium is not installed and cannot be"
    exit 0
fi
# The features of ci/test.sh, so that nothing is built twice.
features=$(tr '\n' ' ' <ci/all-features.txt)
NEURECTOMY_BROWSER=required cargo test --workspace --features "$features" --test browser --locked
