// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "ops/op.h"

namespace veloz::ops {

/// quantize(x) {format="int8"|"fp8_e4m3", group, scale} -> codes, scales
///
/// x       [T, K] fp32 or bf16; rows may be strided
/// codes   [T, K] int8 or fp8_e4m3
/// scales  [T, G] fp32: x is about codes * scale of its group
///
/// Without attributes, G = 1: one scale a row, from the row itself. `group` (divides K) makes
/// G = K / group. `scale` is a fixed scale for all rows instead (G = 1, no `group`).
///
/// In fp32, each operation rounded on its own, so that codes are equal on every device:
///   amax = max |x| of the group; limit = 127 or 448
///   scale = amax / limit, inverse = limit / amax    (fixed: inverse = 1 / scale)
///   code = x * inverse, saturated to +-limit and rounded to nearest even
/// A group with amax below kQuantizeFloor is all zero codes with scale 0. One that holds a NaN or
/// an infinity is all zero codes with scale NaN, so that what reads it is NaN too; with a fixed
/// scale the same holds for the row.
struct QuantizeArgs {
  TensorView x;
  TensorView codes;
  TensorView scales;
  std::optional<float> scale;

  static QuantizeArgs from(const OpCall& call);
  int64_t num_groups() const { return scales.shape[1]; }
  int64_t group() const { return x.shape[1] / num_groups(); }
};

inline constexpr float kQuantizeFloor = 1e-30f;
inline constexpr float kInt8Limit = 127.0f;

OpDef quantize_def();

/// Of row `row`, columns [begin, end); NaN where there is one.
float largest_magnitude(const TensorView& x, int64_t row, int64_t begin, int64_t end);
/// scale and inverse of a group whose largest magnitude is `amax`; NaN and infinities as above.
struct GroupScale {
  float scale;
  float inverse;
};
GroupScale group_scale(float amax, float limit);
/// The code of one value as its bits.
uint8_t quantize_value(float x, float inverse, DType format);

}  // namespace veloz::ops
