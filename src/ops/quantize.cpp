// SPDX-License-Identifier: Apache-2.0
#include "ops/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/fp8.h"
#include "ops/element.h"
#include "ops/kernel.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

float limit_of(DType format) { return format == DType::int8 ? kInt8Limit : Fp8E4M3::kMax; }

/// Codes and scales of x: the format stands in attribute `format_attr`.
std::vector<ValueType> infer_codes(const ShapeRule& rule, const Attrs& attrs,
                                   std::string_view format_attr, const ValueType& x) {
  const DType format =
      rule.choice_attr(format_attr, {"int8", "fp8_e4m3"}) == "int8" ? DType::int8 : DType::fp8_e4m3;
  const int64_t width = x.dims[1].value;
  int64_t num_groups = 1;
  if (attrs.contains("group")) {
    if (attrs.contains("scale")) rule.fail("both attributes group and scale");
    const int64_t group = rule.int_attr("group", 1, width);
    if (width % group != 0) rule.fail("attribute group does not divide the columns of x");
    num_groups = width / group;
  }
  if (attrs.contains("scale")) {
    const double scale = rule.positive_attr("scale");
    if (scale < kQuantizeFloor || scale > 1 / kQuantizeFloor)
      rule.fail("attribute scale outside 1e-30 to 1e30");
  }
  return {{format, x.dims}, {DType::fp32, {x.dims[0], num_groups}}};
}

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("quantize", signature, {"x"}, {"format", "group", "scale"});
  return infer_codes(rule, signature.attrs, "format", rule.expect_matrix(0));
}

Cost cost(const OpCall& call) {
  return {.flops = 3 * static_cast<double>(call.inputs[0].shape.num_elements()),
          .bytes = operand_bytes(call)};
}

/// The number a code stands for, before its scale.
float code_value(const TensorView& codes, int64_t row, int64_t column) {
  if (codes.dtype == DType::int8) return codes.row<const int8_t>(row)[column];
  return static_cast<float>(codes.row<const Fp8E4M3>(row)[column]);
}

std::optional<float> fixed_scale(const Attrs& attrs) {
  if (!attrs.contains("scale")) return std::nullopt;
  return static_cast<float>(attrs.get_float("scale"));
}

void reference(OpContext&, const OpCall& call) noexcept {
  quantize_reference(QuantizeArgs::from(call));
}

}  // namespace

void quantize_reference(const QuantizeArgs& a) {
  const DType format = a.codes.dtype;
  for (int64_t t = 0; t < a.x.shape[0]; ++t) {
    for (int64_t g = 0; g < a.num_groups(); ++g) {
      const int64_t begin = g * a.group();
      const int64_t end = begin + a.group();
      const float amax = largest_magnitude(a.x, t, begin, end);
      const GroupScale scale = a.scale_of(amax);
      a.scales.row<float>(t)[g] = scale.scale;
      for (int64_t k = begin; k < end; ++k)
        a.codes.row<uint8_t>(t)[k] =
            scale.inverse == 0 ? uint8_t{0}
                               : quantize_value(load_element(a.x, t, k), scale.inverse, format);
    }
  }
}

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
  return {.x = call.inputs[0],
          .codes = call.outputs[0],
          .scales = call.outputs[1],
          .scale = fixed_scale(call.attrs)};
}

GroupScale QuantizeArgs::scale_of(float amax) const {
  if (scale && std::isfinite(amax)) return {*scale, 1.0f / *scale};
  return group_scale(amax, limit_of(codes.dtype));
}

std::vector<ValueType> with_quantized_output(const ShapeRule& rule, const Attrs& attrs,
                                             std::vector<ValueType> outputs) {
  if (!attrs.contains("quantize")) {
    if (attrs.contains("group") || attrs.contains("scale"))
      rule.fail("attribute group or scale without quantize");
    return outputs;
  }
  const std::vector<ValueType> codes = infer_codes(rule, attrs, "quantize", outputs.back());
  outputs.pop_back();
  outputs.insert(outputs.end(), codes.begin(), codes.end());
  return outputs;
}

std::optional<QuantizeArgs> quantized_output(const OpCall& call) {
  if (!call.attrs.contains("quantize")) return std::nullopt;
  const size_t num_outputs = call.outputs.size();
  VELOZ_DCHECK(num_outputs >= 2, "{} outputs, the last of them quantized", num_outputs);
  return QuantizeArgs{.x = {},
                      .codes = call.outputs[num_outputs - 2],
                      .scales = call.outputs[num_outputs - 1],
                      .scale = fixed_scale(call.attrs)};
}

TensorView unquantized_output(OpContext& context, const OpCall& call) {
  const TensorView& like = call.inputs[0];
  return TensorView(context.workspace.data(), like.dtype, like.shape);
}

size_t unquantized_output_bytes(const OpCall& call, int) {
  return call.attrs.contains("quantize") ? call.inputs[0].num_bytes() : 0;
}

void quantize_reference(QuantizeArgs args, const TensorView& y) {
  args.x = y;
  quantize_reference(args);
}

double quantized_tolerance(const QuantizeArgs& a, DType y, bool is_code, int64_t t, int64_t i,
                           const std::function<double(int64_t, double)>& y_tolerance) {
  const DType format = a.codes.dtype;
  const int64_t group = a.group();
  const double scale = a.scales.row<const float>(t)[is_code ? i / group : i];
  const double amax = scale * limit_of(format);
  if (!is_code) {
    if (a.scale) return 0;
    double error = 0;
    for (int64_t j = i * group; j < (i + 1) * group; ++j)
      error = std::max(error, y_tolerance(j, amax));
    return error / limit_of(format) + 2 * unit_roundoff(DType::fp32) * scale;
  }
  if (!(scale > 0)) return 0;
  const double code = std::abs(code_value(a.codes, t, i));
  // Half a step to the tie and half beyond it; the scale moves as the largest y may be rounded.
  const double step = format == DType::int8 ? 1 : std::max(0x1p-9, code / 8);
  const double scale_error = 2 * unit_roundoff(y) + 0x1p-10;
  return step + y_tolerance(i, (code + step) * scale) / scale + scale_error * code;
}

OpDef quantize_def() {
  return {
      .op = Op::quantize, .name = "quantize", .infer = infer, .cost = cost, .reference = reference};
}

}  // namespace veloz::ops
