#!/usr/bin/env bash
# Writes target/keyroll.cdx.json: the software bill of materials (CycloneDX) of what is linked into keyroll.so and the
# command. Installs cargo-cyclonedx where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked cargo-cyclonedx@0.5.9

# The same document each time: the time is that of the last commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
cargo cyclonedx --format json --spec-version 1.5 --no-build-deps --target "$(rustc -vV | sed -n 's/^host: //p')" \
  --override-filename keyroll.sbom
mkdir -p target
# Without the place of this checkout.
sed "s|path+file://$PWD|path+file:///keyroll|g" keyroll.sbom.json >target/keyroll.cdx.json
# One is written for each package of the workspace.
rm keyroll.sbom.json
find tests -name keyroll.sbom.json -delete
echo "target/keyroll.cdx.json: $(grep -c '"scope": "required"' target/keyroll.cdx.json) components"
