#!/usr/bin/env bash
# Builds keyroll as plugin/keyroll of MariaDB's source trees, as Debian packages them, installs it from there, makes an RPM of
# its component, and runs from there all suites that need no service, without building a server: one of the same version serves.
#
#   scripts/test_server_tree.sh [SUITE...]      Debian's (bookworm = 10.11, trixie = 11.8); default: both
#
# Environment:
#   KEYROLL_TREE_DIR   where to work and to keep the source packages, 115 MB each (default: target/server-tree)
#
# The server of this machine's own suite is the installed one, those of others are unpacked by server_matrix/fetch.sh. Installs
# what is missing: cmake, bison, ... Needs 2 GB on the disk for each. The first run fetches and unpacks for a minute.
set -euo pipefail
# The Makefile's; what is tested here is what the trees build.
unset KEYROLL_SO KEYROLL_BIN

step() { printf '\n== %s: %s (%s s)\n' "$suite" "$*" "$SECONDS"; }
fail() { echo "test_server_tree.sh: $suite: $*" >&2; exit 1; }

checkout=$(cd "$(dirname "$0")/.." && pwd -P)
mkdir -p "${KEYROLL_TREE_DIR:-$checkout/target/server-tree}"
all=$(cd "${KEYROLL_TREE_DIR:-$checkout/target/server-tree}" && pwd -P)
# Those that need neither Vault nor AWS.
suite_names="keyroll keyroll_keystore"

# Unpacks the newest source package of the suite that the mirror has into $server.
fetch_source() {
  # A state of its own for apt: this machine's list of sources stays as it is.
  mkdir -p "$dir/apt/state/lists/partial" "$dir/apt/cache/archives/partial"
  : >"$dir/apt/status"
  local key=/usr/share/keyrings/debian-archive-keyring.gpg version
  printf 'deb-src [signed-by=%s] http://deb.debian.org/debian%s main\n' \
    "$key" " $suite" "$key" "-security $suite-security" >"$dir/apt/sources.list"
  local apt=(-o "Dir::State=$dir/apt/state" -o "Dir::State::status=$dir/apt/status" -o "Dir::Cache=$dir/apt/cache"
    -o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root)
  apt-get -qq "${apt[@]}" update
  # The security pool's may be gone from the mirror.
  for version in $(apt-cache "${apt[@]}" showsrc mariadb | sed -n 's/^Version: //p' | sort -rV | uniq); do
    (cd "$dir" && apt-get -qq "${apt[@]}" source --download-only "mariadb=$version") && break
  done
  rm -rf "$dir/unpacked"
  (cd "$dir" && dpkg-source --no-check -x mariadb_*.dsc unpacked >/dev/null)
  mv "$dir/unpacked" "$server"
}

light=(-DWITH_NONE=ON -DWITH_SSL=system -DWITH_UNIT_TESTS=OFF -DWITH_WSREP=OFF -DWITH_MARIABACKUP=OFF
       -DWITHOUT_ABI_CHECK=ON -DMYSQL_MAINTAINER_MODE=NO -DPLUGIN_MROONGA=NO -DPLUGIN_ROCKSDB=NO
       -DPLUGIN_COLUMNSTORE=NO -DUPDATE_SUBMODULES=OFF
       -DKEYROLL_VENDOR_DIR="$all/vendor" -DCMAKE_BUILD_TYPE=RelWithDebInfo)
configure() {
  cmake -S "$server" -B "$build" "${light[@]}" "$@" >"$log" 2>&1
}
configure_deb() {
  configure -DINSTALL_LAYOUT=DEB -DCMAKE_INSTALL_PREFIX=/usr "$@"
}

