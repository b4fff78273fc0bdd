#!/usr/bin/env bash
# Builds keyroll as plugin/keyroll of MariaDB's source tree, as Debian packages it, installs it from there, and runs a
# suite, without building the server: the installed one of the same version serves.
#
#   scripts/test_server_tree.sh [TEST...]          TESTs of the suites; default: two that are short
#
# Environment:
#   KEYROLL_TREE_DIR   where to work and to keep the 115 MB source package (default: target/server-tree)
#   KEYROLL_TREE       a server's source tree to use instead of Debian's
#   KEYROLL_BUILD_TYPE Debug for a quicker build (default: RelWithDebInfo, cargo's release profile)
#
# Installs what is missing: cmake, bison, ... Needs 2 GB on the disk. The first run fetches and unpacks for a minute.
set -euo pipefail

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
fail() { echo "test_server_tree.sh: $*" >&2; exit 1; }

checkout=$(cd "$(dirname "$0")/.." && pwd -P)
mkdir -p "${KEYROLL_TREE_DIR:-$checkout/target/server-tree}"
dir=$(cd "${KEYROLL_TREE_DIR:-$checkout/target/server-tree}" && pwd -P)
server=${KEYROLL_TREE:-$dir/server}
build=$dir/build
"$checkout/scripts/install_packages.sh" tree

if [ ! -f "$server/CMakeLists.txt" ]; then
  step "fetch the source package"
  # A state of its own for apt: this machine's list of sources stays as it is.
  mkdir -p "$dir/apt/state/lists/partial" "$dir/apt/cache/archives/partial"
  : >"$dir/apt/status"
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  key=/usr/share/keyrings/debian-archive-keyring.gpg
  printf 'deb-src [signed-by=%s] http://deb.debian.org/debian%s main\n' \
    "$key" " $release" "$key" "-security $release-security" >"$dir/apt/sources.list"
  apt=(-o "Dir::State=$dir/apt/state" -o "Dir::State::status=$dir/apt/status" -o "Dir::Cache=$dir/apt/cache"
       -o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root)
  apt-get -qq "${apt[@]}" update
  # The newest that the mirror has: the security pool's may be gone from it.
  for version in $(apt-cache "${apt[@]}" showsrc mariadb | sed -n 's/^Version: //p' | sort -rV | uniq); do
    (cd "$dir" && apt-get -qq "${apt[@]}" source --download-only "mariadb=$version") && break
  done
  rm -rf "$dir/unpacked"
  (cd "$dir" && dpkg-source --no-check -x mariadb_*.dsc unpacked >/dev/null)
  mv "$dir/unpacked" "$server"
fi

# As a copy of what is committed, which is how a distribution adds it: a link to the checkout works as well.
step "copy keyroll to plugin/keyroll"
rm -rf "$server/plugin/keyroll"
mkdir "$server/plugin/keyroll"
(cd "$checkout" && git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar -cT - | tar -xC "$server/plugin/keyroll")

light=(-DWITH_NONE=ON -DWITH_SSL=system -DWITH_UNIT_TESTS=OFF -DWITH_WSREP=OFF -DWITH_MARIABACKUP=OFF
       -DWITHOUT_ABI_CHECK=ON -DMYSQL_MAINTAINER_MODE=NO -DPLUGIN_MROONGA=NO -DPLUGIN_ROCKSDB=NO
       -DPLUGIN_COLUMNSTORE=NO -DUPDATE_SUBMODULES=OFF -DINSTALL_LAYOUT=DEB -DCMAKE_INSTALL_PREFIX=/usr
       -DKEYROLL_VENDOR_DIR="$dir/vendor" -DCMAKE_BUILD_TYPE="${KEYROLL_BUILD_TYPE:-RelWithDebInfo}")
log=$dir/configure.log
configure() {
  cmake -S "$server" -B "$build" "${light[@]}" "$@" >"$log" 2>&1
}

step "vendor the crates, since distributions build without network"
(cd "$checkout" && cargo vendor --locked --quiet "$dir/vendor" >/dev/null)

