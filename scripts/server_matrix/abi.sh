#!/usr/bin/env bash
# Compiles include/abi_check.c against the server headers in each prefix: every size, offset and number that keyroll
# takes from the server's interface.
#
#   scripts/server_matrix/abi.sh PREFIX...     ("/" is this machine)
set -euo pipefail
cd "$(dirname "$0")/../.."
for prefix in "$@"; do
  headers=${prefix%/}/usr/include/mariadb/server
  [ -f "$headers/mysql/plugin_encryption.h" ] || { echo "abi.sh: no server headers in $headers" >&2; exit 1; }
  "${CC:-cc}" -std=gnu11 -w -fsyntax-only -I include -I "$headers" include/abi_check.c
  echo "$headers: $(sed -n 's/^#define MYSQL_SERVER_VERSION *"\(.*\)"/\1/p' "$headers/mysql_version.h" "$headers/../mariadb_version.h" 2>/dev/null | head -1): the interface is ours"
done
