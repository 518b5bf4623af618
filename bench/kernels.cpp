// SPDX-License-Identifier: Apache-2.0
// Times the CPU's kernels against what the machine can do, measured in the same run.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "bench/harness.h"

namespace veloz::bench {
namespace {

int run(const Options& options) {
  Machine machine(options);
  print_peaks(machine);
  bool is_right = true;
  for (const auto& list : {linear_cases, quantized_linear_cases, attention_cases})
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
  veloz::bench::add_flags(app, options);
  app.footer("Example: veloz_bench_kernels --filter m=512 --runs 15");
  return veloz::bench::run_main(app, argc, argv, [&] { return veloz::bench::run(options); });
}
