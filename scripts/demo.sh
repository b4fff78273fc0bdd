#!/usr/bin/env bash
# Starts a private MariaDB server in a temporary directory, encrypts a table with keyroll, rotates key and master key,
# kills the server, and shows that nothing is lost. Leaves nothing running and nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

so=${KEYROLL_SO:-target/release/libkeyroll.so}
keyroll=${KEYROLL_BIN:-target/release/keyroll}
rows=100000
needle=PLAINTEXT-NEEDLE

dir=$(mktemp -d "${TMPDIR:-/tmp}/keyroll-demo.XXXXXX")
server=
cleanup() {
  if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

bold= plain=
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
fail() { echo "FAILED: $*" >&2; [ -f "$dir/error.log" ] && tail -20 "$dir/error.log" >&2; exit 1; }
sql() { mariadb --no-defaults --socket="$dir/socket" --user=root --skip-column-names --batch -e "$1"; }

start() {
  mariadbd --defaults-file="$dir/my.cnf" >/dev/null 2>&1 &
  server=$!
  for _ in $(seq 200); do
    sql 'DO 1' 2>/dev/null && return
    kill -0 "$server" 2>/dev/null || fail "the server did not start"
    sleep 0.1
  done
  fail "the server did not come up in 20 seconds"
}

stop() {
  sql SHUTDOWN
  wait "$server" 2>/dev/null || true
  server=
}

# How many tablespaces still have pages older than version $1 in memory or, being flushed, on disk, and how far
# InnoDB is in those it is at.
progress() {
  sql "SELECT COUNT(*), IFNULL(GROUP_CONCAT(IF(ROTATING_OR_FLUSHING,
         CONCAT(NAME, ' ', LEAST(100, IFNULL(100 * KEY_ROTATION_PAGE_NUMBER DIV KEY_ROTATION_MAX_PAGE_NUMBER, 100)), '%'), NULL)
         SEPARATOR ', '), '')
       FROM information_schema.INNODB_TABLESPACES_ENCRYPTION
       WHERE ENCRYPTION_SCHEME = 1 AND (MIN_KEY_VERSION < $1 OR ROTATING_OR_FLUSHING)"
}

step "1. One command makes a master key, a keystore and the lines for my.cnf"
echo "    \$ keyroll init --keystore $dir/keystore --master-key file:$dir/master/key"
mkdir "$dir/plugin" "$dir/data" "$dir/master"
cp "$so" "$dir/plugin/keyroll.so"
{
  "$keyroll" init --keystore "$dir/keystore" --master-key "file:$dir/master/key" --owner "$(id -un)" 2>"$dir/init.log"
  # What only a server in a temporary directory needs. The last line lets InnoDB re-encrypt 500 pages a second;
  # its default of 100 would be a longer demo.
  printf '%s\n' "user = $(id -un)" "datadir = $dir/data" "socket = $dir/socket" "pid-file = $dir/pid" \
    "log-error = $dir/error.log" "plugin-dir = $dir/plugin" skip-networking "log-bin = binlog" \
    "innodb_buffer_pool_load_at_startup = OFF" "innodb_encryption_rotation_iops = 500"
} >"$dir/my.cnf"
grep -E '^(plugin_load|keyroll|innodb_encrypt_|innodb_encryption_threads|encrypt|aria)' "$dir/my.cnf" | sed 's/^/    /'

step "2. A private server starts with it; a table of $rows rows is filled"
# mariadb-install-db takes the plugin directory from its command line alone.
mariadb-install-db --defaults-file="$dir/my.cnf" --plugin-dir="$dir/plugin" --auth-root-authentication-method=normal --skip-test-db \
  >"$dir/install.log" 2>&1 || { cat "$dir/install.log"; fail "mariadb-install-db"; }
