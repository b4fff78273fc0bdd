#!/usr/bin/env bash
# Writes target/keyroll.cdx.json: the software bill of materials (CycloneDX 1.5) of what is linked into keyroll.so and
# the command. Installs cargo-cyclonedx where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.5.9
cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked "cargo-cyclonedx@$version"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
