#!/usr/bin/env bash
# Builds keyroll.so and keyroll for old systems: linked against glibc 2.31 (Debian 11), whatever this machine has.
#
#   scripts/build_portable.sh     -> TARGET/x86_64-unknown-linux-gnu/release/{libkeyroll.so,keyroll}
#
# A library takes the newest version of each symbol that the linker sees, so that one linked on Debian 12 asks for
# glibc 2.34 without a need: MariaDB 10.5 of Debian 11 could not load it. Here the linker sees the libraries of
# Debian 11, which scripts/server_matrix/fetch.sh unpacks. Fails if anything newer is asked for in spite of that.
set -euo pipefail
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=

checkout=$(cd "$(dirname "$0")/.." && pwd -P)
triple=x86_64-unknown-linux-gnu
sysroot=$("$checkout/scripts/server_matrix/fetch.sh" bullseye)
out=${CARGO_TARGET_DIR:-$checkout/target}/$triple/release

cd "$checkout"
# With --target these apply to what is shipped, not to build scripts, which run here. A compiler looks into its own
# system's folders even with a sysroot, but first into those of -B.
link="--sysroot=$sysroot -B$sysroot/usr/lib/x86_64-linux-gnu/ -B$sysroot/lib/x86_64-linux-gnu/"
for argument in $link; do
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS+=" -C link-arg=$argument"
done
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS
export CFLAGS_x86_64_unknown_linux_gnu="--sysroot=$sysroot"
"${CARGO:-cargo}" build --release --locked --target "$triple"

for built in "$out/libkeyroll.so" "$out/keyroll"; do
  newest=$(objdump -T "$built" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1)
  echo "$built: asks for $newest"
  if [ "$(printf '%s\n' GLIBC_2.31 "$newest" | sort -V | tail -1)" != GLIBC_2.31 ]; then
    objdump -T "$built" | grep -F "$newest" >&2
    exit 1
  fi
done
