// SPDX-License-Identifier: Apache-2.0
#include "profile/machine_peaks.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "base/median.h"

namespace veloz::profile {
namespace {

double MachinePeaks::*field_of(Roof roof) {
  switch (roof) {
    case Roof::dram_read:
      return &MachinePeaks::read_bytes_per_s;
    case Roof::fp32_fma:
      return &MachinePeaks::fp32_ops_per_s;
    case Roof::bf16_dot:
      return &MachinePeaks::bf16_ops_per_s;
    case Roof::int8_dot:
      return &MachinePeaks::int8_ops_per_s;
  }
  return &MachinePeaks::fp32_ops_per_s;
}

}  // namespace

std::string_view to_string(Roof roof) {
  constexpr std::array<std::string_view, kRoofs.size()> kNames = {"dram_read", "fp32_fma",
                                                                  "bf16_dot", "int8_dot"};
  return kNames.at(static_cast<size_t>(roof));
}

double MachinePeaks::rate(Roof roof) const { return this->*field_of(roof); }
double& MachinePeaks::rate(Roof roof) { return this->*field_of(roof); }

MachinePeaks median_of(std::span<const MachinePeaks> samples) {
  MachinePeaks result;
  for (const Roof roof : kRoofs) {
    std::vector<double> rates;
    for (const MachinePeaks& peaks : samples) rates.push_back(peaks.rate(roof));
    result.rate(roof) = median(std::move(rates));
  }
  return result;
}

Roof MachinePeaks::available(Roof wanted) const {
  return rate(wanted) > rate(Roof::fp32_fma) ? wanted : Roof::fp32_fma;
}

Bound bound_of(const ops::Cost& cost, Roof arithmetic, const MachinePeaks& peaks) {
  const Roof compute = peaks.available(arithmetic);
  VELOZ_CHECK(peaks.read_bytes_per_s > 0 && peaks.rate(compute) > 0,
              "peaks of {} B/s and {} operations/s", peaks.read_bytes_per_s, peaks.rate(compute));
  const double memory_s = cost.bytes / peaks.read_bytes_per_s;
  const double compute_s = cost.flops / peaks.rate(compute);
  return memory_s >= compute_s ? Bound{Roof::dram_read, memory_s} : Bound{compute, compute_s};
}

}  // namespace veloz::profile
