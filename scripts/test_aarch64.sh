#!/usr/bin/env bash
# Builds the library and the cipher tests for aarch64 and runs them under qemu: some five minutes. Not a part of
# `make test`. Installs the cross compiler and qemu; unpacks arm64's OpenSSL, the tests' reference, below target/.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
dir=$PWD/target/aarch64
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/openssl"

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get install -y -qq --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user >/dev/null
rustup target add "$target"

# A state of its own for apt: this machine's list of architectures stays as it is.
touch "$dir/apt/status"
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$dir/apt"
     -o "Dir::State::status=$dir/apt/status" -o "Dir::Cache=$dir/apt/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$dir" && "${apt[@]}" download libssl-dev libssl3 && for deb in libssl*.deb; do dpkg -x "$deb" openssl; done)
cp -r "$dir/openssl/usr/include/aarch64-linux-gnu/openssl/." "$dir/openssl/usr/include/openssl/"
libraries=$dir/openssl/usr/lib/aarch64-linux-gnu

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$libraries"
export AARCH64_UNKNOWN_LINUX_GNU_OPENSSL_INCLUDE_DIR=$dir/openssl/usr/include
export AARCH64_UNKNOWN_LINUX_GNU_OPENSSL_LIB_DIR=$libraries
cargo test --locked --no-fail-fast --target "$target" --lib --test ciphers \
  -- --skip passwords::
