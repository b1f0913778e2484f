# Each target installs what it lacks (Debian packages, by apt), configures, builds and runs. The second time is quick, and
# needs neither root nor network.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
ARGS ?=
SECONDS ?= 60

build_with = cmake --build --preset $(1) --parallel $(JOBS)

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+( [a-z]+)*:.*## / { printf "  make %-15s  %s\n", $$1, $$2 }' Makefile

.PHONY: demo build bench bench-gpu bench-cpu test install
demo: build ## Every layer of DeepSeek-V3 and Llama-3-8B on the best device here (ARGS=--full: m=4096 too)
	build/release/gemmsmith demo $(ARGS)

build: build/release/build.ninja ## The command line, at build/release/gemmsmith
	@$(call build_with,release) --target gemmsmith_cli

test: dev ## All tests; what needs a GPU skips itself where there is none
	@ctest --preset dev --parallel $(JOBS) && tools/why_skipped.sh build/dev

bench: build/release/build.ninja ## Overheads, caches, compile times (ARGS: of gemmsmith-bench)
	@$(call build_with,release) --target gemmsmith_bench gemmsmith_host_bench
	build/release/gemmsmith-bench $(ARGS)
	build/release/gemmsmith-host-bench $(ARGS)

bench-gpu: build/release/build.ninja ## CUDA kernels beside cuBLASLt on the first GPU; a table into build/bench-gpu.md (ARGS="--set bf16")
	@$(call build_with,release) --target gemmsmith_bench_gpu
	build/release/gemmsmith-bench-gpu --json build/bench-gpu.json $(ARGS)
	@tools/gpu_report.py build/bench-gpu.json > build/bench-gpu.md

bench-cpu: ## CPU kernels beside other libraries; tables and plots into bench/results (ARGS="--set f32 --threads 1")
	@tools/setup.sh build bench wheels
	@cmake --preset release
	@$(call build_with,release) --target gemmsmith_bench_cpu
	build/release/gemmsmith-bench-cpu --libraries build/peers/lib --json build/bench-cpu.json $(ARGS)
	@tools/cpu_report.py bench/results/$$(date +%F)-cpu build/bench-cpu.json

install: build/release/build.ninja ## Headers, libraries, command line, CMake and pkg-config files (PREFIX=/usr/local)
	@$(call build_with,release) --target gemmsmith_cli gemmsmith_static gemmsmith_shared gemmsmith_bundle
	cmake --install build/release --prefix "$(PREFIX)"

.PHONY: dev asan ubsan tsan
dev: build/dev/build.ninja ## Everything, optimised, with library assertions, warnings as errors
	@$(call build_with,dev)

asan ubsan tsan: %: build/%/build.ninja ## The tests under the address, undefined-behaviour or thread sanitizer
	@$(call build_with,$@)
	@ctest --preset $@ --parallel $(JOBS)

.PHONY: python-asan
python-asan: build/python-asan/build.ninja ## The Python tests under the address and undefined-behaviour sanitizers; the module's leaks
	@$(call build_with,$@) --target gemmsmith_python
	@tools/python_asan.sh build/python-asan $(ARGS)

.PHONY: fuzz format tidy clean
fuzz: ## Every fuzzer under the address sanitizer, SECONDS=60 each; seeds: tests/fuzz/corpus; more stay in build/
	@tools/setup.sh build fuzz
	@cmake --preset fuzz
	@$(call build_with,fuzz) --target fuzzers
	@for fuzzer in build/fuzz/*_fuzz; do \
	  name="$$(basename "$$fuzzer")"; mkdir -p "build/fuzz/corpus/$$name"; \
	  echo "== $$name"; "$$fuzzer" -max_total_time=$(SECONDS) -print_final_stats=1 "build/fuzz/corpus/$$name" \
	    $$(find tests/fuzz/corpus -type d -name "$$name") 2>&1 | tail -n 8 || exit 1; \
	done
sources = git ls-files -z --cached --others --exclude-standard
format: ## clang-format on all sources
	@tools/setup.sh style
	@$(sources) '*.h' '*.hpp' '*.cc' '*.cuh' | xargs -0 clang-format -i

# Without what only GCC knows.
tidy: dev ## clang-tidy on all sources
	@tools/setup.sh style
	@mkdir -p build/tidy
	@sed -E 's/ -mmem(cpy|set)-strategy=[^ ]*//g' build/dev/compile_commands.json > build/tidy/compile_commands.json
	@$(sources) 'src/*.cc' 'tests/*.cc' 'examples/*.cc' 'bench/*.cc' | \
	  xargs -0 --max-args=1 --max-procs=$(JOBS) clang-tidy -p build/tidy --quiet

clean: ## Removes build/
	rm -rf build

# Ninja configures again by itself when the CMake files change; the presets it does not know.
build/%/build.ninja: CMakePresets.json | packages
	cmake --preset $*

.PHONY: packages
packages:
	@tools/setup.sh build

# The tests are of the Python package too, where it can be built.
build/dev/build.ninja build/python-asan/build.ninja: | python-tools
.PHONY: python-tools
python-tools: packages
	@tools/setup.sh python
