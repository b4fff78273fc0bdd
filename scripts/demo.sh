#!/usr/bin/env bash
# Starts a private MariaDB server in a temporary directory, encrypts a table with keyroll, rotates its key, kills the
# server while that is at work, rotates the master key, and shows that nothing is lost. Leaves nothing running and
# nothing behind.
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

bold='' plain=''
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

# The latest version of key 1.
version() {
  sql "SELECT MAX(version) FROM JSON_TABLE(keyroll_keys(), '\$[*]' COLUMNS (id INT PATH '\$.id', version INT PATH '\$.version')) k
       WHERE id = 1"
}

# Prints what re-encryption has done, a line each time that there is more of it: until nothing older than version $1 is
# left in memory or on disk, or, with a second argument, until it is under way. $pages: what was done before.
watch_pages() {
  local pages_done left at=-1
  for _ in $(seq 600); do
    read -r pages_done left < <(sql "SELECT
      (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS
       WHERE VARIABLE_NAME = 'Innodb_encryption_rotation_pages_modified'),
      (SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION
       WHERE ENCRYPTION_SCHEME = 1 AND (MIN_KEY_VERSION < $1 OR ROTATING_OR_FLUSHING))")
    if [ "$pages_done" -gt "$at" ]; then
      printf '    %6.1f s %22s\n' "$(since)" "$((pages + pages_done))"
      at=$pages_done
    fi
    if [ "$left" = 0 ] || { [ $# -gt 1 ] && [ "$pages_done" -gt 0 ]; }; then
      pages=$((pages + pages_done))
      return
    fi
    sleep 0.1
  done
  fail "re-encryption did not end"
}
since() { awk -v a="$started" -v b="$(date +%s.%N)" 'BEGIN { print b - a }'; }

# How often the text that stands in every row is found on disk, as a table.
search_disk() {
  local file found all=0
  sync "$dir/data"
  printf '    %-44s %s\n' "file" "'$needle' found"
  for file in demo/customers.ibd ib_logfile0 "binlog.0*" demo/in_clear.ibd; do
    # shellcheck disable=SC2086 # a pattern
    found=$(cat "$dir/data/"$file | { grep -aoF "$needle" || true; } | wc -l)
    case $file in
      demo/customers.ibd) file="the table, $rows rows of it" ;;
      ib_logfile0) file="redo log" ;;
      binlog*) file="binary log" ;;
      *)
        printf '    %-44s %s\n' "a table with ENCRYPTED = NO, for comparison" "$found"
        [ "$found" -gt 0 ] || fail "the search does not work"
        continue
        ;;
    esac
    printf '    %-44s %s\n' "$file" "$found"
    all=$((all + found))
  done
  [ "$all" = 0 ] || fail "plaintext was found on disk"
}

step "1. One command makes a master key, a keystore and the lines for my.cnf"
echo "    \$ keyroll init --keystore $dir/keystore --master-key file:$dir/master/key"
mkdir "$dir/plugin" "$dir/data" "$dir/master"
cp "$so" "$dir/plugin/keyroll.so"
{
  "$keyroll" init --keystore "$dir/keystore" --master-key "file:$dir/master/key" --owner "$(id -un)" 2>"$dir/init.log"
  # What only a server in a temporary directory needs. The last lines: a buffer pool that the table does not fit in, so
  # that InnoDB reads and writes each page to encrypt it anew, 500 a second; its default of 100 would be a longer demo.
  printf '%s\n' "user = $(id -un)" "datadir = $dir/data" "socket = $dir/socket" "pid-file = $dir/pid" \
    "log-error = $dir/error.log" "plugin-dir = $dir/plugin" skip-networking "log-bin = binlog" \
    "innodb_buffer_pool_load_at_startup = OFF" "innodb_buffer_pool_size = 8M" "innodb_encryption_rotation_iops = 500"
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
[ "$in_rows" = "$rows" ] || fail "$in_rows rows"

step "3. On disk everything is encrypted"
search_disk

step "4. One statement: SET GLOBAL keyroll_rotate_key = 1. In the midst of its work: kill -9"
old=$(version)
pages=0
started=$(date +%s.%N)
sql "SET GLOBAL keyroll_rotate_key = 1"
new=$(version)
echo "    key 1: version $old -> $new; InnoDB encrypts all pages anew, by itself"
printf '    %8s %22s\n' "after" "pages encrypted anew"
watch_pages "$new" under-way
{ kill -9 "$server"; wait "$server"; } 2>/dev/null || true # else the shell tells of the killed process
echo "    kill -9, and a new start"
start
watch_pages "$new"
printf '    %6.1f s   no page of version %s is left\n' "$(since)" "$old"
[ "$new.$(version)" = "$((old + 2)).$new" ] || fail "version $new, then $(version)"

step "5. The other key: SET GLOBAL keyroll_rotate_master_key = 1"
wrapped_by() { sql "SHOW STATUS LIKE 'Keyroll_master_key'" | cut -f2 | sed "s|$dir/||"; }
cp "$dir/keystore" "$dir/keystore.before"
data_keys() {
  sql "SELECT id, version, fingerprint FROM JSON_TABLE(keyroll_keys(), '\$[*]' COLUMNS (id INT PATH '\$.id', version INT PATH '\$.version',
    fingerprint CHAR(16) PATH '\$.fingerprint')) k ORDER BY id, version"
}
keys=$(data_keys)
echo "    the keystore is wrapped by $(wrapped_by)"
sql "SET GLOBAL keyroll_rotate_master_key = 1"
echo "    the keystore is wrapped by $(wrapped_by); no data key changed, so no data is touched"
! cmp -s "$dir/keystore" "$dir/keystore.before" || fail "the keystore was not wrapped anew"
[ -n "$keys" ] && [ "$keys" = "$(data_keys)" ] || fail "a data key changed"

step "6. Nothing is lost, and on disk everything is encrypted, with the new version"
sql "FLUSH TABLES demo.customers FOR EXPORT; UNLOCK TABLES"
after=$(sql "CHECKSUM TABLE demo.customers")
min=$(sql "SELECT MIN(MIN_KEY_VERSION) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION WHERE NAME = 'demo/customers'")
[ "$before" = "$after" ] || fail "the checksum changed: $before, then $after"
[ "$min" = "$new" ] || fail "pages of version $min are left"
stop
search_disk
printf '\n    %s\n' "checksum of all rows, before: ${before##*$'\t'}"
printf '    %s\n\n' "checksum of all rows, after:  ${after##*$'\t'}"
echo "    \$ keyroll list"
"$keyroll" list --defaults-file="$dir/my.cnf" | sed 's/^/    /'
