#!/usr/bin/env bash
# Builds the package twice, in directories of different names, and compares the plugin, the command and the .deb byte
# for byte. Two whole release builds: some minutes.
#
#   scripts/test_reproducible.sh [BUILD]      BUILD: an existing build tree that is compared instead of the first build
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_packages.sh deb

# The time in the package: that of the last commit, so that anyone with the sources can build the same.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
dir=$(mktemp -d "${TMPDIR:-/tmp}/keyroll-reproducible.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# build SOURCE TREE: from a copy of what is committed.
build() {
  mkdir -p "$1"
  git archive HEAD | tar -xC "$1"
  cmake -S "$1" -B "$2" >/dev/null
  cmake --build "$2"
}

first=${1:-$dir/build}
[ $# -gt 0 ] || build "$dir/sources" "$first"
second=$dir/another-place/with-a-longer-name/b
build "$dir/elsewhere/keyroll-copy" "$second"

for tree in "$first" "$second"; do
  (cd "$tree" && umask 022 && cpack -G DEB >/dev/null)
done
failed=0
for file in keyroll.so bin/keyroll "$(cd "$second" && ls mariadb-plugin-keyroll_*.deb)"; do
  if cmp "$first/$file" "$second/$file"; then
    echo "the same: $(sha256sum <"$first/$file" | cut -c1-16)… $(basename "$file")"
  else
    failed=1
  fi
done
if strings -a "$second/keyroll.so" "$second/bin/keyroll" | grep -F -e "$dir" -e "$HOME/."; then
  echo "paths of this machine are in what was built" >&2
  failed=1
fi
exit "$failed"
