#!/usr/bin/env bash
# The tests of the Python package on a module with the address and undefined-behaviour sanitizers in it; then calls and
# refusals once more, for what of the module's memory nobody frees. What CPython and NumPy leak by design does not count.
# Usage: tools/python_asan.sh [build folder, else build/python-asan] [arguments of pytest]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$(cd "${1:-build/python-asan}" && pwd)
shift || true
compiler=${CXX:-c++} leaks=$build/leaks.txt
# The interpreter must have the sanitizer before the module, and the sanitizer the library that throws. An error aborts.
sanitized() {
  local options=$1
  shift
  PYTHONPATH=$build/python:python/tests PYTHONMALLOC=malloc UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1 \
  ASAN_OPTIONS=abort_on_error=1:quarantine_size_mb=16:$options \
  LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libstdc++.so)" \
    build/python-tools/bin/python "$@"
}
# Left out: what needs the stub, and what measures memory.
sanitized detect_leaks=0 -m pytest -c pyproject.toml python/tests \
  -k 'not types_hold and not of_the_docstrings and not nothing_behind' "$@"
# With whole stacks, through CPython's frames, to find the module in them.
sanitized detect_leaks=1:exitcode=0:fast_unwind_on_malloc=0 - 2> "$leaks" <<'PYTHON'
import numpy as np
from test_bad_input import BAD
from test_process import CALLS

a, b, out = (np.ones((8, 8), "f4") for _ in range(3))
for _ in range(20):
    for call in CALLS.values():
        call(a, b, out)
    for kind, _, refused in BAD.values():
        try:
            refused()
        except kind:
            pass
PYTHON
awk -v RS= -v ORS='\n\n' '/ leak of / && /nanobind|gemmsmith/ || /LeakSanitizer has encountered/ { print; bad = 1 } END { exit bad }' "$leaks"