build_and_install() {
  step "configure"
  rm -f "$build/CMakeCache.txt" # a second configuration would show in its summary only what has changed
  configure_deb -DPLUGIN_KEYROLL=DYNAMIC || { tail -20 "$log" >&2; fail "the server tree cannot be configured"; }
  grep -E '^ \* KEYROLL,' "$log" || fail "the summary does not list KEYROLL: see $log"

  step "build the target keyroll, and nothing of the server"
  mkdir -p "$dir/empty-cargo-home"
  CARGO_HOME=$dir/empty-cargo-home cmake --build "$build" --target keyroll
  [ ! -e "$dir/empty-cargo-home/registry/src" ] || fail "cargo took sources from elsewhere than the vendored ones"
  [ ! -e "$build/sql/mariadbd" ] || fail "the server was built"
  CARGO_HOME=$dir/empty-cargo-home cmake --build "$build" --target keyroll >"$log" 2>&1
  ! grep Compiling "$log" || fail "a second build compiles again what has not changed"

  step "install the components"
  rm -rf "$dir/installed"
  local component file dangling
  for component in keyroll Test; do
    # Only the install rules of this folder: the others' files were not built.
    DESTDIR=$dir/installed cmake -DCMAKE_INSTALL_COMPONENT=$component -P "$build/plugin/keyroll/cmake_install.cmake" >/dev/null
  done
  suites=$(cd "$dir/installed" && find . -path '*/keyroll/keyroll/suite.pm')
  suites=$dir/installed/${suites%/keyroll/suite.pm}
  for file in usr/lib/mysql/plugin/keyroll.so usr/bin/keyroll etc/mysql/mariadb.conf.d/keyroll.cnf usr/share/man/man1/keyroll-init.1; do
    [ -s "$dir/installed/$file" ] || fail "not installed: $file"
  done
  dangling=$(find "$dir/installed" -xtype l)
  [ -z "$dangling" ] || fail "installed links that lead nowhere: $dangling"
}

