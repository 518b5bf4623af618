// SPDX-License-Identifier: Apache-2.0
#include "ops/rope.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "base/error.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::vector<ValueType> infer_rope_angles(const OpSignature& signature) {
  const ShapeRule rule("rope_angles", signature, {"positions"},
                       {"rotary_dim", "theta", "scaling", "factor", "low_freq_factor",
                        "high_freq_factor", "original_max_position_embeddings"});
  const ValueType& positions = rule.expect_vector(0, DType::int32);
  const int64_t rotary_dim = rule.int_attr("rotary_dim", 2, kMaxHeadDim);
  if (rotary_dim % 2 != 0) rule.fail("attribute rotary_dim is odd, channels rotate in pairs");
  rule.positive_attr("theta");
  const std::string scaling = rule.choice_attr("scaling", {"none", "linear", "llama3"});
  if (scaling != "none") rule.positive_attr("factor");
  if (scaling == "llama3") {
    const double low = rule.positive_attr("low_freq_factor");
    const double high = rule.positive_attr("high_freq_factor");
    if (high <= low) rule.fail("attribute high_freq_factor is not above low_freq_factor");
    rule.int_attr("original_max_position_embeddings", 1, std::numeric_limits<int32_t>::max());
  }
  return {{DType::fp32, {positions.dims[0], rotary_dim}}};
}

Cost rope_angles_cost(const OpCall& call) {
  const double elements = static_cast<double>(call.outputs[0].shape.num_elements());
  return {.flops = 10 * elements, .bytes = operand_bytes(call)};
}

void rope_angles_reference(OpContext&, const OpCall& call) noexcept {
  const RopeAnglesArgs a = RopeAnglesArgs::from(call);
  const int64_t half = a.rotary_dim / 2;
  for (int64_t pair = 0; pair < half; ++pair) {
    const float inv_freq = rope_inv_freq(a, pair);
    for (int64_t t = 0; t < a.angles.shape[0]; ++t) {
      const float angle = static_cast<float>(a.positions.as<const int32_t>()[t]) * inv_freq;
      a.angles.row<float>(t)[pair] = static_cast<float>(std::cos(static_cast<double>(angle)));
      a.angles.row<float>(t)[half + pair] =
          static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
}

/// Values lie in [-1, 1]; a few ulp of 1 for a kernel's own sine and cosine.
double rope_angles_tolerance(const OpCall&, size_t, int64_t, int64_t) {
  return 4 * unit_roundoff(DType::fp32);
}

std::vector<ValueType> infer_rope(const OpSignature& signature) {
  const ShapeRule rule("rope", signature, {"x", "angles"}, {"num_heads", "head_dim", "style"});
  const ValueType& x = rule.expect_matrix(0);
  const int64_t num_heads = rule.int_attr("num_heads", 1, kMaxHeads);
  const int64_t head_dim = rule.int_attr("head_dim", 2, kMaxHeadDim);
  rule.choice_attr("style", {"neox", "interleaved"});
  rule.expect_type(0, {x.dtype, {x.dims[0], num_heads * head_dim}}, "num_heads * head_dim");
  expect_angles(rule, 1, x.dims[0], head_dim);
  return {x};
}

Cost rope_cost(const OpCall& call) {
  const double elements = static_cast<double>(call.outputs[0].shape.num_elements());
  return {.flops = 3 * elements, .bytes = operand_bytes(call)};
}

/// The two channels of a head that rotate together.
struct Pair {
  int64_t first;
  int64_t second;
};
Pair pair_channels(const RopeArgs& a, int64_t pair) {
  if (a.style == RopeStyle::interleaved) return {2 * pair, 2 * pair + 1};
  return {pair, pair + a.angles.shape[1] / 2};
}

void run_reference(OpContext&, const OpCall& call) noexcept {
  rope_reference(RopeArgs::from(call));
}

double tolerance(const OpCall& call, size_t, int64_t t, int64_t column) {
  return rope_tolerance(RopeArgs::from(call), t, column);
}

}  // namespace

RopeAnglesArgs RopeAnglesArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 1 && call.outputs.size() == 1, "rope_angles of {} operands",
               call.inputs.size());
  RopeAnglesArgs a{.positions = call.inputs[0],
                   .angles = call.outputs[0],
                   .rotary_dim = call.attrs.get_int("rotary_dim"),
                   .theta = call.attrs.get_float("theta"),
                   .scaling = call.attrs.get_string("scaling")};
  if (a.scaling != "none") a.factor = call.attrs.get_float("factor");
  if (a.scaling == "llama3") {
    a.low_freq_factor = call.attrs.get_float("low_freq_factor");
    a.high_freq_factor = call.attrs.get_float("high_freq_factor");
    a.original_max_position_embeddings = call.attrs.get_int("original_max_position_embeddings");
  }
  return a;
}

