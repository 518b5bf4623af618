// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "benchmark/dataset.h"
#include "cli/verbs.h"

namespace veloz::cli {

/// Verbs below `veloz bench`.
void add_bench_serve(CLI::App& bench, Action& action);
void add_bench_throughput(CLI::App& bench, Action& action);
void add_bench_latency(CLI::App& bench, Action& action);
void add_bench_sweep(CLI::App& bench, Action& action);

/// What to send: --dataset-name, --num-prompts, --random-input-len, ...
void add_dataset_flags(CLI::App& verb, benchmark::DatasetOptions& options);

}  // namespace veloz::cli
