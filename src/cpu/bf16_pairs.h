// SPDX-License-Identifier: Apache-2.0
#pragma once

// Lanes that hold two bf16 each, as fp32. The including file has brought in the lanes.h of its
// instruction set.

#include <cstdint>

namespace veloz::cpu {
namespace {

/// The first of each pair, in the lower half of its lane.
[[maybe_unused]] Lanes::F even_of(const Lanes::I& pairs) {
  return Lanes::from_bits(Lanes::shift_left<16>(pairs));
}
/// The second.
[[maybe_unused]] Lanes::F odd_of(const Lanes::I& pairs) {
  return Lanes::from_bits(
      Lanes::and_int(pairs, Lanes::set1_int(static_cast<int32_t>(0xffff0000u))));
}

}  // namespace
}  // namespace veloz::cpu