test_from_tree() {
  step "the suites from the tree: mtr finds them, the plugin and the command in plugin/keyroll"
  cmake --build "$build" --target my_safe_process >/dev/null
  local view=$dir/view part test # what mtr takes for the build directory: an installed server and our plugin
  rm -rf "$view"
  mkdir -p "$view/plugin" "$view/mysql-test/lib/My"
  for part in bin sbin share; do ln -s "$prefix/usr/$part" "$view/$part"; done
  ln -s "$build/scripts" "$view/scripts"
  ln -s "$build/plugin/keyroll" "$view/plugin/keyroll"
  for part in file_key_management server_audit; do # the server's own that the suites load
    mkdir "$view/plugin/$part"
    ln -s "$prefix/usr/lib/mysql/plugin/$part.so" "$view/plugin/$part/"
  done
  ln -s "$build/mysql-test/lib/My/SafeProcess" "$view/mysql-test/lib/My/SafeProcess"
  (cd "$server/mysql-test" && MTR_BINDIR=$view perl ./mariadb-test-run.pl --suite="${suite_names// /,}" --vardir="$dir/var" \
    --parallel=2 --force --max-test-fail=0 --retry=0) |
    tee "$dir/mtr.log" | grep -E '\[ (pass|fail|skipped|disabled) \]|Completed|succeeded' || true
  grep -q "^Completed: All [0-9]* tests were successful" "$dir/mtr.log" && ! grep -qE '(skipped|disabled) \]' "$dir/mtr.log" ||
    { cat "$dir/mtr.log" >&2; fail "the suites failed"; }
  for part in $suite_names; do
    for test in "$server/plugin/keyroll/mariadb-test/$part"/t/*.test; do
      grep -qE "^$part\.$(basename "$test" .test) .*\[ pass \]" "$dir/mtr.log" || fail "$test did not run"
    done
  done
}

test_installed() {
  step "the suites after installation"
  KEYROLL_SERVER=$prefix KEYROLL_SUITE_NAMES=$suite_names KEYROLL_SO=$dir/installed/usr/lib/mysql/plugin/keyroll.so \
    KEYROLL_BIN=$dir/installed/usr/bin/keyroll KEYROLL_SUITES=$suites "$checkout/scripts/mtr.sh"
}

# What the server's own packaging makes of the component, as `cpack -G RPM` runs it. Without the option each package wants the
# whole server built.
test_rpm() {
  step "the component as an RPM"
  rm -f "$build/CMakeCache.txt" # the other layout's directories
  configure -DRPM=rocky9 -DPLUGIN_KEYROLL=DYNAMIC -DCMAKE_SKIP_INSTALL_ALL_DEPENDENCY=ON ||
    { tail -20 "$log" >&2; fail "the server tree cannot be configured for RPM"; }
  CARGO_HOME=$dir/empty-cargo-home cmake --build "$build" --target keyroll
  rm -f "$build"/*.rpm
  (cd "$build" && cpack -G RPM -D CPACK_COMPONENTS_ALL=keyroll >"$log" 2>&1) || { tail -20 "$log" >&2; fail "cpack -G RPM"; }
  local rpm file
  rpm=$(find "$build" -maxdepth 1 -iname '*keyroll*.rpm' ! -name '*debuginfo*')
  [ -s "$rpm" ] || fail "there is no RPM"
  rpm -qpl "$rpm" | tee "$dir/rpm.files"
  for file in /usr/lib64/mysql/plugin/keyroll.so /usr/bin/keyroll /etc/my.cnf.d/keyroll.cnf; do
    grep -qx "$file" "$dir/rpm.files" || fail "not in the RPM: $file"
  done
  [ "$(rpm -qp --configfiles "$rpm")" = /etc/my.cnf.d/keyroll.cnf ] || fail "keyroll.cnf is not a configuration file of the RPM"
  rpm -qp --requires "$rpm" | grep -qx 'MariaDB-server.*' || fail "the RPM does not require the server"
  rpm -qp --requires "$rpm" | grep -v '^rpmlib\|GLIBC_'
}

test_refusals() {
  step "STATIC is refused"
  ! configure_deb -DPLUGIN_KEYROLL=STATIC || fail "PLUGIN_KEYROLL=STATIC was accepted"
  grep -q 'KEYROLL cannot be built statically' "$log" || fail "refused for another reason: see $log"

  step "off, with a line that says so, where there is no cargo"
  configure_deb -DPLUGIN_KEYROLL=DYNAMIC -DKEYROLL_CARGO= || fail "the server cannot be configured without cargo: see $log"
  grep 'KEYROLL is not built: cargo was not found' "$log" || fail "no line says that keyroll is off: see $log"
  ! configure_deb -DPLUGIN_KEYROLL=YES -DKEYROLL_CARGO= || fail "PLUGIN_KEYROLL=YES was accepted without cargo"
}

# Everything with one tree.
test_suite() {
  dir=$all/$suite server=$all/$suite/server build=$all/$suite/build log=$all/$suite/configure.log prefix=
  mkdir -p "$dir"
  if [ "$suite" != "$(. /etc/os-release && echo "$VERSION_CODENAME")" ]; then
    prefix=$("$checkout/scripts/server_matrix/fetch.sh" "$suite")
  fi
  if [ ! -f "$server/CMakeLists.txt" ]; then
    step "fetch the source package"
    fetch_source
  fi

  # As a copy of what is committed, which is how a distribution adds it: a link to the checkout works as well.
  step "copy keyroll to plugin/keyroll"
  rm -rf "$server/plugin/keyroll"
  mkdir "$server/plugin/keyroll"
  (cd "$checkout" && git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar -cT - | tar -xC "$server/plugin/keyroll")
  build_and_install
  test_from_tree
  test_installed
  test_refusals
  test_rpm
}

"$checkout/scripts/install_packages.sh" tree
suite=all
step "vendor the crates, since distributions build without network"
(cd "$checkout" && cargo vendor --locked --quiet "$all/vendor" >/dev/null)
[ $# -gt 0 ] || set -- bookworm trixie
for suite in "$@"; do
  test_suite
done
printf '\nkeyroll in the server trees of %s: all as it should be, in %s s\n' "$*" "$SECONDS"
