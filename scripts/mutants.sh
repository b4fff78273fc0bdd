#!/usr/bin/env bash
# Changes the code at one place at a time, as .cargo/mutants.toml says, and has the tests find out. A change that they do not
# notice and that docs/mutants.md does not list is a failure.
#
#   scripts/mutants.sh [FILE]...     of all files, or of these
#
# Each change is a build and a run of the tests. What they said is in target/mutants.out.
set -euo pipefail
cd "$(dirname "$0")/.."

files=()
for file; do files+=(--re "^$file:"); done
mkdir -p target
status=0
cargo mutants --output target "${files[@]}" || status=$?
# 2: some were not noticed; 3: some made a test hang, which is noticed.
case $status in 0 | 2 | 3) ;; *) exit "$status" ;; esac

# A mutant's name without its line and column, which every edit changes.
unlisted=$(sed -E 's/:[0-9]+:[0-9]+: /: /' target/mutants.out/missed.txt | grep -vxFf docs/mutants.md || true)
[[ -z $unlisted ]] || {
    printf 'no test notices, and docs/mutants.md does not list:\n%s\n' "$unlisted" >&2
    exit 1
}
