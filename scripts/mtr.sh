#!/bin/sh
# Runs the mtr suites on a server, installed or unpacked, without installing or changing anything.
#
#   scripts/mtr.sh [TEST...] [OPTION OF mtr...]
#
# Environment:
#   KEYROLL_SO         the built plugin        (default: target/release/libkeyroll.so)
#   KEYROLL_BIN        the built command       (default: target/release/keyroll)
#   KEYROLL_SUITES     where the suites are    (default: mariadb-test)
#   KEYROLL_SUITE_NAMES  those to run          (default: all)
#   KEYROLL_SERVER     a prefix with a server  (default: none, the installed one; scripts/server_matrix/fetch.sh
#                                               makes prefixes)
#   MTR_ROOT           the server's mtr        (default: looked for where packages put it)
#   KEYROLL_AWS_SERVERS  where moto is       (default: target/aws-servers, installed there where it is missing)
#   KEYROLL_BAO        OpenBao                 (default: target/tools/openbao/bin/bao)
#   KEYROLL_MTR_DIR    where to work           (default: a new directory in /tmp; on a disk)
#   KEYROLL_TIMES      where to keep how long statements took while key services were in trouble (default: nowhere)
#
# Succeeds only if every test ran and passed: a skipped test, a test without a result file and a suite that
# mtr did not find are failures here, though mtr forgives them. But mariadb-test/skipped names the tests that a
# version of the server cannot run: those must be skipped, with the reason that stands there.
set -eu

fail() {
    echo "mtr.sh: $*" >&2
    exit 1
}

checkout=$(cd "$(dirname "$0")/.." && pwd -P)
suites_dir=$(realpath "${KEYROLL_SUITES:-$checkout/mariadb-test}")
suites=${KEYROLL_SUITE_NAMES:-keyroll keyroll_keystore keyroll_vault keyroll_aws}
plugin=$(realpath "${KEYROLL_SO:-$checkout/target/release/libkeyroll.so}")
command=$(realpath "${KEYROLL_BIN:-$checkout/target/release/keyroll}")
KEYROLL_BAO=${KEYROLL_BAO:-$checkout/target/tools/openbao/bin/bao}
export KEYROLL_BAO
[ -f "$plugin" ] || fail "no plugin at $plugin; build it, or set KEYROLL_SO"
[ -x "$command" ] || fail "no command at $command; build it, or set KEYROLL_BIN"

for built in "$plugin" "$command"; do
    ! grep -q KEYROLL_FAILPOINT "$built" || fail "$built was built with failpoints, which are for other tests alone"
done

case " $suites " in
    *" keyroll_aws "*)
        export KEYROLL_AWS_SERVERS="${KEYROLL_AWS_SERVERS:-${CARGO_TARGET_DIR:-$checkout/target}/aws-servers}"
        "$checkout/scripts/install_aws_servers.sh"
        ;;
esac

server=${KEYROLL_SERVER:-}
usr=$server/usr
for mtr_root in "${MTR_ROOT:-}" "$usr/share/mysql/mysql-test" "$usr/share/mariadb/mariadb-test" "$usr/share/mysql-test"; do
    [ -f "$mtr_root/mysql-test-run.pl" ] && break
done
[ -f "$mtr_root/mysql-test-run.pl" ] || fail "no mtr in ${server:-/usr} (Debian: mariadb-test); or set MTR_ROOT"

if [ -n "$server" ]; then
    mariadbd=$(PATH=$usr/sbin:$usr/libexec command -v mariadbd)
else
    mariadbd=$(PATH=$PATH:/usr/sbin:/usr/libexec command -v mariadbd)
fi
plugin_dir=$server$("$mariadbd" --no-defaults --verbose --help 2>/dev/null | sed -n 's/^plugin-dir  *//p')
[ -d "$plugin_dir" ] || fail "mariadbd does not tell its plugin directory"
# 10.5 and so on.
version=$("$mariadbd" --no-defaults --version | sed -n 's/.*Ver \([0-9]*\.[0-9]*\)\..*/\1/p')
[ -n "$version" ] || fail "mariadbd does not tell its version"

if [ -n "${KEYROLL_MTR_DIR:-}" ]; then
    work=$KEYROLL_MTR_DIR
    mkdir "$work"
else
    # On a disk: in memory (tmpfs) there is no O_DIRECT, and a kill can tear a page that InnoDB is writing.
    work=$(mktemp -d "${TMPDIR:-/tmp}/keyroll_mtr.XXXXXX")
fi

