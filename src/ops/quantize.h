// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "ops/op.h"

namespace veloz::ops {

struct GroupScale;
class ShapeRule;

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
/// A fixed scale is between 1e-30 and 1e30. A group with amax below kQuantizeFloor is all zero
/// codes with scale 0. One that holds a NaN or an infinity is all zero codes with scale NaN, so
/// that what reads it is NaN too; with a fixed scale the same holds for the row.
struct QuantizeArgs {
  TensorView x;
  TensorView codes;
  TensorView scales;
  std::optional<float> scale;

  static QuantizeArgs from(const OpCall& call);
  /// What the codes of a group are made with.
  GroupScale scale_of(float amax) const;
  int64_t num_groups() const { return scales.shape[1]; }
  int64_t group() const { return codes.shape[1] / num_groups(); }
};

/// Norms and activations may quantize their last output y themselves: with the attribute `quantize`
/// ("int8" or "fp8_e4m3"), and `group` and `scale` as above, y is replaced by two outputs, codes
/// and scales. They are those of `quantize` on y rounded to its dtype, bit for bit.
///
/// Types of such an op's outputs, from those without the attribute.
std::vector<ValueType> with_quantized_output(const ShapeRule& rule, const Attrs& attrs,
                                             std::vector<ValueType> outputs);
/// Codes, scales and fixed scale of such a call; nothing where y is kept. x is left empty.
std::optional<QuantizeArgs> quantized_output(const OpCall& call);
/// What the reference of such an op computes y into: a matrix like its first input, in the
/// workspace.
TensorView unquantized_output(OpContext& context, const OpCall& call);
size_t unquantized_output_bytes(const OpCall& call, int num_threads);
/// The plain implementation, of `quantize` and, once y is there, of such an op.
void quantize_reference(const QuantizeArgs& args);
void quantize_reference(QuantizeArgs args, const TensorView& y);
/// Tolerance of the codes, or else of the scales, of such an op in row t and column i, from that of
/// y: y_tolerance(column, |y|), growing with |y|. A fast kernel's y is another number of the same
/// row, so codes differ by one where it lies near a tie, and scales as the largest y does.
double quantized_tolerance(const QuantizeArgs& args, DType y, bool is_code, int64_t t, int64_t i,
                           const std::function<double(int64_t, double)>& y_tolerance);

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
