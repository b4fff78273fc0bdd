#!/usr/bin/env bash
# What a newcomer does, on a clean Debian 12 that has make, git, sudo and Rust and nothing else: the commands of the
# README, as a user with sudo and as root. No service may be started, no package removed.
#
#   scripts/test_fresh.sh [quick]     quick: `make demo` alone, with what is built in this checkout
#
# Runs as root, because it makes a root directory and changes into it; uses the Rust of whoever calls it. The clean
# system is made once and kept in target/fresh.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd -P)
quick=${1:-}
kept=$checkout/target/fresh
step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
fail() { echo "test_fresh.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "must run as root"
"$checkout/scripts/install_packages.sh" deb
"$checkout/scripts/check_programs.py"

dir=$(mktemp -d "${TMPDIR:-/tmp}/keyroll-fresh.XXXXXX")
root=$dir/root
mounted=()
cleanup() {
  for ((at = ${#mounted[@]} - 1; at >= 0; at--)); do umount "${mounted[at]}" || umount -l "${mounted[at]}"; done
  # What could not be unmounted is not ours to remove.
  rm -rf --one-file-system "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

step "a clean Debian 12"
mkdir -p "$kept" "$root"
if [ ! -s "$kept/root.tar" ]; then
  # A name that ends in .tar: by it mmdebstrap knows what to make.
  mmdebstrap --quiet --variant=minbase --include=make,git,sudo,ca-certificates bookworm "$kept/new.root.tar" http://deb.debian.org/debian
  mv "$kept/new.root.tar" "$kept/root.tar"
fi
tar -xf "$kept/root.tar" -C "$root" --exclude='./dev/*'
for device in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$root/dev/${device%:*}" c 1 "${device#*:}"; done
mkdir -p "$root/proc" "$root/dev/shm" "$root/dev/pts"
ln -s /proc/self/fd "$root/dev/fd"
mount -t proc proc "$root/proc"; mounted+=("$root/proc")
mount -t tmpfs tmpfs "$root/dev/shm"; mounted+=("$root/dev/shm")
# How this machine reaches the network, and whom it trusts there.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"

# Rust, read-only, where every user may look (root's home is not such a place), with a cargo folder of the newcomer's own.
rust=/opt/rust
mkdir -p "$root$rust"
mount --bind "$(rustc --print sysroot)" "$root$rust"; mounted+=("$root$rust")
mount -o remount,bind,ro "$root$rust"

mapfile -t network < <(env | grep -E '^(PIP_[A-Z_]+|https?_proxy|no_proxy)=' || true)
within() { # USER COMMAND...
  local user=$1 home=/root
  shift
  [ "$user" = root ] || home=/home/$user
  chroot "$root" env -i "PATH=$rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C.UTF-8 HOME="$home" \
    "${network[@]}" setpriv --reuid "$user" --regid "$user" --init-groups "$@" </dev/null
}
within root useradd --create-home --shell /bin/bash dba
echo 'dba ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/dba"
chmod 440 "$root/etc/sudoers.d/dba"
# sudo resets PATH; what the newcomer's shell has stays with it.
packages() { within root dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sort; }

clone() { # USER FOLDER
  git -C "$checkout" bundle create --quiet "$root/tmp/keyroll.bundle" HEAD
  chmod 644 "$root/tmp/keyroll.bundle"
  within "$1" git clone --quiet /tmp/keyroll.bundle "$2"
  if [ "$quick" = quick ]; then
    for built in libkeyroll.so keyroll; do
      install -D "$checkout/target/release/$built" "$root$2/target/release/$built"
    done
    within root chown -R "$1:" "$2"
  fi
}
demo() { # USER FOLDER
  if [ "$quick" = quick ]; then
    # What `make demo` does, but for the build.
    within "$1" make --no-print-directory -C "$2" packages && within "$1" sh -c "cd $2 && scripts/demo.sh"
  else
    within "$1" make --no-print-directory -C "$2" demo
  fi
}
no_server() { # WHEN
  local running
  running=$(for process in "$root"/proc/[0-9]*; do
    [ "$(readlink "$process/root" 2>/dev/null)" != "$root" ] || readlink "$process/exe" 2>/dev/null || true
  done | grep -E 'mariadbd|mysqld' || true)
  [ -z "$running" ] || fail "$1: a server runs: $running"
}

step "packages that conflict: nothing is removed"
mkdir -p "$dir/other/DEBIAN"
printf '%s\n' 'Package: mysql-server-8.0' 'Version: 8.0.40' 'Architecture: all' 'Maintainer: nobody <nobody@example.org>' \
  'Description: stands for a server that is installed' >"$dir/other/DEBIAN/control"
dpkg-deb --root-owner-group --build "$dir/other" "$root/tmp/other.deb" >/dev/null
within root dpkg -i /tmp/other.deb >/dev/null
clone root /root/keyroll
before=$(packages)
if within root make --no-print-directory -C /root/keyroll packages >"$dir/conflict.log" 2>&1; then
  fail "packages were installed beside one that they conflict with"
fi
grep -q 'The packages could not be installed' "$dir/conflict.log" || { cat "$dir/conflict.log" >&2; fail "it does not say what failed"; }
[ "$(packages)" = "$before" ] || fail "other packages are installed now than before"
within root dpkg --purge mysql-server-8.0 >/dev/null
sed -n '/could not be installed/p' "$dir/conflict.log"

step "make demo, as a user with sudo"
clone dba /home/dba/keyroll
started=$SECONDS
demo dba /home/dba/keyroll | tee "$dir/demo.log"
echo "the demo took $((SECONDS - started)) s"
grep -q 'checksum of all rows, after:  [0-9]' "$dir/demo.log" || fail "the demo did not come to its end"
! grep -q $'\033' "$dir/demo.log" || fail "control codes, and no terminal"
no_server "after the demo"

step "make demo, as root"
demo root /root/keyroll >"$dir/demo.log" || { cat "$dir/demo.log" >&2; fail "the demo as root"; }
no_server "after root's demo"
[ "$quick" != quick ] || { step "a clean Debian 12: the demo runs"; exit 0; }

step "make test, as root"
within root make --no-print-directory -C /root/keyroll test
no_server "after the tests"
step "a clean Debian 12: all as the README says"
