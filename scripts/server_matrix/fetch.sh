#!/usr/bin/env bash
# Unpacks the MariaDB server of other Debian suites into prefixes, without installing anything.
#
#   scripts/server_matrix/fetch.sh SUITE...     (bullseye = 10.5, trixie and sid = 11.8)
#
# Environment:
#   KEYROLL_MATRIX_CACHE   where the prefixes are kept between runs  (default: ~/.cache/keyroll-matrix)
#   KEYROLL_MIRROR         the Debian mirror                         (default: the one that apt here uses)
#
# A prefix holds the server, its clients, mtr, mariadb-backup, the server's and libc's headers, and all that they are
# linked against, down to libc. It is complete or absent. Remove it to have it fetched anew.
# About 100 MB to fetch and 800 MB on disk for each. Prints the paths of the prefixes.
set -euo pipefail

cache=${KEYROLL_MATRIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyroll-matrix}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages=(mariadb-server mariadb-backup mariadb-test mariadb-test-data libmariadbd-dev libmariadb-dev libc6-dev)

fail() {
  echo "fetch.sh: $*" >&2
  exit 1
}

mirror() {
  local found
  # Each line: 'http://deb.debian.org/debian/dists/bookworm/InRelease' and more.
  found=${KEYROLL_MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null |
    grep -m 1 -E '/debian/?$' || true)}
  echo "${found:-http://deb.debian.org/debian}"
}

# Links that lead to the root of the file system lead out of the prefix.
keep_links_inside() {
  local prefix=$1 link to
  while IFS= read -r -d '' link; do
    to=$prefix$(readlink "$link")
    [ ! -e "$to" ] || ln -sfn "$(realpath --no-symlinks --relative-to="$(dirname "$link")" "$to")" "$link"
  done < <(find "$prefix" -type l -lname '/*' -print0)
}

# A program runs on its own suite's loader and libraries, be they newer or older than this machine's. They are
# written into it rather than into the environment, because tests start programs of this machine, too.
use_libraries_inside() {
  local root=$1 prefix=$2 loader program
  local libraries="$prefix/usr/lib/x86_64-linux-gnu:$prefix/lib/x86_64-linux-gnu"
  loader=$(cd "$root" && ls lib64/ld-linux-x86-64.so.2 usr/lib64/ld-linux-x86-64.so.2 2>/dev/null || true)
  [ -n "$loader" ] || fail "there is no loader in the packages of $prefix"
  while IFS= read -r -d '' program; do
    if patchelf --print-interpreter "$program" >/dev/null 2>&1; then
      patchelf --set-interpreter "$prefix/$loader" --force-rpath --set-rpath "$libraries" "$program"
    fi
  done < <(find "$root/usr" -type f -perm -u+x ! -name '*.so*' -print0)
}

fetch() {
  local suite=$1 prefix=$cache/$1 work
  [ ! -d "$prefix" ] || return 0
  work=$cache/.$suite.new
  rm -rf "$work"
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial,root}
  : >"$work/state/status"
  echo "deb [signed-by=$keyring] $(mirror) $suite main" >"$work/sources.list"
  local apt=(apt-get -qq -o "Dir::State=$work/state" -o "Dir::State::status=$work/state/status" -o "Dir::Cache=$work/cache"
    -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Debug::NoLocking=1
    -o APT::Sandbox::User=root -o Acquire::Languages=none)
  echo "fetch.sh: fetching $suite into $prefix" >&2
  "${apt[@]}" update >&2
  "${apt[@]}" install -y --no-install-recommends --download-only "${packages[@]}" >&2
  for package in "$work"/cache/archives/*.deb; do
    dpkg -x "$package" "$work/root"
  done
  keep_links_inside "$work/root"
  use_libraries_inside "$work/root" "$prefix"
  mv "$work/root" "$prefix"
  rm -rf "$work"
}

[ $# -gt 0 ] || fail "usage: $0 SUITE..."
[ -r "$keyring" ] || fail "no $keyring (Debian: debian-archive-keyring)"
command -v patchelf >/dev/null || fail "patchelf is missing (Debian: patchelf)"
for suite in "$@"; do
  fetch "$suite"
  echo "$cache/$suite"
done
