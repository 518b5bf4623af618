// SPDX-License-Identifier: Apache-2.0
#include "api/machine_peaks.h"

#include <algorithm>
#include <span>
#include <vector>

#include "cpu/device.h"
#include "cpu/features.h"
#include "cpu/peaks.h"

namespace veloz::api {
namespace {

std::span<std::byte> bytes_of(const Buffer& memory) {
  return {static_cast<std::byte*>(memory.data()), memory.bytes()};
}

}  // namespace

PeakMeter::PeakMeter(Backend& backend, const Options& options)
    : backend_(backend), options_(options), memory_(backend.device->allocate(options.read_bytes)) {
  cpu::touch_pages(*backend.pool, bytes_of(memory_));
}

profile::MachinePeaks PeakMeter::measure() {
  constexpr int kAttempts = 3;
  profile::MachinePeaks best;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const profile::MachinePeaks peaks = measure_once();
    for (const profile::Roof roof : profile::kRoofs)
      best.rate(roof) = std::max(best.rate(roof), peaks.rate(roof));
  }
  return best;
}

profile::MachinePeaks PeakMeter::measure_once() {
  constexpr double kUnknown = 5e9;  // per thread, of a processor without vectors that are known
  const cpu::CpuFeatures features = cpu::detect_features();
  profile::MachinePeaks peaks;
  peaks.read_bytes_per_s = cpu::measure_read_bandwidth(*backend_.pool, bytes_of(memory_));
  peaks.fp32_ops_per_s = kUnknown * backend_.pool->num_threads();
  for (const cpu::PeakLoop loop : cpu::supported_peak_loops(features)) {
    const double rate =
        cpu::measure_peak(*backend_.pool, features, loop, options_.seconds_per_loop).ops_per_s;
    switch (loop) {
      case cpu::PeakLoop::fp32_fma:
        peaks.fp32_ops_per_s = rate;
        break;
      case cpu::PeakLoop::bf16_dot:
        peaks.bf16_ops_per_s = rate;
        break;
      case cpu::PeakLoop::int8_dot:
        peaks.int8_ops_per_s = rate;
        break;
    }
  }
  return peaks;
}

profile::MachinePeaks PeakMeter::measure_median(int num_samples) {
  std::vector<profile::MachinePeaks> samples;
  samples.reserve(static_cast<size_t>(num_samples));
  for (int i = 0; i < num_samples; ++i) samples.push_back(measure());
  return profile::median_of(samples);
}

}  // namespace veloz::api
