#!/usr/bin/env bash
# One keyroll.so in every supported MariaDB: the interface against each version's headers, the mtr suites in each
# version, and an encrypted data directory that goes up through all of them, with backups.
#
#   scripts/server_matrix/run.sh
#
# 10.11 is the installed server; 10.5 and 11.8 are unpacked by fetch.sh beside this script. KEYROLL_SO and KEYROLL_BIN
# name what is tested: what scripts/build_portable.sh makes, because 10.5 runs on its own glibc 2.31.
# KEYROLL_SUITE_NAMES may name fewer suites. Goes on after a failure, and fails at the end.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd -P)
mapfile -t prefixes < <("$here/fetch.sh" bullseye trixie sid)
[ "${#prefixes[@]}" = 3 ] || { echo "run.sh: not every server could be fetched" >&2; exit 1; }
failed=0
step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

step "the interface, and the command on 10.5's loader"
# 10.5's own loader runs the command.
loader=${prefixes[0]}/lib64/ld-linux-x86-64.so.2
"$loader" --library-path "${prefixes[0]}/lib/x86_64-linux-gnu" "$KEYROLL_BIN" --version || failed=1

"$here/abi.sh" "${prefixes[0]}" / "${prefixes[@]:1}" || failed=1
for server in "${prefixes[0]}" "" "${prefixes[@]:1}"; do
  step "the suites in ${server:-the installed server}"
  KEYROLL_SERVER=$server "$here/../mtr.sh" || failed=1
done
step "an encrypted data directory through all versions"
"$here/upgrade.py" "${prefixes[0]}" / "${prefixes[@]:1}" || failed=1
if [ "$failed" != 0 ]; then
  step "something failed: see above"
  exit 1
fi
step "one binary in every version: all as it should be"
