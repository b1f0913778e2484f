#!/usr/bin/env bash
# Who may include whom (ARCHITECTURE.md), and: no decision by architecture number outside the kernel families.
# Usage: include_direction.sh <source folder>    prints each violation; exit 1 if there is any
set -euo pipefail
cd "$1"

# Each layer, and what it may include besides itself. Files of no layer (tests) may include everything.
declare -A may_include=(
  [include]=""
  [util]="include"
  [core]="include util"
  [artifact]="include util core"
  [epilogue]="include util core"
  [cubin]="include util core artifact"
  [kernels]="include util core artifact epilogue cubin params"
  [select]="include util core artifact epilogue cubin params kernels"
  [results]="include util core artifact epilogue cubin params kernels"
  [jit]="include util core artifact epilogue cubin params kernels"
  [runtime]="include util core artifact epilogue cubin params kernels"
  [engine]="include util core artifact epilogue cubin params kernels select results jit runtime"
  [templates]="params"
  [params]=""
  [cli]="include"
  [examples]="include"
  [python]="include"
  [bench]="include util core artifact epilogue cubin params kernels select results jit runtime engine"
)

# The layer of file $1, in $layer: a folder of src/, a file that lies in src/ itself, or a folder of the top.
find_layer() {
  case $1 in
    src/templates/*params.h) layer=params ;;
    src/*) layer=${1#src/} layer=${layer%%/*} layer=${layer%%.*} ;;
    *) layer=${1%%/*} ;;
  esac
}

# The file that `#include "$2"` in file $1 means, in $target; empty: none.
find_target() {
  local candidate
  target=
  [[ $2 == gemmsmith/version.h ]] && target=include/$2 && return  # made by the build
  for candidate in "${1%/*}/$2" "include/$2" "src/$2" "src/templates/$2" "$2"; do
    [[ -e $candidate ]] && target=$candidate && break
  done
  [[ $target != *..* ]] || target=$(realpath --relative-to=. "$target")
}

violations=0
report() {
  echo "$1"
  violations=$((violations + 1))
}

check_include() {
  local file=$1 line=$2 text=$3 from target layer
  find_layer "$file"
  from=$layer
  if [[ ! -v may_include[$from] ]]; then
    [[ $file != src/* ]] || report "$file:$line: \"$from\" is no layer; add it to tests/scripts/include_direction.sh"
  elif [[ $text == *"<"*">"* ]]; then
    [[ $from != templates && $from != params ]] || report "$file:$line: templates include only each other: $text"
  elif [[ $text =~ \"(.*)\" ]]; then
    find_target "$file" "${BASH_REMATCH[1]}"
    find_layer "$target"
    if [[ -z $target ]]; then
      report "$file:$line: there is no such file: $text"
    elif [[ $layer != "$from" && " ${may_include[$from]} " != *" $layer "* ]]; then
      report "$file:$line: $from may not include $layer: $text"
    fi
  fi
}

folders=()
for folder in include src examples python bench; do [[ -d $folder ]] && folders+=("$folder"); done
while IFS=: read -r file line text; do
  check_include "$file" "$line" "$text"
done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' "${folders[@]}" \
              --include='*.h' --include='*.hpp' --include='*.cc' --include='*.def' --include='*.cuh')

# What differs between architectures is said once, in a family's own file (src/kernels). Besides these, a target's own
# table, the emitters of x86 code, the facts that a driver does not tell, and the device that emulates architectures may
# know one by its number.
may_decide='^src/(kernels/|core/target\.cc:|jit/x86/|runtime/cuda/device_query\.cc:|runtime/emulator/)'
number='(arch|sm|version|compute_capability|cc)(\(\))?[[:space:]]*(==|!=|<=?|>=?)[[:space:]]*[0-9]{2,}'
name='(==|!=)[[:space:]]*"(sm_|x86-64)'
while IFS= read -r hit; do
  report "$hit: a decision by architecture belongs into src/kernels"
done < <(grep -rnE "\b$number|$name" src --include='*.h' --include='*.cc' |
           grep -vE "$may_decide" || true)

if ((violations > 0)); then
  echo "$violations violation(s)"
  exit 1
fi
