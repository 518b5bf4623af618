// SPDX-License-Identifier: Apache-2.0
#include "bench/harness.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "base/dtype.h"
#include "base/error.h"
#include "base/philox.h"
#include "cpu/device.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace veloz::bench {
namespace {

constexpr size_t kArenaBytes = size_t{1} << 30;
constexpr double kPeakSeconds = 0.02;

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

/// bf16 numbers in (-1, 1), the same on every machine. Their bytes are codes of fp8 too, and none
/// of them NaN.
void fill_random(ThreadPool& pool, std::span<std::byte> memory) {
  pool.run([&](int thread_idx) {
    const cpu::Range part =
        cpu::part_of(static_cast<int64_t>(memory.size() / 16), thread_idx, pool.num_threads());
    for (int64_t i = part.begin; i < part.end; ++i) {
      const auto flat = static_cast<uint32_t>(i);
      // A cheap mixer: the numbers only have to be finite and to differ.
      uint64_t word = (flat + 1) * uint64_t{0x9E3779B97F4A7C15};
      uint64_t lanes[2];
      for (uint64_t& lane : lanes) {
        word ^= word >> 29;
        word *= uint64_t{0xBF58476D1CE4E5B9};
        lane = (word & 0x8077807780778077u) | 0x3e803e803e803e80u;  // sign, mantissa | exponent
      }
      std::memcpy(memory.data() + i * 16, lanes, sizeof(lanes));
    }
  });
}

cpu::Isa chosen_isa(const Options& options, const cpu::CpuFeatures& features) {
  if (options.isa.empty()) return cpu::best_isa(features);
  const cpu::Isa isa = cpu::parse_isa(options.isa);
  cpu::require_isa(isa, features);
  return isa;
}

/// A limit is what can be reached: whatever disturbs one measurement of it lowers the bar.
double best_of_three(const std::function<double()>& measure) {
  return std::max({measure(), measure(), measure()});
}

double seconds_per_call(const Case& c) {
  if (c.seconds) return c.seconds();
  return seconds_of([&] {
           for (int64_t call = 0; call < c.calls; ++call) c.run(call);
         }) /
         static_cast<double>(c.calls);
}

}  // namespace

Machine::Machine(const Options& options)
    : options_(options),
      features_(cpu::detect_features()),
      isa_(chosen_isa(options, features_)),
      registry_(cpu::make_registry(isa_)),
      pool_(options.num_threads > 0 ? options.num_threads : default_num_threads()),
      arena_(cpu::CpuDevice().allocate(kArenaBytes)) {
  cpu::touch_pages(pool_, arena());
  fill_random(pool_, arena());
}

double Machine::read_bandwidth() {
  return best_of_three([&] { return cpu::measure_read_bandwidth(pool_, features_, arena()); });
}
double Machine::peak(cpu::PeakLoop loop) {
  return best_of_three(
      [&] { return cpu::measure_peak(pool_, features_, loop, kPeakSeconds).ops_per_s; });
}
bool Machine::has(cpu::PeakLoop loop) const {
  return std::ranges::count(cpu::supported_peak_loops(features_), loop) > 0;
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

double seconds_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void add_flags(CLI::App& app, Options& options) {
  app.add_option("--threads", options.num_threads, "threads; all that this process may use");
  app.add_option("--runs", options.runs, "runs of each case, medians are reported")
      ->check(CLI::Range(1, 1000));
  app.add_option("--isa", options.isa,
                 "portable, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16 or avx512_bf16_dot; "
                 "the best");
  app.add_option("--filter", options.filter, "only cases whose line contains this");
  app.add_flag("--json", options.json, "one JSON object per case");
}

int run_main(CLI::App& app, int argc, char** argv, const std::function<int()>& run) {
  CLI11_PARSE(app, argc, argv);
  try {
    return run();
  } catch (const Error& e) {
    fmt::print(stderr, "error: {}\nhint: {}\n", e.message(), e.hint());
    return 2;
  }
}

void print_peaks(Machine& machine) {
  if (machine.options().json) return;
  for (const cpu::PeakLoop loop : cpu::supported_peak_loops(machine.features()))
    fmt::print("{}\n", describe(cpu::measure_peak(machine.pool(), machine.features(), loop, 0.1)));
  std::vector<double> reads;
  for (int run = 0; run < machine.options().runs; ++run) reads.push_back(machine.read_bandwidth());
  fmt::print("DRAM read {:6.1f} GB/s, 1 GiB in huge pages, median of {}\n\n", median(reads) * 1e-9,
             reads.size());
}

bool run_case(Machine& machine, const Case& c) {
  const std::string wrong = c.check();  // warms up, too
  if (!wrong.empty()) {
    fmt::print(stderr, "error: {} {} ({}): {}\n", c.bench, c.shape, c.kernel, wrong);
    return false;
  }
  // As in a profile: what the processor has no instruction for goes at fp32_fma.
  const cpu::PeakLoop loop = machine.has(c.loop) ? c.loop : cpu::PeakLoop::fp32_fma;
  std::vector<double> times, compute_limits, memory_limits, ratios;
  for (int run = 0; run < machine.options().runs; ++run) {
    double compute = machine.has(loop) ? c.flops / machine.peak(loop) : 0;
    if (c.extra_fp32_flops > 0)
      compute += c.extra_fp32_flops / machine.peak(cpu::PeakLoop::fp32_fma);
    const double memory = c.bytes / machine.read_bandwidth();
    const double time = seconds_per_call(c);
    times.push_back(time);
    compute_limits.push_back(compute);
    memory_limits.push_back(memory);
    ratios.push_back(std::max(compute, memory) / time);
  }
  const double time = median(times);
  const bool is_memory_bound = median(memory_limits) > median(compute_limits);
  const std::string limit = is_memory_bound ? "measured_dram_bandwidth"
                                            : fmt::format("measured_{}_peak", to_string(loop));
  if (machine.options().json) {
    fmt::print(
        "{{\"bench\": \"{}\", \"backend\": \"{}\", \"shape\": \"{}\", \"threads\": {}, \"runs\": "
        "{}, "
        "\"median_us\": {:.1f}, \"p10_us\": {:.1f}, \"p90_us\": {:.1f}, \"gflops\": {:.1f}, "
        "\"gb_per_s\": {:.2f}, \"tokens_per_s\": {:.2f}, \"against\": \"{}\", \"ratio\": "
        "{:.3f}}}\n",
        c.bench, c.kernel, c.shape, machine.pool().num_threads(), machine.options().runs,
        time * 1e6, quantile(times, 0.1) * 1e6, quantile(times, 0.9) * 1e6,
        (c.flops + c.extra_fp32_flops) / time * 1e-9, c.bytes / time * 1e-9, c.tokens / time, limit,
        median(ratios));
  } else {
    const std::string tokens =
        c.tokens > 0 ? fmt::format("{:7.1f} tokens/s", c.tokens / time) : std::string();
    fmt::print(
        "{:18} {:30} {:9.1f} us {:7.0f} GFLOP/s {:6.1f} GB/s {} {:3.0f} % of {} [{:.0f}-{:.0f}]\n",
        c.bench, c.shape, time * 1e6, (c.flops + c.extra_fp32_flops) / time * 1e-9,
        c.bytes / time * 1e-9, tokens, median(ratios) * 100, limit, quantile(ratios, 0.1) * 100,
        quantile(ratios, 0.9) * 100);
  }
  std::fflush(stdout);
  return true;
}

}  // namespace veloz::bench
