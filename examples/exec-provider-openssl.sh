#!/bin/sh
# A master key for keyroll_master_key = exec:PATH: RSA keys of openssl, one file for each version, in the directory
# KEYROLL_EXEC_KEYS (N.pem, mode 0600, both halves secret). RSA-OAEP refuses what was changed, and its label binds it to the
# keystore. Make the first version with: echo '{"version":1,"operation":"rotate"}' | KEYROLL_EXEC_KEYS=/srv/keyroll-master/rsa ./PATH
set -eu
umask 077
keys=${KEYROLL_EXEC_KEYS:?is not set}
read -r request
field() { printf %s "$request" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
label=$(field keystore | od -An -v -tx1 | tr -d ' \n')
rsa() { openssl pkeyutl "$1" -inkey "$keys/$2.pem" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
    -pkeyopt "rsa_oaep_label:$label" | base64 -w 0; }
newest=$(find "$keys" -name '[1-9]*.pem' | sed 's|.*/\([0-9]*\)\.pem|\1|' | sort -n | tail -n 1)
fail() { echo "$2" >&2; exit "$1"; }

case $(field operation) in
wrap)
    result=$(field plaintext | base64 -d | rsa -encrypt "$newest")
    printf '{"ciphertext":"%s","key_version":"%s"}\n' "${result:?nothing was encrypted}" "$newest" ;;
unwrap)
    version=$(field key_version)
    case $version in '' | *[!0-9]*) fail 65 "versions are numbers here" ;; esac
    [ -e "$keys/$version.pem" ] || fail 65 "there is no version $version"
    result=$(field ciphertext | base64 -d | rsa -decrypt "$version")
    [ -n "$result" ] || fail 65 "version $version does not open it"
    printf '{"plaintext":"%s"}\n' "$result" ;;
rotate)
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out "$keys/new.$$"
    sync "$keys/new.$$"
    ln "$keys/new.$$" "$keys/$((newest + 1)).pem"
    rm "$keys/new.$$"
    sync "$keys"
    echo '{}' ;;
*) fail 64 "unknown operation" ;;
esac
