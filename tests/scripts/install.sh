#!/usr/bin/env bash
# Installs the build and builds an outside project against the installed tree, which lies in a folder with a space in its
# name and is moved after the installation. By find_package (shared, static, default) and by pkg-config (both).
# Usage: install.sh <source folder> <build folder> <cmake> <C++ compiler>
set -euo pipefail
source_dir=$1 build_dir=$2 cmake=$3 cxx=$4
work=$(mktemp -d "${TMPDIR:-/tmp}/gemmsmith install.XXXXXX")
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache

quietly() { "$@" >"$work/log" 2>&1 || { echo "failed: $*"; cat "$work/log"; exit 1; }; }

quietly "$cmake" --install "$build_dir" --prefix "$work/first"
prefix="$work/moved here"
mv "$work/first" "$prefix"
for path in bin/gemmsmith include/gemmsmith/gemmsmith.h include/gemmsmith/version.h; do
  [[ -e $prefix/$path ]] || { echo "not installed: $path"; exit 1; }
done
if find "$prefix" -name '*.cmake' -o -name '*.pc' | xargs -d '\n' grep -lF -e "$source_dir" -e "$build_dir" -e "$work/first"; then
  echo "the package files above name folders of the build"
  exit 1
fi
"$prefix/bin/gemmsmith" --help >/dev/null

if bundle=$(find "$prefix" -name kernels.gsb | grep .); then
  echo "its bundle, where there is no compiler:"
  quietly "$prefix/bin/gemmsmith" bundle list "$bundle"
  for problem in "--m 16 --n 4096 --k 4096 --dtype f16 --layout nt" "--m 4097 --n 4097 --k 4097 --dtype bf16"; do
    # shellcheck disable=SC2086
    GEMMSMITH_NVRTC=/nonexistent GEMMSMITH_NVCC=/nonexistent \
      "$prefix/bin/gemmsmith" compile $problem --arch sm_90a --json >"$work/log" || { cat "$work/log"; exit 1; }
    grep -q '"source": "bundle"' "$work/log" || { echo "not from the bundle: $problem"; cat "$work/log"; exit 1; }
  done
else
  echo "installed without a bundle: there was no CUDA toolkit"
fi

echo "by find_package:"
quietly "$cmake" -S "$source_dir/tests/install" -B "$work/outside" -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_CXX_COMPILER="$cxx"
quietly "$cmake" --build "$work/outside"
for kind in shared static gemmsmith; do "$work/outside/outside_$kind"; done

echo "by pkg-config:"
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name gemmsmith.pc)")
# pkg-config escapes what the shell would split: its output is shell words.
eval "options=($(pkg-config --cflags --libs gemmsmith))"
quietly "$cxx" -std=c++20 "$source_dir/tests/install/main.cc" "${options[@]}" -o "$work/outside_pc"
# The first program of the README is true, too.
awk '/^```cpp/ {inside = 1; next} /^```/ {if (inside) exit} inside' "$source_dir/README.md" >"$work/readme.cc"
quietly "$cxx" -std=c++20 "$work/readme.cc" "${options[@]}" -o "$work/readme"
libdir=$(dirname "$PKG_CONFIG_PATH")
LD_LIBRARY_PATH=$libdir "$work/outside_pc"
LD_LIBRARY_PATH=$libdir "$work/readme"
find "$prefix" -name 'libgemmsmith.so*' -delete
eval "options=($(pkg-config --static --cflags --libs gemmsmith))"
quietly "$cxx" -std=c++20 "$source_dir/tests/install/main.cc" "${options[@]}" -o "$work/outside_pc_static"
"$work/outside_pc_static"
