// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "cpu/features.h"

namespace veloz::cpu {

/// Operations whose peak is measured on registers alone.
enum class PeakLoop : uint8_t {
  fp32_fma,  // vfmadd231ps
  bf16_dot,  // vdpbf16ps
  int8_dot,  // vpdpbusd; without it vpmaddwd and vpaddd, on codes widened to 16 bits
};
std::string_view to_string(PeakLoop loop);

/// What a processor does in the best case, all threads of a pool together, measured.
struct Peak {
  PeakLoop loop = PeakLoop::fp32_fma;
  double ops_per_s = 0;  // a multiply-add counts as two
  double ops_per_instruction = 0;
  double clock_hz = 0;  // beside it, of one thread
  int num_threads = 0;
  /// Products per cycle and thread: how many units there are, if nothing held them up.
  double units() const { return ops_per_s / (ops_per_instruction * clock_hz * num_threads); }
};

/// Loops that this processor can run.
std::vector<PeakLoop> supported_peak_loops(const CpuFeatures& features);

/// Runs `loop`, which must be supported, on all threads for about `seconds`.
Peak measure_peak(ThreadPool& pool, const CpuFeatures& features, PeakLoop loop, double seconds);

/// Cycles per second of the calling thread, from a chain of dependent products; 0 where unknown.
double measure_clock_hz();

/// Bytes per second at which all threads together read `memory` once. Tells of main memory only if
/// it is much larger than the caches and lies in huge pages (CpuDevice::allocate, touch_pages).
double measure_read_bandwidth(ThreadPool& pool, const CpuFeatures& features,
                              std::span<const std::byte> memory);

/// "fp32_fma  497 GFLOP/s = 3.88 GHz x 2.00 units x 32 x 2 threads".
std::string describe(const Peak& peak);

}  // namespace veloz::cpu
