// SPDX-License-Identifier: Apache-2.0
#include "api/machine_peaks.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "cpu/device.h"
#include "cpu/features.h"
#include "cpu/peaks.h"
#include "cuda/device.h"

namespace veloz::api {
namespace {

std::span<std::byte> bytes_of(const Buffer& memory) {
  return {static_cast<std::byte*>(memory.data()), memory.bytes()};
}

/// A GPU's second cache holds more than a CPU's caches are expected to.
size_t read_bytes(const Backend& backend, const PeakMeter::Options& options) {
  constexpr size_t kLeastOfGpu = size_t{512} << 20;
  return backend.device->kind() == DeviceKind::cuda ? std::max(options.read_bytes, kLeastOfGpu)
                                                    : options.read_bytes;
}

}  // namespace

PeakMeter::PeakMeter(Backend& backend, const Options& options)
    : backend_(backend),
      options_(options),
      memory_(backend.device->allocate(read_bytes(backend, options))) {
  if (backend.device->kind() == DeviceKind::cpu) cpu::touch_pages(*backend.pool, bytes_of(memory_));
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
  if (backend_.device->kind() == DeviceKind::cuda) return measure_gpu();
  constexpr double kUnknown = 5e9;  // per thread, of a processor without vectors that are known
  cpu::CpuFeatures features = cpu::detect_features();
  if (!options_.isa.empty()) features = cpu::limited_to(cpu::parse_isa(options_.isa), features);
  profile::MachinePeaks peaks;
  peaks.read_bytes_per_s = cpu::measure_read_bandwidth(*backend_.pool, features, bytes_of(memory_));
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

profile::MachinePeaks PeakMeter::measure_gpu() {
  using Clock = std::chrono::steady_clock;
  constexpr int kCopies = 8;
  constexpr double kHopperClock = 1.83e9;  // of the 989 TFLOP/s that an H100's data sheet states
  Device& device = *backend_.device;
  const std::unique_ptr<Stream> stream = device.create_stream();
  const size_t half = memory_.bytes() / 2;
  auto* const begin = static_cast<std::byte*>(memory_.data());
  device.copy(*stream, begin + half, begin, half);
  stream->synchronize();
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < kCopies; ++i) device.copy(*stream, begin + half, begin, half);
  stream->synchronize();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const double cycles = cuda::gpu_facts(device).num_multiprocessors * kHopperClock;
  profile::MachinePeaks peaks;
  peaks.read_bytes_per_s = 2.0 * kCopies * static_cast<double>(half) / seconds;
  peaks.fp32_ops_per_s = 2 * 128 * cycles;
  peaks.bf16_ops_per_s = 4096 * cycles;
  peaks.int8_ops_per_s = 8192 * cycles;  // fp8 as well
  return peaks;
}

profile::MachinePeaks PeakMeter::measure_median(int num_samples) {
  std::vector<profile::MachinePeaks> samples;
  samples.reserve(static_cast<size_t>(num_samples));
  for (int i = 0; i < num_samples; ++i) samples.push_back(measure());
  return profile::median_of(samples);
}

}  // namespace veloz::api
