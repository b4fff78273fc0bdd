#!/usr/bin/env bash
# Installs the Debian packages that are missing: `install_packages.sh build` for building and the demo,
# `install_packages.sh test` for everything that the tests need, too, `... deb` for making and testing the package,
# `... tree` for building in a server's source tree, `... portable` for what links against another suite's libraries or
# runs its servers. No package is removed for one of these, and no service is started or restarted.
set -euo pipefail

build=(gcc libc6-dev libclang-dev mariadb-server-core mariadb-client-core)
test=(libmariadbd-dev libssl-dev openssl mariadb-server mariadb-backup mariadb-test mariadb-test-data
      valgrind gdb binutils strace util-linux psmisc acl perl python3-venv
      mariadb-plugin-hashicorp-key-management faketime man-db
      galera-4 socat rsync iproute2 procps patch
      cmake make jq systemd)
deb=(cmake make ninja-build lintian mmdebstrap)
portable=(binutils debian-archive-keyring patchelf)
tree=("${portable[@]}" cmake make rpm bison g++ dpkg-dev libncurses-dev libssl-dev zlib1g-dev perl mariadb-server mariadb-test mariadb-test-data)

case "${1:-build}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" "${test[@]}") ;;
  deb) wanted=("${build[@]}" "${deb[@]}") ;;
  portable) wanted=("${build[@]}" "${portable[@]}") ;;
  tree) wanted=("${build[@]}" "${tree[@]}") ;;
  *) echo "usage: $0 [build|test|deb|tree|portable]" >&2; exit 64 ;;
esac

missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done

if [ "${#missing[@]}" -gt 0 ]; then
  echo "Debian packages to install, with what they need: ${missing[*]}"
  if [ -t 0 ] && [ -t 1 ] && [ -z "${CI:-}" ]; then
    read -r -p "Install them? [Y/n] " answer
    case "$answer" in
      '' | [Yy]*) ;;
      *) echo "Nothing was installed." >&2; exit 1 ;;
    esac
  fi
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "Installing needs root, and there is no sudo: run as root: apt-get install --no-remove ${missing[*]}" >&2
      exit 1
    }
    as_root=(sudo)
  fi
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  "${as_root[@]}" bash -s -- "${missing[@]}" >"$log" 2>&1 <<'AS_ROOT' || {
set -euo pipefail
# What Debian's packages ask before they start a service (invoke-rc.d(8)): 101 says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends --no-remove "$@" </dev/null
AS_ROOT
    cat "$log" >&2
    echo "The packages could not be installed: see above. None was removed for them; where another server is installed" \
      "that they conflict with, use a machine or a container of its own." >&2
    exit 1
  }
fi

command -v cargo >/dev/null || {
  echo "cargo is missing: install Rust 1.89 or later, see https://www.rust-lang.org/tools/install" >&2
  exit 1
}
