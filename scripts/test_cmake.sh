#!/usr/bin/env bash
# Ways to build with CMake that `make` does not go: by Ninja, in cargo's dev profile, from what cargo has fetched and from
# vendored crates, both without network. Then the target `mtr`, which must leave the installed server as it is.
#
#   scripts/test_cmake.sh
#
# Runs as root, to cut the network off. Two builds in the dev profile: some minutes.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
fail() { echo "test_cmake.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "must run as root, to cut the network off"
"$checkout/scripts/install_packages.sh" deb
"$checkout/scripts/install_packages.sh" test
dir=$(mktemp -d "${TMPDIR:-/tmp}/keyroll-cmake.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
no_network() { unshare --net -- "$@"; }

# built TREE: all that is built is there, and in the profile that Debug stands for.
built() {
  local file
  for file in keyroll.so bin/keyroll man/keyroll.1 completions/bash cargo/debug/libkeyroll.so; do
    [ -s "$1/$file" ] || fail "not built: $1/$file"
  done
  [ ! -e "$1/cargo/release" ] || fail "Debug was built in the release profile"
  cmake --install "$1" --prefix "$1/installed" >/dev/null
  [ -n "$(find "$1/installed" -name keyroll.so)" ] || fail "$1: the plugin was not installed"
}

step "Ninja, Debug, KEYROLL_OFFLINE, without network"
(cd "$checkout" && cargo fetch --locked --quiet)
cmake -G Ninja -S "$checkout" -B "$dir/ninja" -DCMAKE_BUILD_TYPE=Debug -DKEYROLL_OFFLINE=ON -DKEYROLL_MTR_ARGS=keyroll.reload >/dev/null
no_network cmake --build "$dir/ninja"
built "$dir/ninja"

step "KEYROLL_VENDOR_DIR, with an empty cargo home and without network"
(cd "$checkout" && cargo vendor --locked --quiet "$dir/vendor" >/dev/null)
cmake -S "$checkout" -B "$dir/vendored" -DCMAKE_BUILD_TYPE=Debug -DKEYROLL_VENDOR_DIR="$dir/vendor" >/dev/null
export CARGO_HOME="$dir/empty"
! no_network cargo fetch --locked --quiet --manifest-path "$checkout/Cargo.toml" 2>/dev/null || fail "there is a network"
no_network cmake --build "$dir/vendored"
unset CARGO_HOME
[ ! -e "$dir/empty/registry/src" ] || fail "cargo took sources from elsewhere than the vendored ones"
built "$dir/vendored"

step "the target mtr"
answer() { mariadbd --no-defaults --verbose --help 2>/dev/null | sed -n "s/^$1  *//p"; }
installed() {
  { find "$(answer plugin-dir)" "$(answer basedir)"/share/{mysql,mariadb} /etc/mysql /var/lib/mysql -printf '%p %i %s %m %T@ %C@\n' \
    2>/dev/null || true; } | sort
}
installed >"$dir/before"
KEYROLL_SUITE_NAMES=keyroll cmake --build "$dir/ninja" --target mtr | tee "$dir/mtr.log"
grep -q ': 1 passed, 0 failed, 0 skipped$' "$dir/mtr.log" || fail "the test did not run"
installed | diff "$dir/before" - || fail "the installed server was touched"
[ "$(wc -l <"$dir/before")" -gt 100 ] || fail "the installed server was not found"

printf '\nbuilt by Ninja and make, offline and vendored, and tested on the installed server, in %s s\n' "$SECONDS"
