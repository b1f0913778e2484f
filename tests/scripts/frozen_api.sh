#!/usr/bin/env bash
# Compares what libgemmsmith.so exports with the list kept in tests/golden/api-symbols.txt.
# Usage: frozen_api.sh <libgemmsmith.so> <golden file> [--update]
#
# Only strong symbols are listed: which inline functions and type tables appear besides depends on the optimiser. That
# nothing outside namespace gemmsmith is exported is checked over all symbols.
set -euo pipefail
library=$1 golden=$2
export LC_ALL=C

exported() { nm --dynamic --demangle --defined-only "$library" | sed -E 's/^[0-9a-f]* +//'; }
foreign=$(exported | grep -Ev '^[A-Za-z] ((typeinfo|typeinfo name|vtable|VTT|guard variable) for )?gemmsmith::' || true)
if [[ -n $foreign ]]; then
  echo "exported, but not of namespace gemmsmith (see src/exported_symbols.map):"
  echo "$foreign"
  exit 1
fi

now=$(exported | sed -nE 's/^[TDBR] //p' | sort -u)
[[ -n $now ]] || { echo "$library exports nothing"; exit 1; }
if [[ ${3:-} == --update ]]; then
  mkdir -p "$(dirname "$golden")"
  echo "$now" >"$golden"
  echo "$golden: $(wc -l <"$golden") symbols"
  exit
fi
if ! diff --unified=0 --label "the API as frozen" --label "the API as built" "$golden" - <<<"$now"; then
  cat <<'EOF'
The exported API changed. A line that is gone (-) breaks programs built against the last version: keep the old function,
or raise the minor version (the SOVERSION) and say so in CHANGELOG.md. Then: tools/update_api_golden.sh
EOF
  exit 1
fi
echo "$(wc -l <"$golden") symbols, as frozen"
