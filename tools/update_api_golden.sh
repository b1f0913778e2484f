#!/usr/bin/env bash
# Freezes the API as the shared library of a build exports it now. Usage: tools/update_api_golden.sh [build folder]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/dev}
cmake --build "$build" --target gemmsmith_shared
bash tests/scripts/frozen_api.sh "$build/src/libgemmsmith.so" tests/golden/api-symbols.txt --update
