#!/usr/bin/env bash
# Builds the package twice from the last commit, in directories of different names and with cargo's home in different
# places, and compares the plugin, the command and the .deb byte for byte. Two whole release builds: some minutes.
#
#   scripts/test_reproducible.sh
#
# Both trees are kept where something differs, and the sections that do are told.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh deb

# The time in the package: that of the last commit, so that anyone with the sources can build the same.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
dir=$(mktemp -d "${TMPDIR:-/tmp}/keyroll-reproducible.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

# build SOURCES TREE [OPTION of cmake]...
build() {
  mkdir -p "$1"
  git archive HEAD | tar -xC "$1"
  cmake -S "$1" -B "$2" "${@:3}" >/dev/null
  cmake --build "$2"
  (cd "$2" && umask 022 && cpack -G DEB >/dev/null)
}

first=$dir/sources/target/cmake # as `make deb` has it
second=$dir/another-place/with-a-longer-name/b
build "$dir/sources" "$first" -DKEYROLL_TARGET_DIR="$dir/sources/target"
home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$dir/other-home/registry"
cp -a --reflink=auto "$home"/registry/{index,cache} "$dir/other-home/registry/"
CARGO_HOME=$dir/other-home build "$dir/elsewhere/keyroll-copy" "$second" -DKEYROLL_CARGO="$(command -v cargo)" -DKEYROLL_OFFLINE=ON

failed=0
for file in keyroll.so bin/keyroll "$(cd "$second" && ls mariadb-plugin-keyroll_*.deb)"; do
  if cmp "$first/$file" "$second/$file"; then
    echo "the same: $(sha256sum <"$first/$file" | cut -c1-16)… $(basename "$file")"
    continue
  fi
  failed=1
  [[ $file != *.deb ]] || continue
  for section in $(readelf -SW "$first/$file" | sed -nE 's/^ *\[ *[0-9]+\] (\.[^ ]+) .*/\1/p'); do
    cmp -s <(readelf -x "$section" "$first/$file" 2>&1 | tail -n +2) <(readelf -x "$section" "$second/$file" 2>&1 | tail -n +2) ||
      echo "  differs: $section" >&2
  done
done
if strings -a "$second/keyroll.so" "$second/bin/keyroll" | grep -F -e "$dir" -e "$HOME/."; then
  echo "paths of this machine are in what was built" >&2
  failed=1
fi
if [ "$failed" != 0 ]; then
  trap - EXIT
  echo "test_reproducible.sh: both trees are kept in $dir" >&2
fi
exit "$failed"
