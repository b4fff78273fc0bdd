#!/bin/sh
# Proves that the soak can fail: loses a row or a key version on purpose, or starts a server in spite of its mark, which
# each run must find.
set -eu
cd "$(dirname "$0")"
log=$(mktemp)
folder=$(mktemp -d "${TMPDIR:-/tmp}/keyroll-prove.XXXXXX")
trap 'rm -rf "$log" "$folder"' EXIT

found=0
prove() { # STORE WHAT-IS-LOST WHAT-THE-SOAK-SAYS
    if ./run.py --store "$1" --spoil "$2" --kills 9 --dir "$folder" >"$log" 2>&1; then
        echo "prove.sh: a lost $2 of the $1 was not found" >&2
        exit 1
    fi
    grep -q "$3" "$log" || {
        cat "$log" >&2
        echo "prove.sh: the run with a lost $2 of the $1 failed for another reason" >&2
        exit 1
    }
    found=$((found + 1))
}
for store in key-file keystore; do
    prove $store row '^row .* it is absent$'
    prove $store version '^the key store has lost versions'
    prove $store mark '^a server .* an older copy of the key store'
done
echo "$found faults made, $found found"
