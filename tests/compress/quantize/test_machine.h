// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/philox.h"
#include "compress/machine.h"
#include "compress/quantize/input_statistics.h"
#include "compress/quantize/matrix.h"
#include "cpu/device.h"
#include "cpu/features.h"
#include "cpu/kernels.h"

namespace veloz::test {

/// This machine, with a number of threads.
class TestMachine {
 public:
  explicit TestMachine(int num_threads = 2)
      : pool_(num_threads), registry_(cpu::make_registry(cpu::best_isa(cpu::detect_features()))) {}
  compress::Machine get() { return {device_, registry_, pool_}; }
  ThreadPool& pool() { return pool_; }

 private:
  ThreadPool pool_;
  cpu::CpuDevice device_;
  ops::KernelRegistry registry_;
};

/// Values of a normal distribution; the same on every machine for a seed.
inline compress::Matrix normal_matrix(int64_t rows, int64_t columns, uint64_t seed) {
  compress::Matrix m(rows, columns);
  for (size_t i = 0; i < m.values.size(); ++i) {
    const auto words = philox4x32({static_cast<uint32_t>(i), 0, 0, 0},
                                  {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    const double radius = std::sqrt(-2 * std::log(static_cast<double>(uniform_open(words[0]))));
    m.values[i] = static_cast<float>(
        radius * std::cos(2 * M_PI * static_cast<double>(uniform_open(words[1]))));
  }
  return m;
}

/// Inputs as a layer sees them: columns depend on each other, and every 16th is `outlier` times as
/// large as the others.
inline compress::Matrix layer_inputs(int64_t tokens, int64_t columns, uint64_t seed,
                                     float outlier) {
  compress::Matrix x = normal_matrix(tokens, columns, seed);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t k = columns - 1; k > 0; --k) x.row(t)[k] += 0.8f * x.row(t)[k - 1];
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t k = 5; k < columns; k += 16) x.row(t)[k] *= outlier;
  return x;
}

inline compress::InputStatistics observe(const compress::Matrix& x,
                                         const compress::StatisticsWanted& wanted,
                                         const compress::Machine& machine) {
  compress::InputStatistics statistics(x.columns, x.rows, wanted);
  statistics.add(x.view(), machine);
  return statistics;
}

}  // namespace veloz::test
