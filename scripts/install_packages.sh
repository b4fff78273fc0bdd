#!/usr/bin/env bash
# Installs the Debian packages that are missing: `install_packages.sh build` for building and the demo (no
# MariaDB service is started by these), `install_packages.sh test` for everything that the tests need, too, `... deb`
# for making and testing the package, `... tree` for building in a server's source tree, `... portable` for what links
# against another suite's libraries or runs its servers.
set -euo pipefail

build=(gcc libc6-dev libclang-dev mariadb-server-core mariadb-client-core)
test=(libmariadbd-dev libssl-dev openssl mariadb-server mariadb-backup mariadb-test mariadb-test-data
      valgrind gdb binutils strace util-linux psmisc acl perl python3-venv
      mariadb-plugin-hashicorp-key-management faketime
      galera-4 socat rsync iproute2 procps)
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
  echo "Installing Debian packages: ${missing[*]}"
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

command -v cargo >/dev/null || {
  echo "cargo is missing: install Rust 1.89 or later, see https://www.rust-lang.org/tools/install" >&2
  exit 1
}
