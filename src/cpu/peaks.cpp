// SPDX-License-Identifier: Apache-2.0
#include "cpu/peaks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/error.h"
#include "cpu/parallel.h"
#include "cpu/peak_loops.h"

namespace veloz::cpu {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The instruction sequence behind a loop on one processor.
struct LoopCode {
  void (*run)(int64_t rounds) = nullptr;
  double ops_per_instruction = 0;
  int64_t instructions_per_round = 0;
};

LoopCode loop_code([[maybe_unused]] const CpuFeatures& features, [[maybe_unused]] PeakLoop loop) {
#if defined(__x86_64__)
  switch (loop) {
    case PeakLoop::fp32_fma:
      if (features.avx512f) return {run_peak_fma_avx512, 16 * 2, kPeakChains};
      if (features.fma) return {run_peak_fma_avx2, 8 * 2, kPeakChains / 2};
      return {};
    case PeakLoop::bf16_dot:
      if (features.avx512_bf16) return {run_peak_bf16_avx512, 16 * 2 * 2, kPeakChains};
      return {};
    case PeakLoop::int8_dot:
      if (features.avx512_vnni) return {run_peak_int8_avx512, 16 * 4 * 2, kPeakChains};
      if (features.avx_vnni) return {run_peak_int8_avx2_vnni, 8 * 4 * 2, kPeakChains / 2};
      if (features.avx512bw) return {run_peak_int16_avx512, 16 * 2 * 2, kPeakChains / 2};
      if (features.avx2) return {run_peak_int16_avx2, 8 * 2 * 2, kPeakChains / 2};
      return {};
  }
#endif
  return {};
}

auto read_code([[maybe_unused]] const CpuFeatures& features) {
#if defined(__x86_64__)
  if (features.avx512f) return read_all_avx512;
  if (features.avx2) return read_all_avx2;
#endif
  return read_all_portable;
}

}  // namespace

std::string_view to_string(PeakLoop loop) {
  constexpr std::array<std::string_view, 3> kNames = {"fp32_fma", "bf16_dot", "int8_dot"};
  return kNames.at(static_cast<size_t>(loop));
}

std::vector<PeakLoop> supported_peak_loops(const CpuFeatures& features) {
  std::vector<PeakLoop> loops;
  for (const PeakLoop loop : {PeakLoop::fp32_fma, PeakLoop::bf16_dot, PeakLoop::int8_dot})
    if (loop_code(features, loop).run != nullptr) loops.push_back(loop);
  return loops;
}

Peak measure_peak(ThreadPool& pool, const CpuFeatures& features, PeakLoop loop, double seconds) {
  const LoopCode code = loop_code(features, loop);
  VELOZ_CHECK(code.run != nullptr, "no loop {} for this processor", to_string(loop));
  // A first guess of the time per round, then one timed run of the length asked for.
  int64_t rounds = 100000;
  const auto timed = [&] {
    const auto start = Clock::now();
    pool.run([&](int) { code.run(rounds); });
    return seconds_since(start);
  };
  const double first = std::max(timed(), 1e-9);
  rounds =
      std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(rounds) * seconds / first));
  const double elapsed = timed();
  return {.loop = loop,
          .ops_per_s = static_cast<double>(rounds) *
                       static_cast<double>(code.instructions_per_round) * code.ops_per_instruction *
                       pool.num_threads() / elapsed,
          .ops_per_instruction = code.ops_per_instruction,
          .clock_hz = measure_clock_hz(),
          .num_threads = pool.num_threads()};
}

double measure_clock_hz() {
#if defined(__x86_64__)
  constexpr int64_t kRounds = 200000;
  constexpr int64_t kCycles = 24;  // of eight products that wait for each other; sums may take none
  const auto start = Clock::now();
  uint64_t chain = 0;
  for (int64_t i = 0; i < kRounds; ++i)
    asm volatile(
        "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\t"
        "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0"
        : "+r"(chain)
        :
        : "cc");
  return static_cast<double>(kRounds * kCycles) / seconds_since(start);
#else
  return 0;
#endif
}

double measure_read_bandwidth(ThreadPool& pool, const CpuFeatures& features,
                              std::span<const std::byte> memory) {
  const auto read_all = read_code(features);
  const auto num_steps = static_cast<int64_t>(memory.size() / kReadBytes);
  std::atomic<uint64_t> sink = 0;
  const auto start = Clock::now();
  pool.run([&](int thread_idx) {
    const Range steps = part_of(num_steps, thread_idx, pool.num_threads());
    sink ^= read_all(memory.data() + static_cast<size_t>(steps.begin) * kReadBytes,
                     static_cast<size_t>(steps.size()) * kReadBytes);
  });
  return static_cast<double>(num_steps) * kReadBytes / seconds_since(start);
}

std::string describe(const Peak& peak) {
  return fmt::format("{:9} {:6.0f} {} = {:.2f} GHz x {:.2f} units x {:.0f} x {} threads",
                     to_string(peak.loop), peak.ops_per_s * 1e-9,
                     peak.loop == PeakLoop::int8_dot ? "GOP/s  " : "GFLOP/s", peak.clock_hz * 1e-9,
                     peak.units(), peak.ops_per_instruction, peak.num_threads);
}

}  // namespace veloz::cpu
