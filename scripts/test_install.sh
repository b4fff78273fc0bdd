#!/usr/bin/env bash
# What `cmake --install` installs and where: below the prefix or DESTDIR, and nothing elsewhere. It runs as the user
# nobody, who may write nowhere else.
#
#   scripts/test_install.sh [BUILD]      BUILD: a build tree, made if it is missing (default: target/cmake)
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
build=${1:-$checkout/target/cmake}
fail() { echo "test_install.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "must run as root, to become nobody"

cmake -S "$checkout" -B "$build" >/dev/null
cmake --build "$build"
build=$(cd "$build" && pwd -P)
dir=$(mktemp -d "${TMPDIR:-/tmp}/keyroll-install.XXXXXX")
trap 'rm -rf "$dir" "$build/install_manifest.txt"' EXIT
chown nobody "$dir"
chmod 755 "$dir"
# The one file that cmake writes beside what it installs: the list of it.
: >"$build/install_manifest.txt"
chown nobody "$build/install_manifest.txt"
as_nobody() { setpriv --reuid nobody --regid nogroup --clear-groups env "$@"; }
as_nobody test -r "$build/cmake_install.cmake" || fail "nobody cannot read $build"
answer() { mariadbd --no-defaults --verbose --help 2>/dev/null | sed -n "s/^$1  *//p"; }
plugins=$(answer plugin-dir)
plugins=${plugins#"$(answer basedir)"}
plugins=${plugins#/}
plugins=${plugins%/}

# check TREE PREFIX CNF: what is in TREE, for a server that will see it at PREFIX.
check() {
  local file
  for file in "$plugins/keyroll.so" bin/keyroll share/man/man1/keyroll.1 share/man/man1/keyroll-rotate.1 \
    share/bash-completion/completions/keyroll share/zsh/vendor-completions/_keyroll \
    share/fish/vendor_completions.d/keyroll.fish share/keyroll/encrypt_everything.cnf \
    share/doc/mariadb-plugin-keyroll/README.md share/doc/mariadb-plugin-keyroll/docs/README.md \
    share/doc/mariadb-plugin-keyroll/docs/demo.svg share/doc/mariadb-plugin-keyroll/docs/measured/README.md; do
    [ -s "$1/$file" ] || fail "$2: not installed: $file"
  done
  [ "$(find "$1" -name suite.pm | wc -l)" = "$(ls -d "$checkout"/mariadb-test/*/suite.pm | wc -l)" ] || fail "$2: suites are missing"
  [ -z "$(find "$1" -type l)" ] || fail "$2: links were installed: $(find "$1" -type l)"
  [ "$(stat -c %a "$1/$plugins/keyroll.so")" = 644 ] || fail "$2: the plugin's mode"
  grep -q "^#!include $2/share/keyroll/encrypt_everything.cnf$" "$3" || fail "$2: keyroll.cnf includes another file"
  echo "$2: $(find "$1" -type f | wc -l) files"
}

as_nobody cmake --install "$build" --prefix "$dir/prefix" >/dev/null
cnf=$(cd "$dir/prefix/etc" && find . -name keyroll.cnf)
check "$dir/prefix" "$dir/prefix" "$dir/prefix/etc/$cnf"
[ "$("$dir/prefix/bin/keyroll" --version)" = "keyroll $(sed -n 's/^version = "\(.*\)"/\1/p' "$checkout/Cargo.toml" | head -1)" ] ||
  fail "the command's version is not that of Cargo.toml"

as_nobody DESTDIR="$dir/destdir" cmake --install "$build" --prefix /usr >/dev/null
check "$dir/destdir/usr" /usr "$dir/destdir/etc/$cnf"
[ "$(ls "$dir/destdir")" = "$(printf 'etc\nusr')" ] || fail "more than etc and usr in DESTDIR"

echo '# mine' >>"$dir/destdir/etc/$cnf"
as_nobody DESTDIR="$dir/destdir" cmake --install "$build" --prefix /usr | grep '^-- Kept: ' || fail "keyroll.cnf was not kept"
tail -1 "$dir/destdir/etc/$cnf" | grep -q '^# mine$' || fail "an administrator's keyroll.cnf was replaced"

# Where nobody may not write, nothing is.
! as_nobody cmake --install "$build" --prefix /usr >"$dir/log" 2>&1 || fail "nobody could install into /usr"
grep -q 'cannot' "$dir/log" || fail "the installation into /usr failed for another reason: $(cat "$dir/log")"
echo "installed below the prefix and DESTDIR alone"
