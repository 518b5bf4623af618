// SPDX-License-Identifier: Apache-2.0
#include "cpu/peaks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/tensors.h"

namespace veloz::cpu {
namespace {

/// This processor, then the same one without VNNI and BF16, without AVX-512, without AVX2.
std::vector<CpuFeatures> processors() {
  std::vector<CpuFeatures> all(4, detect_features());
  all[1].avx512_bf16 = all[1].avx512_vnni = all[1].avx_vnni = false;
  all[2] = all[1];
  all[2].avx512f = all[2].avx512bw = false;
  all[3] = {};
  return all;
}

TEST(Peaks, ReadMemoryToItsEndAndNoFurther) {
  const test::GuardedTensor memory(
      test::random_tensor(DType::fp32, {50000}, 1).view());  // no whole number of steps
  const auto bytes = std::span(memory.view().as<const std::byte>(), memory.view().num_bytes());
  for (const CpuFeatures& features : processors())
    for (const int num_threads : {1, 3}) {
      ThreadPool pool(num_threads);
      const double rate = measure_read_bandwidth(pool, features, bytes);
      EXPECT_TRUE(std::isfinite(rate) && rate > 0) << rate;
    }
}

TEST(Peaks, AreMeasuredForWhatTheProcessorHas) {
  ThreadPool pool(1);
  for (const CpuFeatures& features : processors())
    for (const PeakLoop loop : supported_peak_loops(features)) {
      const Peak peak = measure_peak(pool, features, loop, 1e-3);
      EXPECT_GT(peak.ops_per_s, 0) << to_string(loop);
      EXPECT_GT(peak.units(), 0) << describe(peak);
    }
  EXPECT_TRUE(supported_peak_loops({}).empty());
}

#if defined(__x86_64__)
/// Whatever the processor does away with before it computes: sums of constants take no time on
/// some.
TEST(Peaks, HaveTheClockOfAProcessor) {
  const double hz = measure_clock_hz();
  EXPECT_GT(hz, 1e8);
  EXPECT_LT(hz, 6.5e9);
}
#endif

TEST(Peaks, OfIntegersAreKnownWithoutVnni) {
  CpuFeatures features;
  features.avx2 = features.fma = true;
  EXPECT_EQ(supported_peak_loops(features), (std::vector{PeakLoop::fp32_fma, PeakLoop::int8_dot}));
}

}  // namespace
}  // namespace veloz::cpu
