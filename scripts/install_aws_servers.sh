#!/bin/sh
# Installs the servers that stand in for AWS in tests (moto, ministack) and boto3, without touching the system's Python.
#
#   scripts/install_aws_servers.sh [DIRECTORY]
#
# DIRECTORY is where the tests look for them: KEYROLL_AWS_SERVERS, or else target/aws-servers.
set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd -P)
directory=${1:-${KEYROLL_AWS_SERVERS:-${CARGO_TARGET_DIR:-$checkout/target}/aws-servers}}
requirements=$checkout/tests/services/aws/requirements.txt

if [ -x "$directory/bin/moto_server" ] && cmp -s "$requirements" "$directory/requirements.txt"; then
    exit 0
fi
python3 -m venv "$directory"
"$directory/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
cp "$requirements" "$directory/requirements.txt"
