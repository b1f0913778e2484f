#!/usr/bin/env bash
# Every GEMMSMITH_* variable that the sources read has a row in docs/environment.md, and every row is read.
# Usage: environment_table.sh <source folder>
set -euo pipefail
cd "$1"
export LC_ALL=C
read_in_sources=$(grep -rhoE '"GEMMSMITH_[A-Z0-9_]+"' src include --include='*.cc' --include='*.h' | tr -d '"' | sort -u)
in_table=$(sed -nE 's/^\| `(GEMMSMITH_[A-Z0-9_]+)` .*/\1/p' docs/environment.md | sort -u)
[[ -n $read_in_sources ]] || { echo "no variable found in the sources: this check looks in the wrong place"; exit 1; }
if ! diff --unified=0 --label "rows of docs/environment.md" --label "read by the sources" \
    <(echo "$in_table") <(echo "$read_in_sources"); then
  exit 1
fi
echo "$(wc -l <<<"$in_table") variables, all documented"
