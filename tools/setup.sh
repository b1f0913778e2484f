#!/usr/bin/env bash
# Installs the Debian packages that are missing. Where nothing is, it needs no network and no root, and no time.
# Usage: tools/setup.sh build|bench|style|fuzz|browser...
set -euo pipefail

build=(g++ make cmake ninja-build pkg-config libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libasmjit-dev
       libzstd-dev libxxhash-dev libsodium-dev libgtest-dev libgmock-dev libbenchmark-dev)
bench=(libopenblas-dev libeigen3-dev libdnnl-dev)
style=(clang-format clang-tidy)
fuzz=(clang libclang-rt-14-dev)
browser=(chromium)  # for the tests that look at the report of the cache; they skip themselves without one

say() { echo "setup: $*" >&2; }

wanted=()
for group in "$@"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    style) wanted+=("${style[@]}") ;;
    fuzz) wanted+=("${fuzz[@]}") ;;
    browser) wanted+=("${browser[@]}") ;;
    *) say "there is no group \"$group\": build, bench, style, fuzz, browser"; exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null; then
  say "not a Debian system; needed, in Debian's names: ${wanted[*]}"
  exit 0  # CMake says what it does not find.
fi

installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qx "$package installed" <<<"$installed" || missing+=("$package")
done
((${#missing[@]} > 0)) || exit 0

as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { say "as root: apt-get install ${missing[*]}"; exit 1; }
  as_root=(sudo)
fi
say "installing ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
"${apt[@]}" update
"${apt[@]}" install --yes --no-install-recommends "${missing[@]}"
