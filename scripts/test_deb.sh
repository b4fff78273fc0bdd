#!/usr/bin/env bash
# The life of the package in a clean Debian 12: install, init, three lines, an encrypted server, upgrade, remove,
# reinstall, purge. Nothing is encrypted that cannot be read again, and no key is ever removed.
#
#   scripts/test_deb.sh [BUILD]      BUILD: the build tree that `make deb` uses (default: target/cmake)
#
# Runs as root, because it makes a root directory and changes into it. The clean system is made once and kept in BUILD.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
build=$(cd "${1:-$checkout/target/cmake}" && pwd -P)
package=mariadb-plugin-keyroll
cnf=/etc/mysql/mariadb.conf.d/keyroll.cnf

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
fail() {
  echo "test_deb.sh: $*" >&2
  [ ! -f "$root/tmp/error.log" ] || tail -20 "$root/tmp/error.log" >&2
  exit 1
}
[ "$(id -u)" = 0 ] || { echo "test_deb.sh: must run as root" >&2; exit 1; }
"$checkout/scripts/install_packages.sh" deb

dir=$(mktemp -d "${TMPDIR:-/tmp}/keyroll-deb.XXXXXX")
root=$dir/root
server=
cleanup() {
  if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# cpack with revision $1; the package's path is left in `deb`.
pack() {
  cmake -S "$checkout" -B "$build" -DKEYROLL_DEB_REVISION="$1" >/dev/null
  cmake --build "$build" >"$dir/build.log" 2>&1 || { tail "$dir/build.log" >&2; fail "the build"; }
  (cd "$build" && umask 022 && cpack -G DEB >/dev/null)
  deb=$(ls "$build/$package"_*-"$1"_*.deb)
  cp "$deb" "$dir/"
  deb=$dir/$(basename "$deb")
}

step "two versions of the package; lintian"
pack 2; newer=$deb
pack 1; older=$deb
[ "$(ls "$dir"/*.deb | wc -l)" = 2 ] || fail "there are not two packages"
for deb in "$older" "$newer"; do lintian --fail-on error --tag-display-limit 0 "$deb"; done

step "a clean Debian 12 with mariadb-server"
if [ ! -s "$build/root.tar" ]; then
  # A name that ends in .tar: by it mmdebstrap knows what to make.
  mmdebstrap --quiet --variant=minbase --include=mariadb-server bookworm "$build/new.root.tar" http://deb.debian.org/debian
  mv "$build/new.root.tar" "$build/root.tar"
fi
mkdir "$root"
tar -xf "$build/root.tar" -C "$root" --exclude='./dev/*'
mkdir -p "$root/dev" "$root/run/mysqld"
for device in null:3 zero:5 random:8 urandom:9; do mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"; done
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # there is no systemd that could restart the server
chmod 755 "$root/usr/sbin/policy-rc.d"
cp "$older" "$newer" "$root/root/"

within() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@" </dev/null; }
within chown mysql:mysql /run/mysqld
sql() { within mariadb --user=root --skip-column-names --batch -e "$1"; }
keys_of() { (cd "$root" && find var/lib/keyroll srv/keyroll-master -type f -exec sha256sum {} + | sort); }

start() {
  chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin mariadbd --user=mysql --log-error=/tmp/error.log \
    </dev/null >/dev/null 2>&1 &
  server=$!
  for _ in $(seq 600); do
    sql 'DO 1' 2>/dev/null && return
    kill -0 "$server" 2>/dev/null || { wait "$server" || true; server=; return 1; }
    sleep 0.1
  done
  fail "the server did not come up in a minute"
}
stop() {
  within mariadb-admin --user=root shutdown
  wait "$server" || true
  server=
}
unharmed() {
  start || fail "$1: the server does not start"
  [ "$(sql 'CHECKSUM TABLE shop.customers')" = "$checksum" ] || fail "$1: the table's checksum is another"
  [ "$(sql "SELECT COUNT(*) FROM shop.customers WHERE note LIKE 'PLAINTEXT-NEEDLE%'")" = 10000 ] || fail "$1: rows are missing"
  echo "$1: 10000 rows, all readable"
}

step "dpkg -i"
within dpkg -i "/root/$(basename "$older")"
[ "$(stat -c %a "$root/var/lib/keyroll")" = 700 ] || fail "the mode of /var/lib/keyroll"
[ "$(within stat -c %U:%G /var/lib/keyroll)" = mysql:mysql ] || fail "the owner of /var/lib/keyroll"
start || fail "with the package installed and not configured, the server does not start"
[ "$(sql "SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME LIKE 'keyroll%'")" = 0 ] || fail "loaded before it was asked for"
stop

step "the commands of keyroll.cnf, and its three lines"
sed -n 's/^#      //p' "$root$cnf" | tee "$root/root/init.sh"
within sh -e /root/init.sh
cp "$root$cnf" "$dir/as_installed.cnf"
sed -i -E '0,/^#!include/ s/^#(keyroll_|!include)/\1/' "$root$cnf"
[ "$(diff "$dir/as_installed.cnf" "$root$cnf" | grep -c '^>')" = 3 ] || fail "not three lines"
# Whether SQL may read the keys is the DBA's to choose: the file has the line for it.
told=$(within keyroll check) || fail "$told"
grep -q '^note     secure_file_priv is not set' <<<"$told" || fail "$told"
configured=$(sha256sum <"$root$cnf")

step "an encrypted server"
start || fail "the server does not start"
sql "CREATE DATABASE shop; USE shop;
     CREATE TABLE shop.customers (id INT PRIMARY KEY, note TEXT);
     INSERT INTO shop.customers SELECT seq, CONCAT('PLAINTEXT-NEEDLE ', SHA2(seq, 256)) FROM seq_1_to_10000;
     CREATE TABLE shop.in_clear (note TEXT) ENCRYPTED = NO;
     INSERT INTO shop.in_clear VALUES ('PLAINTEXT-NEEDLE');
     FLUSH TABLES shop.customers, shop.in_clear FOR EXPORT; UNLOCK TABLES;
     SET GLOBAL keyroll_rotate_key = -1; SET GLOBAL keyroll_rotate_master_key = 1"
checksum=$(sql 'CHECKSUM TABLE shop.customers')
stop
grep -q PLAINTEXT-NEEDLE "$root/var/lib/mysql/shop/in_clear.ibd" || fail "the search for plaintext does not work"
! grep -q PLAINTEXT-NEEDLE "$root/var/lib/mysql/shop/customers.ibd" "$root/var/lib/mysql/ib_logfile0" || fail "plaintext on disk"
echo "no plaintext in the table's file and the redo log; key and master key rotated"

step "upgrade"
within dpkg -i "/root/$(basename "$newer")"
[ "$(within dpkg-query -W -f '${Version}' $package)" = "$(dpkg-deb -f "$newer" Version)" ] || fail "not upgraded"
[ "$(sha256sum <"$root$cnf")" = "$configured" ] || fail "the upgrade changed keyroll.cnf"
unharmed "after the upgrade"
stop

step "upgrade to a package whose keyroll.cnf is another"
dpkg-deb -R "$newer" "$dir/newest"
sed -i 's/^Version: .*/Version: 9999-1/' "$dir/newest/DEBIAN/control"
echo '# of a later release' >>"$dir/newest$cnf"
dpkg-deb -b "$dir/newest" "$root/root/newest.deb" >/dev/null
# Without the option dpkg asks, as for every package's configuration that both sides changed.
within dpkg --force-confold -i /root/newest.deb
[ "$(sha256sum <"$root$cnf")" = "$configured" ] || fail "the upgrade changed keyroll.cnf"
grep -q 'of a later release' "$root$cnf.dpkg-dist" || fail "the package's own keyroll.cnf is not beside it"
unharmed "after that upgrade"
stop

step "remove"
keys=$(keys_of)
within dpkg -r $package
[ ! -e "$root/usr/lib/mysql/plugin/keyroll.so" ] || fail "the plugin is still there"
[ "$(sha256sum <"$root$cnf")" = "$configured" ] || fail "the removal changed keyroll.cnf"
! start || fail "the server runs on encrypted data without the plugin"
tail -5 "$root/tmp/error.log" | grep -q "keyroll" || fail "the server does not start, but for another reason"
echo "without the plugin the server refuses to start"

step "reinstall"
within dpkg -i /root/newest.deb
unharmed "after the reinstallation"
stop

step "purge"
[ "$(keys_of)" = "$keys" ] || fail "keys changed"
within dpkg -P $package
[ ! -e "$root$cnf" ] || fail "keyroll.cnf is still there"
[ "$(keys_of)" = "$keys" ] || fail "the purge touched keys"
left=$(cd "$root" && find etc usr var -name '*keyroll*' -not -path 'var/lib/keyroll*' -not -path 'var/log/*' -not -path 'var/lib/mysql/*')
[ -z "$left" ] || fail "left over: $left"
echo "asked nothing, and left the keys:"; echo "$keys" | sed 's/.*  /  \//'

step "data after a purge and another installation"
within dpkg -i /root/newest.deb
sed -i -E '0,/^#!include/ s/^#(keyroll_|!include)/\1/' "$root$cnf"
unharmed "after the purge"
stop
printf '\n%s: 1 life passed, in %s s\n' "$package" "$SECONDS"
