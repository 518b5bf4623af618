// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/device.h"
#include "base/thread_pool.h"
#include "cpu/features.h"
#include "cpu/peaks.h"
#include "ops/kernel.h"

namespace CLI {
class App;
}

namespace veloz::bench {

struct Options {
  int num_threads = 0;  // 0: as many as this process may use
  int runs = 9;         // of each case, alternated with its limits
  bool json = false;
  std::string isa;     // "": the best that this processor has
  std::string filter;  // only cases whose name contains it
};

/// What every case needs: threads, kernels, and memory larger than any cache.
class Machine {
 public:
  explicit Machine(const Options& options);

  const Options& options() const { return options_; }
  const cpu::CpuFeatures& features() const { return features_; }
  const ops::KernelRegistry& registry() const { return registry_; }
  ThreadPool& pool() { return pool_; }
  /// 1 GiB in huge pages, touched, filled with random finite bf16 numbers below 1 in magnitude.
  std::span<std::byte> arena() const {
    return {static_cast<std::byte*>(arena_.data()), arena_.bytes()};
  }
  /// Measured now, on all threads.
  double read_bandwidth();
  double peak(cpu::PeakLoop loop);
  bool has(cpu::PeakLoop loop) const;

 private:
  Options options_;
  cpu::CpuFeatures features_;
  cpu::Isa isa_;
  ops::KernelRegistry registry_;
  ThreadPool pool_;
  Buffer arena_;
};

/// One thing to time, and what bounds it.
struct Case {
  std::string bench;   // "linear"
  std::string shape;   // "m=512 n=2560 k=2048"
  std::string kernel;  // "linear/avx512_bf16_dot"
  double flops = 0;    // per call
  cpu::PeakLoop loop = cpu::PeakLoop::fp32_fma;
  double extra_fp32_flops = 0;  // besides `flops`, at the rate of fp32_fma
  double bytes = 0;             // that must come from memory, per call
  double tokens = 0;            // per call, where the rate of tokens is what people ask for
  int64_t calls = 1;            // per run
  std::function<void(int64_t call)> run{};
  std::function<double()> seconds{};     // of one call, where it is not the time of `run`
  std::function<std::string()> check{};  // what is wrong with the output, or nothing
};

/// Checks, then times `c` alternately with the peaks that bound it, and prints one line. Tells
/// whether the output was right.
bool run_case(Machine& machine, const Case& c);

double median(std::vector<double> values);
double seconds_of(const std::function<void()>& f);

void add_flags(CLI::App& app, Options& options);
/// Parses the command line and runs `run`; the exit code, errors on stderr.
int run_main(CLI::App& app, int argc, char** argv, const std::function<int()>& run);

/// The measured peaks beside clock x units x width, and the bandwidth of memory.
void print_peaks(Machine& machine);

std::vector<Case> linear_cases(Machine& machine);
std::vector<Case> quantized_linear_cases(Machine& machine);
std::vector<Case> attention_cases(Machine& machine);

}  // namespace veloz::bench
