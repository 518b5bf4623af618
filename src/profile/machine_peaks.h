// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "ops/op.h"

namespace veloz::profile {

/// What can bound a call: reading memory, or one kind of arithmetic.
enum class Roof : uint8_t {
  dram_read,
  fp32_fma,
  bf16_dot,
  int8_dot,
};
inline constexpr std::array kRoofs = {Roof::dram_read, Roof::fp32_fma, Roof::bf16_dot,
                                      Roof::int8_dot};

/// As in JSON and tables: "dram_read", "bf16_dot".
std::string_view to_string(Roof roof);

/// What a machine does in the best case, all threads together: measured here, or given.
struct MachinePeaks {
  double read_bytes_per_s = 0;
  double fp32_ops_per_s = 0;  // a multiply-add counts as two
  double bf16_ops_per_s = 0;  // 0: the machine has no such instruction
  double int8_ops_per_s = 0;  // 0: likewise

  /// Operations (or bytes) per second; 0 where the machine lacks the instruction.
  double rate(Roof roof) const;
  double& rate(Roof roof);
  /// `wanted`, or fp32_fma where the machine has no instruction for it or none that is faster.
  Roof available(Roof wanted) const;
};

/// Of each rate on its own.
MachinePeaks median_of(std::span<const MachinePeaks> samples);

/// The roof that a call stays below for lack of anything better, and how long it takes there.
struct Bound {
  Roof roof = Roof::dram_read;
  double seconds = 0;
};

/// Whichever of memory and `arithmetic` takes longer.
Bound bound_of(const ops::Cost& cost, Roof arithmetic, const MachinePeaks& peaks);

}  // namespace veloz::profile
