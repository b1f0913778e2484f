#!/usr/bin/env bash
# File lengths, and the format where the clang-format that the project uses is installed (`make format` installs it).
# Usage: style.sh <source folder>    exit 77: skipped in part
set -euo pipefail
cd "$1"
max_lines=600
mapfile -d '' files < <(find include src tests bench examples python tools cmake -type f \
  \( -name '*.h' -o -name '*.hpp' -o -name '*.cc' -o -name '*.cuh' -o -name '*.sh' -o -name '*.cmake' \) -print0)
failed=0
for file in "${files[@]}"; do
  lines=$(wc -l <"$file")
  ((lines <= max_lines)) || { echo "$file: $lines lines; at most $max_lines"; failed=1; }
done

# Other versions break lines elsewhere.
wanted=14
version=$(clang-format --version 2>/dev/null | grep -oE 'version [0-9]+' || true)
if [[ $version == "version $wanted" ]]; then
  printf '%s\0' "${files[@]}" | grep -zE '\.(h|hpp|cc|cuh)$' | xargs -0 clang-format --dry-run --Werror || failed=1
else
  echo "skipped: the format is not checked, for there is no clang-format $wanted (make format installs it)"
fi
((failed == 0)) || { echo "make format mends the format"; exit 1; }
[[ $version == "version $wanted" ]] || exit 77
