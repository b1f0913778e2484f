#!/usr/bin/env bash
# Checks gemmsmith on a machine that has a GPU, its driver and little else. See usage below.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/gpu_check.sh --build [--with-sanitizer]       on the machine that builds
       gpu_check.sh [--out DIR] [--allow-no-gpu] [--quick] [--with-sanitizer]   on the machine with the GPU

--build makes the folder build/gpu_check: command line, GPU tests and benchmarks, all but glibc linked statically,
NVRTC from the toolkit, and this script; under 60 MiB. Copy it as it is.
Without --build, from within that folder: runs the GPU tests, the main job and the benchmarks, beside cuBLAS where
libcublas is found, and writes DIR/results.json and DIR/log.txt (DIR: $OUT, else ./results).

  --out DIR          where the results go
  --allow-no-gpu     go on without a GPU: the GPU tests are skipped, the CPU runs
  --quick            tests and one small run; no demo, no benchmarks
  --with-sanitizer   with --build: copy compute-sanitizer from the toolkit; without: run tests under it as well
  --help             this text

Exit code: 0 all passed, 1 something failed, 2 usage, 3 no GPU.

Example:
  tools/gpu_check.sh --build && scp -r build/gpu_check gpu-host: && ssh gpu-host gpu_check/gpu_check.sh --out results
END
}

die() {
  echo "gpu_check: $2" >&2
  exit "$1"
}

# --- on the machine that builds ---

readonly max_mib=60

toolkit_folder() {
  local folder
  for folder in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda; do
    if [[ -n $folder && -d $folder/lib64 ]]; then
      echo "$folder"
      return
    fi
  done
}

copy_nvrtc() {
  local toolkit=$1 bundle=$2 library count=0
  for library in "$toolkit"/lib64/libnvrtc.so.[0-9]* "$toolkit"/lib64/libnvrtc-builtins.so.[0-9]*; do
    # Of several names of one file only the soname is looked up.
    if [[ ! -f $library || $(basename "$library") != "$(soname "$library")" ]]; then continue; fi
    gzip -9 --stdout "$library" >"$bundle/lib/$(basename "$library").gz"
    count=$((count + 1))
  done
  if ((count < 2)); then echo "gpu_check: no NVRTC in $toolkit/lib64: the GPU machine must have its own" >&2; fi
}

# Nothing but glibc is sure to be on the other machine, and what is carried along.
check_self_contained() {
  local needed
  needed=$(objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }' |
    grep -vE '^(libc|libm|libdl|librt|libpthread|ld-linux[^.]*|libsimdjson)\.so' || true)
  [[ -z $needed ]] || die 1 "$(basename "$1") would need ${needed//$'\n'/, } on the GPU machine: link it statically"
}

# simdjson, Google Benchmark and what they need, which programs look for beside their own folder.
carry_libraries() {
  local name path
  while read -r name path; do
    case $name in
      libsimdjson.so* | libbenchmark.so* | libstdc++.so* | libgcc_s.so*) cp -L "$path" "$2/lib/$name" ;;
    esac
  done < <(ldd "$1" | awk '$2 == "=>" { print $1, $3 }')
}

soname() { objdump -p "$1" | awk '$1 == "SONAME" { print $2 }'; }

