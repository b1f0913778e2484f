#!/usr/bin/env bash
# Checks gemmsmith on a machine that has a GPU, its driver and little else. See usage below.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tools/gpu_check.sh --build [--with-sanitizer]       on the machine that builds
       gpu_check.sh [--out DIR] [--allow-no-gpu] [--quick] [--with-sanitizer]   on the machine with the GPU

--build makes the folder build/gpu_check: command line, tests and benchmark, all but glibc linked statically,
NVRTC from the toolkit, and this script; under 60 MiB. Copy it as it is.
Without --build, from within that folder: runs the GPU tests, those of every kernel family on the GPU in the place of the
emulated device, the main job, and the benchmark, beside cuBLASLt, torch and Triton where they are found. Writes
DIR/results.json, DIR/log.txt and, where there is a python3, DIR/report.md (DIR: $OUT, else ./results). At most 8 minutes.

  --out DIR          where the results go
  --allow-no-gpu     go on without a GPU: the GPU tests are skipped, the CPU runs
  --quick            the GPU tests and one small run; no kernel families, no demo, no benchmark
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

readonly max_mib=60 limit_seconds=460

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
    cp "$library" "$bundle/lib/"
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

# simdjson and what it needs, which programs look for beside their own folder.
carry_libraries() {
  local name path
  while read -r name path; do
    case $name in
      libsimdjson.so* | libstdc++.so* | libgcc_s.so*) cp -L "$path" "$2/lib/$name" ;;
    esac
  done < <(ldd "$1" | awk '$2 == "=>" { print $1, $3 }')
}

soname() { objdump -p "$1" | awk '$1 == "SONAME" { print $2 }'; }