step "configure"
rm -f "$build/CMakeCache.txt" # a second configuration would show in its summary only what has changed
configure -DPLUGIN_KEYROLL=DYNAMIC || { tail -20 "$log" >&2; fail "the server tree cannot be configured"; }
grep -E '^ \* KEYROLL,' "$log" || fail "the summary does not list KEYROLL: see $log"

step "build the target keyroll, and nothing of the server"
mkdir -p "$dir/empty-cargo-home"
CARGO_HOME=$dir/empty-cargo-home cmake --build "$build" --target keyroll
[ ! -e "$dir/empty-cargo-home/registry/src" ] || fail "cargo took sources from elsewhere than the vendored ones"
[ ! -e "$build/sql/mariadbd" ] || fail "the server was built"

step "install the components"
rm -rf "$dir/installed"
for component in keyroll Test; do
  # Only the install rules of this folder: the others' files were not built.
  DESTDIR=$dir/installed cmake -DCMAKE_INSTALL_COMPONENT=$component -P "$build/plugin/keyroll/cmake_install.cmake" >/dev/null
done
for file in usr/lib/mysql/plugin/keyroll.so usr/bin/keyroll etc/mysql/mariadb.conf.d/keyroll.cnf \
  usr/share/man/man1/keyroll-init.1 usr/share/mysql/mysql-test/plugin/keyroll/keyroll/suite.pm; do
  [ -s "$dir/installed/$file" ] || fail "not installed: $file"
done
dangling=$(find "$dir/installed" -xtype l)
[ -z "$dangling" ] || fail "installed links that lead nowhere: $dangling"

tests=("$@")
[ $# -gt 0 ] || tests=(keyroll.reload keyroll_keystore.master_key)
run_mtr() {
  (cd "$1" && shift && MTR_BINDIR=$view perl ./mariadb-test-run.pl --vardir="$dir/var" --force "$@") | tee "$dir/mtr.log" |
    grep -E '\[ (pass|fail|skipped|disabled) \]|Completed|succeeded' || true
  grep -q '^Completed: All [0-9]* tests were successful' "$dir/mtr.log" && ! grep -q 'skipped \]' "$dir/mtr.log" ||
    { cat "$dir/mtr.log" >&2; fail "the suites failed"; }
}

step "the suites from the tree: mtr finds them, the plugin and the command in plugin/keyroll"
cmake --build "$build" --target my_safe_process >/dev/null
view=$dir/view # what mtr takes for the build directory: the installed server and our plugin
rm -rf "$view"
mkdir -p "$view/plugin" "$view/mysql-test/lib/My"
for part in bin sbin share; do ln -s "/usr/$part" "$view/$part"; done
ln -s "$build/scripts" "$view/scripts"
ln -s "$build/plugin/keyroll" "$view/plugin/keyroll"
ln -s "$build/mysql-test/lib/My/SafeProcess" "$view/mysql-test/lib/My/SafeProcess"
run_mtr "$server/mysql-test" "${tests[@]}"

step "the suites after installation"
KEYROLL_SUITE_NAMES="keyroll keyroll_keystore" KEYROLL_SO=$dir/installed/usr/lib/mysql/plugin/keyroll.so \
  KEYROLL_BIN=$dir/installed/usr/bin/keyroll KEYROLL_SUITES=$dir/installed/usr/share/mysql/mysql-test/plugin/keyroll "$checkout/scripts/mtr.sh" "${tests[@]}"

step "STATIC is refused"
configure -DPLUGIN_KEYROLL=STATIC && fail "PLUGIN_KEYROLL=STATIC was accepted"
grep -q 'KEYROLL cannot be built statically' "$log" || fail "refused for another reason: see $log"

step "off, with a line that says so, where there is no cargo"
configure -DPLUGIN_KEYROLL=DYNAMIC -DKEYROLL_CARGO= || fail "the server cannot be configured without cargo: see $log"
grep 'KEYROLL is not built: cargo was not found' "$log" || fail "no line says that keyroll is off: see $log"
configure -DPLUGIN_KEYROLL=YES -DKEYROLL_CARGO= && fail "PLUGIN_KEYROLL=YES was accepted without cargo"
# As it was, for those who build in it.
configure -DPLUGIN_KEYROLL=DYNAMIC -UKEYROLL_CARGO

printf '\nkeyroll in a server tree: all as it should be, in %s s\n' "$SECONDS"
