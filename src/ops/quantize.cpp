// SPDX-License-Identifier: Apache-2.0
#include "ops/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/fp8.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

float limit_of(DType format) { return format == DType::int8 ? kInt8Limit : Fp8E4M3::kMax; }

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("quantize", signature, {"x"}, {"format", "group", "scale"});
  const ValueType& x = rule.expect_matrix(0);
  const DType format =
      rule.choice_attr("format", {"int8", "fp8_e4m3"}) == "int8" ? DType::int8 : DType::fp8_e4m3;
  const int64_t width = x.dims[1].value;
  int64_t num_groups = 1;
  if (signature.attrs.contains("group")) {
    if (signature.attrs.contains("scale")) rule.fail("both attributes group and scale");
    const int64_t group = rule.int_attr("group", 1, width);
    if (width % group != 0) rule.fail("attribute group does not divide the columns of x");
    num_groups = width / group;
  }
  if (signature.attrs.contains("scale")) rule.positive_attr("scale");
  return {{format, x.dims}, {DType::fp32, {x.dims[0], num_groups}}};
}

Cost cost(const OpCall& call) {
  return {.flops = 3 * static_cast<double>(call.inputs[0].shape.num_elements()),
          .bytes = operand_bytes(call)};
}

void reference(OpContext&, const OpCall& call) noexcept {
  const QuantizeArgs a = QuantizeArgs::from(call);
  const DType format = a.codes.dtype;
  for (int64_t t = 0; t < a.x.shape[0]; ++t) {
    for (int64_t g = 0; g < a.num_groups(); ++g) {
      const int64_t begin = g * a.group();
      const int64_t end = begin + a.group();
      const float amax = largest_magnitude(a.x, t, begin, end);
      GroupScale scale = group_scale(amax, limit_of(format));
      if (a.scale && std::isfinite(amax)) scale = {*a.scale, 1.0f / *a.scale};
      a.scales.row<float>(t)[g] = scale.scale;
      for (int64_t k = begin; k < end; ++k)
        a.codes.row<uint8_t>(t)[k] =
            scale.inverse == 0 ? uint8_t{0}
                               : quantize_value(load_element(a.x, t, k), scale.inverse, format);
    }
  }
}

}  // namespace

float largest_magnitude(const TensorView& x, int64_t row, int64_t begin, int64_t end) {
  float amax = 0;
  for (int64_t k = begin; k < end; ++k) {
    const float magnitude = std::abs(load_element(x, row, k));
    if (!(magnitude <= amax)) amax = magnitude;
    if (std::isnan(amax)) return amax;
  }
  return amax;
}

GroupScale group_scale(float amax, float limit) {
  if (!std::isfinite(amax)) return {std::numeric_limits<float>::quiet_NaN(), 0};
  if (amax < kQuantizeFloor) return {0, 0};
  return {amax / limit, limit / amax};
}

uint8_t quantize_value(float x, float inverse, DType format) {
  const float limit = limit_of(format);
  const float scaled = std::clamp(x * inverse, -limit, limit);
  if (format == DType::fp8_e4m3) return Fp8E4M3(scaled).bits;
  return static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(scaled)));
}

QuantizeArgs QuantizeArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 1 && call.outputs.size() == 2, "quantize of {} operands",
               call.inputs.size());
  QuantizeArgs args{
      .x = call.inputs[0], .codes = call.outputs[0], .scales = call.outputs[1], .scale = {}};
  if (call.attrs.contains("scale")) args.scale = static_cast<float>(call.attrs.get_float("scale"));
  return args;
}

OpDef quantize_def() {
  return {
      .op = Op::quantize, .name = "quantize", .infer = infer, .cost = cost, .reference = reference};
}

}  // namespace veloz::ops