start
sql "CREATE DATABASE demo;
     USE demo;
     CREATE TABLE demo.customers (id INT PRIMARY KEY, note TEXT);
     INSERT INTO demo.customers SELECT seq, CONCAT('$needle ', SHA2(seq, 512)) FROM seq_1_to_$rows;
     CREATE TABLE demo.in_clear (note TEXT) ENCRYPTED = NO;
     INSERT INTO demo.in_clear VALUES ('$needle');
     FLUSH TABLES demo.customers, demo.in_clear FOR EXPORT; UNLOCK TABLES;
     CREATE FUNCTION keyroll_keys RETURNS STRING SONAME 'keyroll.so'"
before=$(sql "CHECKSUM TABLE demo.customers")
in_rows=$(sql "SELECT COUNT(*) FROM demo.customers WHERE note LIKE '$needle%'")

step "3. No plaintext on disk"
sync "$dir/data"
count() { cat "$@" | { grep -aoF "$needle" || true; } | wc -l; }
in_clear=$(count "$dir/data/demo/in_clear.ibd")
on_disk=$(count "$dir"/data/demo/customers.ibd "$dir"/data/ib_logfile0 "$dir"/data/binlog.0*)
echo "    a table with ENCRYPTED = NO, to see that the search finds something: $in_clear time(s)"
echo "    '$needle' stands in $in_rows rows; found in the table's file, redo log and binary log: $on_disk times"
[ "$in_clear" -gt 0 ] || fail "the search does not work"
[ "$in_rows" = "$rows" ] && [ "$on_disk" = 0 ] || fail "plaintext was found on disk"

step "4. SET GLOBAL keyroll_rotate_key = 1"
stop
start # with nothing in memory, so that InnoDB has to read and write each page
old=$(sql "SELECT MAX(version) FROM JSON_TABLE(keyroll_keys(), '\$[*]' COLUMNS (id INT PATH '\$.id', version INT PATH '\$.version')) k WHERE id = 1")
started=$(date +%s.%N)
sql "SET GLOBAL keyroll_rotate_key = 1"
new=$(sql "SELECT MAX(version) FROM JSON_TABLE(keyroll_keys(), '\$[*]' COLUMNS (id INT PATH '\$.id', version INT PATH '\$.version')) k WHERE id = 1")
echo "    key 1: version $old -> $new; tablespaces that still have pages of version $old:"
for _ in $(seq 300); do
  read -r left at < <(progress "$new")
  printf '    %s  %s\n' "$left" "$at"
  [ "$left" = 0 ] && break
  sleep 0.1
done
[ "$left" = 0 ] || fail "re-encryption did not end"
seconds=$(awk -v a="$started" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
[ "$new" = "$((old + 2))" ] || fail "the new version is $new"

step "5. SET GLOBAL keyroll_rotate_master_key = 1"
wrapped_by() { sql "SHOW STATUS LIKE 'Keyroll_master_key'" | cut -f2 | sed "s|$dir/||"; }
cp "$dir/keystore" "$dir/keystore.before"
keys=$(sql 'SELECT keyroll_keys()')
echo "    the keystore is wrapped by $(wrapped_by)"
sql "SET GLOBAL keyroll_rotate_master_key = 1"
echo "    the keystore is wrapped by $(wrapped_by)"
! cmp -s "$dir/keystore" "$dir/keystore.before" || fail "the keystore was not wrapped anew"
[ "$keys" = "$(sql 'SELECT keyroll_keys()')" ] || fail "a data key changed"
echo "    the data keys have not changed, so no data is touched"

step "6. kill -9, restart"
{ kill -9 "$server"; wait "$server"; } 2>/dev/null || true # else the shell tells of the killed process
start
after=$(sql "CHECKSUM TABLE demo.customers")
min=$(sql "SELECT MIN(MIN_KEY_VERSION) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE NAME = 'demo/customers'")
[ "$before" = "$after" ] || fail "the checksum changed: $before, then $after"
stop

step "7. What there is now"
echo "    \$ keyroll list"
"$keyroll" list --defaults-file="$dir/my.cnf" | sed 's/^/    /'
printf '    %s\n' \
  "plaintext on disk:  none" \
  "re-encryption:      all pages from version $old to $min in $seconds s, by itself" \
  "after kill -9:      checksum ${after##*$'\t'}, as before"
