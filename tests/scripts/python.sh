#!/usr/bin/env bash
# The tests of the Python package on what was built, without installing it.
# Usage: python.sh <source folder> <build folder> <python, or empty> [why there is none]    exit 77: skipped
set -euo pipefail
source=$1 build=$2 python=$3
[[ -n $python ]] || { echo "skipped: the Python package was not built: ${4:-}"; exit 77; }
for module in numpy pytest hypothesis mypy; do
  "$python" -c "import $module" 2>/dev/null ||
    { echo "skipped: $python has no $module (tools/setup.sh python installs it)"; exit 77; }
done
PYTHONPATH=$build/python exec "$python" -m pytest -c "$source/pyproject.toml" "$source/python/tests"