# mtr takes the directory two above itself for the installation. Ours is made of links to the real one, plus
# the plugin and the suite.
root=$work/root
mtr_dir=$root/$(basename "$mtr_root")
our_plugins=$root/${plugin_dir#"$usr/"}
mkdir -p "$mtr_dir/plugin" "$our_plugins"
for dir in bin sbin share; do
    ln -s "$usr/$dir" "$root/$dir"
done
ln -s "$plugin_dir"/* "$our_plugins/"
ln -sf "$plugin" "$our_plugins/keyroll.so"
for entry in "$mtr_root"/*; do
    case $(basename "$entry") in
        plugin) ln -s "$entry"/* "$mtr_dir/plugin/" ;;
        var) ;;
        *) ln -s "$entry" "$mtr_dir/" ;;
    esac
done
ln -sfn "$suites_dir" "$mtr_dir/plugin/keyroll"

log=$work/mtr.log
status=0
# mtr makes variables of these names itself; ours would be in its way.
unset KEYROLL_SO
(
    cd "$mtr_dir"
    KEYROLL_BIN=$command perl ./mysql-test-run.pl --suite="$(echo "$suites" | tr " " ,)" --vardir="$work/var" \
        --parallel=2 --force --max-test-fail=0 --retry=0 --testcase-timeout=4 --suite-timeout=20 "$@" 2>&1
    echo "exit $?"
) | tee "$log" | grep -v '^exit [0-9]*$' || true
status=$(sed -n 's/^exit \([0-9]*\)$/\1/p' "$log" | tail -1)

# One line a test: "keyroll.load 'combination' w1 [ pass ]  123".
count() {
    grep -cE "^keyroll[a-z_]*\.[a-z0-9_]+ .*\[ ($1) \]" "$log" || true
}
passed=$(count pass)
failed=$(count 'fail|disabled|warning|shutdown')

# The reason that mariadb-test/skipped gives for a test not to run in this version, if it does.
reason_to_skip() {
    awk -v test="$1" -v version="$version" '$1 == test && $2 == version { sub(/^[^ ]+ +[^ ]+ +/, ""); print; exit }' \
        "$checkout/mariadb-test/skipped"
}
skipped=0
while read -r test reason; do
    [ -n "$test" ] || continue
    if [ -n "$reason" ] && [ "$reason" = "$(reason_to_skip "$test")" ]; then
        echo "mtr.sh: skipped, as MariaDB $version needs: $test: $reason" >&2
        skipped=$((skipped + 1))
    else
        echo "mtr.sh: did not run: $test: $reason" >&2
        failed=$((failed + 1))
    fi
done <<EOT
$(sed -nE "s/^(keyroll[a-z_]*\.[a-z0-9_]+) .*\[ skipped \] */\1 /p" "$log")
EOT

for suite in $suites; do
    for test in "$suites_dir/$suite"/t/*.test; do
        name=$(basename "$test" .test)
        if [ ! -f "$suites_dir/$suite/r/$name.result" ]; then
            echo "mtr.sh: $suite.$name has no result file, so it cannot fail" >&2
            failed=$((failed + 1))
        fi
        if [ $# -eq 0 ] && [ -n "$(reason_to_skip "$suite.$name")" ]; then
            if ! grep -qE "^$suite\.$name .*\[ skipped \]" "$log"; then
                echo "mtr.sh: $suite.$name was not skipped, as mariadb-test/skipped says" >&2
                failed=$((failed + 1))
            fi
        elif [ $# -eq 0 ] && ! grep -qE "^$suite\.$name .*\[ pass \]" "$log"; then
            grep -qE "^$suite\.$name .*\[ (fail|skipped|disabled) \]" "$log" || failed=$((failed + 1))
            echo "mtr.sh: $suite.$name did not pass" >&2
        fi
    done
done
if [ "$failed" -eq 0 ] && { [ "$passed" -eq 0 ] || [ "$status" != 0 ]; }; then
    echo "mtr.sh: mtr ended with $status after $passed tests" >&2
    failed=1
fi

[ -z "${KEYROLL_TIMES:-}" ] || find "$work/var" -path '*/log/*.times' -exec cp -t "$KEYROLL_TIMES" {} +

echo "MariaDB $("$mariadbd" --no-defaults --version | sed 's/.*Ver \([^ ]*\).*/\1/'): $passed passed, $failed failed, $skipped skipped"
if [ "$failed" -ne 0 ]; then
    echo "mtr.sh: logs are in $work/var; remove $work when done" >&2
    exit 1
fi
rm -rf "$work"
