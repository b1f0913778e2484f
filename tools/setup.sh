#!/usr/bin/env bash
# Installs the Debian packages that are missing. Where nothing is, it needs no network and no root, and no time.
# Usage: tools/setup.sh build|bench|wheels|python|style|fuzz|browser...
set -euo pipefail

build=(g++ make cmake ninja-build pkg-config libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libasmjit-dev
       libzstd-dev zlib1g-dev libxxhash-dev libsodium-dev libsimdjson-dev libsqlite3-dev libgtest-dev libgmock-dev
       libbenchmark-dev)
# What the CPU benchmarks compare with; the wheels are what Debian has not, or older, and go into build/peers.
bench=(libopenblas0-pthread libblis64-4-openmp libdnnl2 libeigen3-dev libxsmm-dev python3)
wheels=(mkl==2026.2.0 onednn-cpu-gomp==2023.2.0 scipy-openblas32==0.3.34.481.3)
# What the Python package is built and tested with, into build/python-tools.
python=(nanobind==3.1.0 numpy==2.4.6 ml_dtypes==0.6.0 pytest==9.2.0 hypothesis==6.170.15 mypy==2.4.1)
style=(clang-format clang-tidy)
fuzz=(clang libclang-rt-14-dev)
browser=(chromium)  # for the tests that look at the report of the cache; they skip themselves without one

say() { echo "setup: $*" >&2; }

# Without a network the benchmarks do with Debian's. What the wheels depend on is here already, or not used.
install_wheels() {
  local folder
  folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/peers
  [[ ! -e $folder/complete ]] || return 0
  say "installing ${wheels[*]} into build/peers"
  if python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --no-deps "${wheels[@]}"; then
    ln -sf "$folder"/lib/python3*/site-packages/scipy_openblas32/lib/libscipy_openblas.so "$folder/lib/"
    touch "$folder/complete"
  else
    say "going on without ${wheels[*]}"
  fi
}

# Without a network the package is left out, and make test says so.
install_python() {
  local folder
  folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/python-tools
  [[ ! -e $folder/complete ]] || return 0
  say "installing ${python[*]} into build/python-tools"
  if python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 1 "${python[@]}"; then
    touch "$folder/complete"
  else
    rm -rf "$folder"
    say "going on without the Python package"
  fi
}

wanted=()
with_wheels= with_python=
for group in "$@"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    wheels) wanted+=(python3-venv) with_wheels=1 ;;
    python) wanted+=(python3-venv python3-dev) with_python=1 ;;
    style) wanted+=("${style[@]}") ;;
    fuzz) wanted+=("${fuzz[@]}") ;;
    browser) wanted+=("${browser[@]}") ;;
    *) say "there is no group \"$group\": build, bench, wheels, python, style, fuzz, browser"; exit 2 ;;
  esac
done

install_packages() {
  local installed missing=() package as_root=() apt
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian system; needed, in Debian's names: $*"
    return 0  # CMake says what it does not find.
  fi
  installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for package; do
    grep -qx "$package installed" <<<"$installed" || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null || { say "as root: apt-get install ${missing[*]}"; exit 1; }
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update
  "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"
}

install_packages "${wanted[@]}"
[[ -z $with_wheels ]] || install_wheels
[[ -z $with_python ]] || install_python
