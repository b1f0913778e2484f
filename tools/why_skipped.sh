#!/usr/bin/env bash
# The reasons for which tests of the last ctest run skipped themselves, each once, with their number.
# Usage: tools/why_skipped.sh <build folder>
set -euo pipefail
awk '/: Skipped$/ { getline; count[$0]++ }                      # GTEST_SKIP() << reason
     sub(/^skipped: /, "") { count[$0]++ }                      # tests/scripts
     END { for (reason in count) printf "skipped %d: %s\n", count[reason], reason }' \
  "$1/Testing/Temporary/LastTest.log" | sort
