#!/usr/bin/env bash
# Installs what is missing of tests/debian-packages.txt where it may (root, or sudo without a password); elsewhere it
# says what is missing and how to get it, and goes on: a test that needs it skips with that reason.
set -euo pipefail
list="$(dirname "$0")/debian-packages.txt"
is_there() { dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

missing=()
for package in $(sed 's/#.*//' "$list"); do
    is_there "$package" || missing+=("$package")
done
((${#missing[@]})) || exit 0

how="apt-get update && apt-get install --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    echo "tests that need these Debian packages will skip, as there is no apt-get here: ${missing[*]}"
    exit 0
fi
if ((EUID == 0)); then
    as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "tests that need these Debian packages will skip: ${missing[*]}; as root: $how"
    exit 0
fi

echo "installing Debian packages that tests need (about a minute, once): ${missing[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@"; }
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! { apt update && apt install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log"
    echo "not installed: ${missing[*]}; tests that need them will skip. As root: $how"
fi