build_bundle() {
  local source bundle toolkit mib
  source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  bundle=$source/build/gpu_check
  cd "$source"
  local tests=() test
  for test in tests/gpu/*_test.cc; do tests+=("$(basename "$test" .cc)"); done
  cmake --preset static-run
  cmake --build --preset static-run --target gemmsmith_cli gemmsmith-bench "${tests[@]}"
  rm -rf "$bundle"
  mkdir -p "$bundle/bin" "$bundle/lib"
  for test in gemmsmith gemmsmith-bench "${tests[@]}"; do
    strip --strip-all -o "$bundle/bin/$test" "build/static-run/$test"
    carry_libraries "build/static-run/$test" "$bundle"
    [[ $test == gemmsmith-bench ]] || check_self_contained "$bundle/bin/$test"
    gzip -9 "$bundle/bin/$test"
  done
  cp tools/gpu_check.sh "$bundle/"
  git describe --always --dirty >"$bundle/revision" 2>/dev/null || echo unknown >"$bundle/revision"
  toolkit=$(toolkit_folder)
  copy_nvrtc "$toolkit" "$bundle"
  if [[ $with_sanitizer == yes ]]; then
    [[ -d $toolkit/compute-sanitizer ]] ||
      die 1 "no compute-sanitizer in ${toolkit:-a CUDA toolkit}; install it, or leave out --with-sanitizer"
    cp -rL "$toolkit/compute-sanitizer" "$bundle/"
  fi
  mib=$(du --summarize --block-size=1M "$bundle" | cut -f1)
  ((mib <= max_mib)) || die 1 "build/gpu_check takes $mib MiB, the limit is $max_mib MiB"
  echo "build/gpu_check is ready: $mib MiB"
}

# --- on the machine with the GPU ---

# A JSON string of the text on stdin.
json_string() {
  printf '"%s"' "$(tr '\n\t' '  ' | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g; s/ *$//')"
}

# A file that holds one JSON document, or null.
json_file() {
  if [[ -s $1 ]]; then cat "$1"; else echo null; fi
}

unpack_bundle() {
  cp -r "$bundle/bin" "$bundle/lib" "$work/"
  gzip --decompress "$work"/bin/*.gz "$work"/lib/*.gz
  if compgen -G "$work/lib/libnvrtc.so.*" >/dev/null; then export GEMMSMITH_NVRTC=${GEMMSMITH_NVRTC:-$work/lib}; fi
}

# cuBLAS: where the loader looks, in a toolkit, or in pip's wheels of the python3 that is here.
find_cublas() {
  local folder
  if [[ $(ldconfig -p 2>/dev/null) == *libcublas.so.* ]]; then return; fi
  for folder in /usr/local/cuda/lib64 "${CUDA_HOME:-}/lib64" \
    "$(python3 -c 'import nvidia, os; print(os.path.join(list(nvidia.__path__)[0], "cu13", "lib"))' 2>/dev/null)" \
    "$(python3 -c 'import nvidia, os; print(os.path.join(list(nvidia.__path__)[0], "cublas", "lib"))' 2>/dev/null)"; do
    if compgen -G "$folder/libcublas.so.*" >/dev/null; then
      export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
      return
    fi
  done
}

# step NAME SECONDS COMMAND...: its standard output goes to $work/NAME.out, everything to the log.
step() {
  local name=$1 seconds=$2 code=0
  shift 2
  echo "== $name: $*" | tee -a "$log"
  timeout "$seconds" "$@" >"$work/$name.out" 2>"$work/$name.err" || code=$?
  cat "$work/$name.out" "$work/$name.err" >>"$log"
  steps+=("{\"name\": \"$name\", \"exit_code\": $code}")
  if ((code != 0)); then
    failed=1
    echo "gpu_check: $name failed with exit code $code (124: time limit); the end of what it said:" >&2
    tail -n 20 "$work/$name.out" "$work/$name.err" >&2
  fi
}

# Numbers of one test program's JSON: {"name": ..., "tests": ..., "failed": ..., "skipped": ...}.
test_summary() {
  local name=$1 report=$2 count=0 failures=0 skipped=0
  if [[ -s $report ]]; then
    count=$(grep -m1 -o '"tests": [0-9]*' "$report" | grep -o '[0-9]*')
    failures=$(grep -m1 -o '"failures": [0-9]*' "$report" | grep -o '[0-9]*')
    skipped=$(grep -c '"result": "SKIPPED"' "$report" || true)
  else
    count=1 failures=1
  fi
  printf '{"name": "%s", "tests": %d, "passed": %d, "failed": %d, "skipped": %d}' \
    "$name" "$count" $((count - failures - skipped)) "$failures" "$skipped"
}

run_tests() {
  local program name
  for program in "$work"/bin/gpu_*_test; do
    name=$(basename "$program")
    step "$name" 240 "$program" --gtest_brief=1 "--gtest_output=json:$work/$name.json"
    summaries+=("$(test_summary "$name" "$work/$name.json")")
  done
}

# The tests of small kernels and of memory; the table of shapes would take too long.
run_sanitizer() {
  local sanitizer=$bundle/compute-sanitizer/compute-sanitizer program
  if [[ $with_sanitizer == no ]]; then return; fi
  if [[ ! -x $sanitizer ]]; then sanitizer=compute-sanitizer; fi
  for program in gpu_runtime_test gpu_user_kernel_test; do
    step "sanitizer-$program" 240 "$sanitizer" --error-exitcode 1 "$work/bin/$program" --gtest_brief=1
  done
}

run_programs() {
  local cli=$work/bin/gemmsmith device=$1
  step run 120 "$cli" run --m 512 --n 4096 --k 4096 --dtype "$2" --device "$device" --check --json
  if [[ $quick == yes ]]; then return; fi
  step demo 240 "$cli" demo --json
  find_cublas
  step bench 240 "$work/bin/gemmsmith-bench" --benchmark_filter="$3" --benchmark_min_time=0.1 --benchmark_format=json
}

# Objects, one per argument, as a JSON array.
json_array() {
  local IFS=,
  printf '[%s]' "$*"
}

gpu_state() {
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,memory.total,power.limit \
    --format=csv,noheader 2>/dev/null || true
}

write_results() {
  cat >"$out/results.json" <<END
{
  "date": "$(date --utc +%Y-%m-%dT%H:%M:%SZ)",
  "revision": $(json_string <"$bundle/revision"),
  "gpu": $1,
  "nvidia_smi": {
    "fields": "name, driver, SM clock, largest SM clock, memory clock, memory, power limit",
    "before": $(json_string <<<"$2"),
    "after": $(gpu_state | json_string)
  },
  "ok": $([[ $failed == 0 ]] && echo true || echo false),
  "steps": $(json_array "${steps[@]}"),
  "tests": $(json_array "${summaries[@]}"),
  "devices": $(json_file "$work/devices.out"),
  "doctor": $(json_file "$work/doctor.out"),
  "run": $(json_file "$work/run.out"),
  "demo": $(json_file "$work/demo.out"),
  "benchmarks": $(json_file "$work/bench.out")
}
END
}

check_gpu() {
  local before gpu=true
  bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  [[ -f $bundle/bin/gemmsmith.gz ]] ||
    die 2 "$bundle holds no programs: run tools/gpu_check.sh --build, and then build/gpu_check/gpu_check.sh"
  mkdir -p "$out"
  out=$(cd "$out" && pwd)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  log=$out/log.txt
  : >"$log"
  export GEMMSMITH_CACHE_DIR=$work/cache
  unpack_bundle

  step devices 60 "$work/bin/gemmsmith" devices --json
  ((failed == 0)) || die 1 "the programs do not run on this machine"
  if ! grep -qE '"id": *"cuda:0"' "$work/devices.out"; then
    gpu=false
    local reason
    reason=$(grep -oE '"cuda_status": *"([^"\\]|\\.)*"' "$work/devices.out" || true)
    if [[ $allow_no_gpu == no ]]; then die 3 "no GPU here (${reason:-see $log}); --allow-no-gpu runs the CPU part"; fi
    echo "gpu_check: no GPU here (${reason:-see $log}): the CPU part alone"
  fi
  before=$(gpu_state)
  step doctor 60 "$work/bin/gemmsmith" doctor --json
  run_tests
  if [[ $gpu == true ]]; then
    run_sanitizer
    run_programs cuda:0 bf16 '^cuda_'
  else
    run_programs cpu f32 '^cpu_'
  fi
  write_results "$gpu" "$before"
  echo "gpu_check: results in $out/results.json"
  return "$failed"
}

build=no with_sanitizer=no allow_no_gpu=no quick=no
out=${OUT:-results}
failed=0 bundle='' work='' log=''
steps=() summaries=()
while (($# > 0)); do
  case $1 in
    --build) build=yes ;;
    --with-sanitizer) with_sanitizer=yes ;;
    --allow-no-gpu) allow_no_gpu=yes ;;
    --quick) quick=yes ;;
    --out)
      (($# > 1)) || die 2 "--out needs a folder"
      out=$2
      shift
      ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      usage >&2
      die 2 "unknown argument $1"
      ;;
  esac
  shift
done
if [[ $build == yes ]]; then build_bundle; else check_gpu; fi
