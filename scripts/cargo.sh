#!/bin/sh
# cargo, with this machine's paths left out of what it builds: panic messages hold the paths of sources. With the same
# options the same sources make the same bytes anywhere, and the plugin, the demo and the packages come from one build.
#
#   scripts/cargo.sh SUBCOMMAND [OPTION]...      CARGO: the cargo to call; CARGO_TARGET_DIR, KEYROLL_VENDOR_DIR: see below
#
# cargo ignores the mapped paths where RUSTFLAGS is set in the environment, as distributions do, which map paths themselves.
set -eu

real() { readlink -m -- "$1"; }
sources=$(real "$(dirname "$0")/..")
# The last of several mappings that fit counts: cargo's home and the target directory may be below the sources.
mapped="'--remap-path-prefix=$sources=/keyroll'"
map() { mapped="$mapped, '--remap-path-prefix=$(real "$1")=$2'"; }
map "${CARGO_HOME:-$HOME/.cargo}" /cargo
# Made by `cargo vendor`.
[ -z "${KEYROLL_VENDOR_DIR:-}" ] || map "$KEYROLL_VENDOR_DIR" /vendor
map "${CARGO_TARGET_DIR:-$sources/target}" /target

exec "${CARGO:-cargo}" "$@" --config "build.rustflags=[$mapped]"