float rope_inv_freq(const RopeAnglesArgs& a, int64_t pair) {
  // Each step rounds to fp32 where PyTorch's tensor arithmetic does; quotients of a Python number
  // by a tensor are that number times the tensor's reciprocal there.
  const float exponent = static_cast<float>(2 * pair) / static_cast<float>(a.rotary_dim);
  const float power = static_cast<float>(
      std::pow(static_cast<double>(static_cast<float>(a.theta)), static_cast<double>(exponent)));
  const float inv_freq = 1.0f / power;
  if (a.scaling == "none") return inv_freq;
  const float factor = static_cast<float>(a.factor);
  if (a.scaling == "linear") return inv_freq / factor;

  const double original = static_cast<double>(a.original_max_position_embeddings);
  const float longest = static_cast<float>(original / a.low_freq_factor);
  const float shortest = static_cast<float>(original / a.high_freq_factor);
  const float wavelength = (1.0f / inv_freq) * static_cast<float>(2 * std::numbers::pi);
  if (wavelength > longest) return inv_freq / factor;
  if (wavelength < shortest) return inv_freq;
  const float smooth =
      ((1.0f / wavelength) * static_cast<float>(original) - static_cast<float>(a.low_freq_factor)) /
      static_cast<float>(a.high_freq_factor - a.low_freq_factor);
  return (1.0f - smooth) * inv_freq / factor + smooth * inv_freq;
}

RopeArgs RopeArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 2 && call.outputs.size() == 1, "rope of {} operands",
               call.inputs.size());
  return {.x = call.inputs[0],
          .angles = call.inputs[1],
          .y = call.outputs[0],
          .num_heads = call.attrs.get_int("num_heads"),
          .head_dim = call.attrs.get_int("head_dim"),
          .style = rope_style(call)};
}

RopeStyle rope_style(const OpCall& call) {
  return call.attrs.get_string("style") == "interleaved" ? RopeStyle::interleaved : RopeStyle::neox;
}

void expect_angles(const ShapeRule& rule, size_t operand, const Dim& rows, int64_t head_dim) {
  const int64_t rotary_dim = rule.expect_matrix(operand).dims[1].value;
  rule.expect_type(operand, {DType::fp32, {rows, rotary_dim}}, "rows of x");
  if (rotary_dim % 2 != 0 || rotary_dim > head_dim)
    rule.fail_operand(operand, "an even number of columns, at most head_dim");
}

void rope_reference(const RopeArgs& a) {
  const int64_t rotary_dim = a.angles.shape[1];
  for (int64_t t = 0; t < a.x.shape[0]; ++t) {
    const float* const cosines = a.angles.row<const float>(t);
    const float* const sines = cosines + rotary_dim / 2;
    for (int64_t head = 0; head < a.num_heads; ++head) {
      const int64_t base = head * a.head_dim;
      for (int64_t i = 0; i < rotary_dim / 2; ++i) {
        const auto [first, second] = pair_channels(a, i);
        const double x1 = load_element(a.x, t, base + first);
        const double x2 = load_element(a.x, t, base + second);
        store_element(a.y, t, base + first, static_cast<float>(x1 * cosines[i] - x2 * sines[i]));
        store_element(a.y, t, base + second, static_cast<float>(x2 * cosines[i] + x1 * sines[i]));
      }
      for (int64_t d = rotary_dim; d < a.head_dim; ++d)
        store_element(a.y, t, base + d, load_element(a.x, t, base + d));
    }
  }
}

double rotation_tolerance(const RopeArgs& a, const TensorView& pairs, int64_t t, int64_t column,
                          double magnitude) {
  const int64_t rotary_dim = a.angles.shape[1];
  const int64_t base = column / a.head_dim * a.head_dim;
  const int64_t d = column - base;
  if (d >= rotary_dim) return 0;
  const int64_t pair = a.style == RopeStyle::interleaved ? d / 2 : d % (rotary_dim / 2);
  const auto [first, second] = pair_channels(a, pair);
  const double length =
      std::hypot(load_element(pairs, t, base + first), load_element(pairs, t, base + second));
  return 4 * unit_roundoff(DType::fp32) * length + 2 * unit_roundoff(a.x.dtype) * magnitude;
}

double rope_tolerance(const RopeArgs& a, int64_t t, int64_t column) {
  return rotation_tolerance(a, a.y, t, column, std::abs(load_element(a.y, t, column)));
}

OpDef rope_angles_def() {
  return {.op = Op::rope_angles,
          .name = "rope_angles",
          .infer = infer_rope_angles,
          .cost = rope_angles_cost,
          .reference = rope_angles_reference,
          .tolerance = rope_angles_tolerance};
}
OpDef rope_def() {
  return {.op = Op::rope,
          .name = "rope",
          .infer = infer_rope,
          .cost = rope_cost,
          .reference = run_reference,
          .tolerance = tolerance};
}

}  // namespace veloz::ops
