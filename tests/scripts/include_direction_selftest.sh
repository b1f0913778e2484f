#!/usr/bin/env bash
# Plants one violation at a time and expects include_direction.sh to name it; and expects a clean tree to pass.
set -euo pipefail
check=$(dirname "$(readlink -f "$0")")/include_direction.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A clean tree, in which every layer includes something that it may.
clean() {
  rm -rf "${work:?}/tree"
  mkdir -p "$work/tree" && cd "$work/tree"
  mkdir -p include/gemmsmith src/{util,core,kernels,select,results,jit/cache,runtime,engine,cli,templates/ptx} examples bench
  touch include/gemmsmith/engine.h src/util/log.h src/core/c.h src/artifact.h src/kernels/family.h src/select/cost_model.h \
    src/results/r.h src/jit/key.h src/runtime/r.h src/engine/plan.h src/cli/options.h src/templates/{a.cuh,params.h,ptx/mma.cuh}
  printf '#include "gemmsmith/version.h"\n#include <vector>\n' >include/gemmsmith/gemmsmith.h
  printf '#include "util/log.h"\n#include "core/c.h"\n' >src/artifact.cc
  printf '#include "artifact.h"\n#include "templates/params.h"\nif (target.version >= 80) return;\n' >src/kernels/simt.cc
  printf '#include "kernels/family.h"\n#include "jit/key.h"\n#include "gemmsmith/engine.h"\n' >src/jit/cache/store.cc
  printf '#include "select/cost_model.h"\n#include "jit/key.h"\n#include "runtime/r.h"\n' >src/engine/engine.cc
  printf '#include "gemmsmith/engine.h"\n#include "options.h"\n#include "cli/options.h"\n' >src/cli/run.cc
  printf '#include "ptx/mma.cuh"\n#include "params.h"\n' >src/templates/gemm.cuh
  printf '#include "gemmsmith/engine.h"\n' >examples/forward.cc
  printf '#include "kernels/family.h"\n' >bench/gemm.cc
}

clean
bash "$check" . || { echo "a clean tree was refused"; exit 1; }

planted=0
while IFS='|' read -r file text complaint; do
  clean
  mkdir -p "$(dirname "$file")"
  printf '%s\n' "$text" >>"$file"
  if output=$(bash "$check" .); then
    echo "not found: $file: $text"
    exit 1
  fi
  grep -qF "$complaint" <<<"$output" || { echo "$file: $text: wrong complaint: $output"; exit 1; }
  planted=$((planted + 1))
done <<'EOF'
include/gemmsmith/engine.h|#include "util/log.h"|include may not include util
src/util/log.h|#include "core/c.h"|util may not include core
src/core/c.h|#include "artifact.h"|core may not include artifact
src/artifact.h|#include "kernels/family.h"|artifact may not include kernels
src/kernels/simt.cc|#include "jit/key.h"|kernels may not include jit
src/select/cost_model.h|#include "jit/key.h"|select may not include jit
src/select/cost_model.h|#include "results/r.h"|select may not include results
src/results/r.h|#include "select/cost_model.h"|results may not include select
src/jit/key.h|#include "../runtime/r.h"|jit may not include runtime
src/runtime/r.h|#include "jit/cache/../key.h"|runtime may not include jit
src/runtime/r.h|  #  include "engine/plan.h"|runtime may not include engine
src/kernels/simt.cc|#include "templates/gemm.cuh"|kernels may not include templates
src/templates/gemm.cuh|#include <cuda_fp16.h>|templates include only each other
src/templates/params.h|#include "a.cuh"|params may not include templates
src/templates/gemm.cuh|#include "util/log.h"|templates may not include util
src/cli/run.cc|#include "util/log.h"|cli may not include util
examples/forward.cc|#include "engine/plan.h"|examples may not include engine
src/engine/engine.cc|#include "engine/gone.h"|no such file
src/fresh/new.cc|#include <vector>|"fresh" is no layer
src/jit/key.h|if (target.version >= 90) wide();|belongs into src/kernels
src/engine/engine.cc|if (ToString(target) == "sm_90a") wide();|belongs into src/kernels
EOF
echo "$planted planted violations found"
