// SPDX-License-Identifier: Apache-2.0
// Times the CPU's kernels against what the machine can do, measured in the same run.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "bench/harness.h"
#include "veloz/types.h"

namespace veloz::bench {
namespace {

int run(const Options& options) {
  Machine machine(options);
  print_peaks(machine);
  bool is_right = true;
  for (const auto& list : {linear_cases, attention_cases})
    for (const Case& c : list(machine))
      if (fmt::format("{} {} {}", c.bench, c.shape, c.kernel).find(options.filter) !=
          std::string::npos)
        is_right = run_case(machine, c) && is_right;
  return is_right ? 0 : 1;
}

}  // namespace
}  // namespace veloz::bench

int main(int argc, char** argv) {
  CLI::App app("Kernels of the CPU against the limits of this machine, measured in the same run.");
  veloz::bench::Options options;
  app.add_option("--threads", options.num_threads, "threads; all that this process may use");
  app.add_option("--runs", options.runs, "runs of each case, medians are reported")
      ->check(CLI::Range(1, 1000));
  app.add_option("--isa", options.isa, "portable, avx2, avx512 or avx512_bf16; the best");
  app.add_option("--filter", options.filter, "only cases whose line contains this");
  app.add_flag("--json", options.json, "one JSON object per case");
  app.footer("Example: veloz_bench_kernels --filter m=512 --runs 15");
  CLI11_PARSE(app, argc, argv);
  try {
    return veloz::bench::run(options);
  } catch (const veloz::Error& e) {
    fmt::print(stderr, "error: {}\nhint: {}\n", e.message(), e.hint());
    return 2;
  }
}