build_bundle() {
  local source bundle toolkit mib
  source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  bundle=$source/build/gpu_check
  cd "$source"
  local programs=(gemmsmith-bench-gpu) program
  for program in tests/gpu/*_test.cc tests/property/{simt,sm}*_gemm_test.cc; do
    programs+=("$(basename "$program" .cc)")
  done
  cmake --preset static-run
  cmake --build --preset static-run --target gemmsmith_cli "${programs[@]}"
  rm -rf "$bundle"
  mkdir -p "$bundle/bin" "$bundle/lib"
  for program in gemmsmith "${programs[@]}"; do
    strip --strip-all -o "$bundle/bin/$program" "build/static-run/$program"
    carry_libraries "build/static-run/$program" "$bundle"
    check_self_contained "$bundle/bin/$program"
  done
  cp tools/gpu_check.sh tools/{gpu_report,gpu_torch,cpu_report}.py "$bundle/"
  git describe --always --dirty >"$bundle/revision" 2>/dev/null || echo unknown >"$bundle/revision"
  toolkit=$(toolkit_folder)
  copy_nvrtc "$toolkit" "$bundle"
  if [[ $with_sanitizer == yes ]]; then
    [[ -d $toolkit/compute-sanitizer ]] ||
      die 1 "no compute-sanitizer in ${toolkit:-a CUDA toolkit}; install it, or leave out --with-sanitizer"
    cp -rL "$toolkit/compute-sanitizer" "$bundle/"
  fi
  # The programs have the library in common: packed together, with a dictionary that spans them all, it is there once.
  tar --create --directory "$bundle" bin lib | xz --lzma2=preset=6,dict=192MiB --stdout >"$bundle/programs.tar.xz"
  rm -r "${bundle:?}"/{bin,lib}
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
  if command -v xz >/dev/null; then
    xz --decompress --stdout "$bundle/programs.tar.xz"
  elif command -v python3 >/dev/null; then
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$bundle/programs.tar.xz"
  else
    die 1 "neither xz nor python3 is here to unpack the programs: install xz-utils"
  fi | tar --extract --directory "$work"
  if compgen -G "$work/lib/libnvrtc.so.*" >/dev/null; then export GEMMSMITH_NVRTC=${GEMMSMITH_NVRTC:-$work/lib}; fi
}

# cuBLASLt: where the loader looks, in a toolkit, or in pip's wheels of the python3 that is here.
find_cublas() {
  local folder
  if [[ $(ldconfig -p 2>/dev/null) == *libcublasLt.so.* ]]; then return; fi
  for folder in /usr/local/cuda/lib64 "${CUDA_HOME:-}/lib64" \
    "$(python3 -c 'import nvidia, os; print(os.path.join(list(nvidia.__path__)[0], "cu13", "lib"))' 2>/dev/null)" \
    "$(python3 -c 'import nvidia, os; print(os.path.join(list(nvidia.__path__)[0], "cublas", "lib"))' 2>/dev/null)"; do
    if compgen -G "$folder/libcublasLt.so.*" >/dev/null; then
      export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
      return
    fi
  done
}

# step NAME SECONDS COMMAND...: its standard output goes to $work/NAME.out, everything to the log.
step() {
  local name=$1 seconds=$2 code=0 left=$((limit_seconds - SECONDS))
  shift 2
  if ((left < 1)); then left=1; fi
  if ((seconds > left)); then seconds=$left; fi
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
    step "$name" 120 "$program" --gtest_brief=1 "--gtest_output=json:$work/$name.json"
    summaries+=("$(test_summary "$name" "$work/$name.json")")
  done
}

# All shards of a program at once, since most of their time goes to compiling; the exit code of one that failed.
shards() {
  local count=$1 program=$2 name=$3 shard pids=() pid code=0
  for ((shard = 0; shard < count; ++shard)); do
    GTEST_TOTAL_SHARDS=$count GTEST_SHARD_INDEX=$shard "$program" --gtest_brief=1 \
      "--gtest_output=json:$work/$name-$shard.json" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
  return "$code"
}

# Every family's table of shapes, types and configurations, as it runs on the emulated devices everywhere else.
run_families() {
  local program name shard count
  count=$(nproc)
  if ((count > 8)); then count=8; fi
  export GEMMSMITH_TEST_DEVICE=cuda:0 work
  export -f shards
  for program in "$work"/bin/{simt,sm}*_gemm_test; do
    name=$(basename "$program")
    step "$name" 150 bash -c 'shards "$@"' shards "$count" "$program" "$name"
    for ((shard = 0; shard < count; ++shard)); do
      summaries+=("$(test_summary "$name-$shard" "$work/$name-$shard.json")")
    done
  done
}

# The tests of memory and of small kernels, and the smallest of the families'; tables of shapes would take too long.
run_sanitizer() {
  local sanitizer=$bundle/compute-sanitizer/compute-sanitizer tool
  if [[ $with_sanitizer == no ]]; then return; fi
  if [[ ! -x $sanitizer ]]; then sanitizer=compute-sanitizer; fi
  if "$sanitizer" "$work/bin/gpu_user_kernel_test" --gtest_brief=1 2>&1 | grep -q 'Device not supported'; then
    echo "== no sanitizer: it says that this device is not supported (as under some virtual machines)" | tee -a "$log"
    return
  fi
  for tool in memcheck racecheck; do
    step "$tool-runtime" 60 "$sanitizer" --tool "$tool" --error-exitcode 1 "$work/bin/gpu_runtime_test" --gtest_brief=1
    step "$tool-sm90" 90 env GEMMSMITH_TEST_DEVICE=cuda:0 "$sanitizer" --tool "$tool" --error-exitcode 1 \
      "$work/bin/sm90_gemm_test" --gtest_brief=1 --gtest_filter='*IsWhatAnEngineChooses:*LeavesWhat*'
  done
}

run_programs() {
  local cli=$work/bin/gemmsmith device=$1
  step run 120 "$cli" run --m 512 --n 4096 --k 4096 --dtype "$2" --device "$device" --check --json
  if [[ $quick == no ]]; then step demo 120 "$cli" demo --json; fi
}

run_bench() {
  find_cublas
  step bench 150 "$work/bin/gemmsmith-bench-gpu"
  if ! command -v python3 >/dev/null; then return; fi
  local code=0
  timeout $((limit_seconds > SECONDS + 91 ? 90 : 1)) python3 "$bundle/gpu_torch.py" "$work/bench.out" >"$work/torch.out" 2>"$work/torch.err" || code=$?
  cat "$work/torch.err" >>"$log"
  if ((code != 0)); then
    echo "gpu_check: nothing of torch and Triton: $(tail -n 1 "$work/torch.err")" | tee -a "$log"
    : >"$work/torch.out"
  fi
}

write_report() {
  if ! command -v python3 >/dev/null || [[ ! -s $work/bench.out ]]; then return; fi
  local files=("$out/results.json")
  if [[ -s $work/torch.out ]]; then files+=("$work/torch.out"); fi
  python3 "$bundle/gpu_report.py" "${files[@]}" >"$out/report.md"
  echo "gpu_check: a table in $out/report.md"
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
  "torch": $(json_file "$work/torch.out"),
  "benchmarks": $(json_file "$work/bench.out")
}
END
}

check_gpu() {
  local before gpu=true
  bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  [[ -f $bundle/programs.tar.xz ]] ||
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
    if [[ $quick == no ]]; then run_families; fi
    run_sanitizer
    run_programs cuda:0 bf16
    if [[ $quick == no ]]; then run_bench; fi
  else
    run_programs cpu f32
  fi
  write_results "$gpu" "$before"
  write_report
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
