# SPDX-License-Identifier: Apache-2.0
# The everyday commands. `make help` lists them; CMake presets do the work.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
JOBS ?= $(shell nproc)
ENGINES ?= build/engines

.PHONY: help setup demo build test test-full bench format format-check lint clean

help:  ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1|/' | column -t -s '|'

setup:  ## Install the packages the build needs (asks for sudo only when not root)
	@scripts/bootstrap

build: setup  ## Build the optimised program (build/release/veloz)
	@cmake --preset release -DVELOZ_BUILD_TESTS=OFF -DVELOZ_BUILD_BENCH=OFF $(CMAKE_ARGS) > build-configure.log 2>&1 \
	  || { cat build-configure.log; exit 1; }
	@rm -f build-configure.log
	@cmake --build --preset release -j $(JOBS) --target veloz | { grep -vE 'ninja: no work to do' || true; }

demo: build  ## Compile the bundled chat model into an engine and let it answer (PROMPT="...")
	@build/release/veloz chat models/tiny-llama --cache-dir $(ENGINES) --stats \
	  --prompt "$${PROMPT:-$$(cat models/tiny-llama/demo_prompt.txt)}"

test: setup  ## Unit, golden and end-to-end tests (under 15 minutes with the build on 2 cores)
	@cmake --preset dev > /dev/null && cmake --build --preset dev -j $(JOBS)
	@ctest --preset dev --no-tests=error

test-full: test  ## What takes longer: lint, sanitizers, fuzzing, models of real size
	@scripts/bootstrap --full
	@scripts/test-full

bench: setup  ## Build and run the benchmarks
	@cmake --preset release -DVELOZ_BUILD_BENCH=ON > /dev/null
	@cmake --build --preset release -j $(JOBS) --target veloz_bench_kernels veloz_bench_engine \
	  veloz_bench_scheduler veloz_bench_handover
	@build/release/bench/veloz_bench_kernels
	@build/release/bench/veloz_bench_engine --cache build/bench-cache
	@build/release/bench/veloz_bench_scheduler
	@build/release/bench/veloz_bench_handover

format:  ## Format all C++ with clang-format
	@git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format -i

format-check:
	@git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' | xargs clang-format --dry-run -Werror

lint: format-check  ## clang-format on all C++, headers alone, clang-tidy on src
	@JOBS=$(JOBS) scripts/lint

clean:  ## Remove everything built
	@rm -rf build
