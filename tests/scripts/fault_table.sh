#!/usr/bin/env bash
# Every row of tests/fault/README.md names a test that exists, or says why there is none.
# Usage: fault_table.sh <source folder>    prints each violation; exit 1 if there is any
set -euo pipefail
cd "$1/tests"
failed=0 rows=0 tests=0

reference='`([a-z]+/[a-z_]+_test\.cc): ([A-Za-z0-9]+)\.([A-Za-z0-9]+)`'
while IFS= read -r row; do
  rows=$((rows + 1))
  rest=$row named=0
  while [[ $rest =~ $reference ]]; do
    file=${BASH_REMATCH[1]} suite=${BASH_REMATCH[2]} name=${BASH_REMATCH[3]} rest=${rest#*"${BASH_REMATCH[0]}"}
    named=$((named + 1))
    # clang-format may break the line after the suite.
    [[ -f $file ]] && tr -s ' \n' ' ' <"$file" | grep -qE "TEST(_F|_P)?\($suite, $name\)" ||
      { echo "there is no $suite.$name in tests/$file"; failed=1; }
  done
  ((named > 0)) || [[ $row == *"| cannot occur: "* || $row == *"| with the results cache |" ]] ||
    { echo "this row names no test, and no reason: $row"; failed=1; }
  tests=$((tests + named))
done < <(grep -E '^\| [0-9]+ \|' fault/README.md)

((rows > 0)) || { echo "no row found in tests/fault/README.md: this check looks in the wrong place"; exit 1; }
((failed == 0)) || exit 1
echo "$rows faults, $tests tests named, all there"
