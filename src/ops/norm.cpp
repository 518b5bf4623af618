// SPDX-License-Identifier: Apache-2.0
#include "ops/norm.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <string_view>

#include "base/error.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

/// Rules of all four: x, [delta], then vectors of x's width.
std::vector<ValueType> infer_norm(const OpSignature& signature, std::string_view op,
                                  std::initializer_list<std::string_view> operands) {
  const ShapeRule rule(op, signature, operands, {"eps", "quantize", "group", "scale"});
  const size_t first_vector = std::ranges::count(operands, "delta") > 0 ? 2 : 1;
  const ValueType& x = rule.expect_matrix(0);
  if (first_vector == 2) rule.expect_type(1, x, "as x");
  for (size_t i = first_vector; i < operands.size(); ++i)
    rule.expect_type(i, {DType::fp32, {x.dims[1]}}, "one per column of x");
  rule.positive_attr("eps");
  return with_quantized_output(rule, signature.attrs,
                               std::vector<ValueType>(first_vector, x));  // y, or sum and y
}

std::vector<ValueType> infer_rms_norm(const OpSignature& signature) {
  return infer_norm(signature, "rms_norm", {"x", "gamma"});
}
std::vector<ValueType> infer_add_rms_norm(const OpSignature& signature) {
  return infer_norm(signature, "add_rms_norm", {"x", "delta", "gamma"});
}
std::vector<ValueType> infer_layer_norm(const OpSignature& signature) {
  return infer_norm(signature, "layer_norm", {"x", "gamma", "beta"});
}
std::vector<ValueType> infer_add_layer_norm(const OpSignature& signature) {
  return infer_norm(signature, "add_layer_norm", {"x", "delta", "gamma", "beta"});
}

Cost cost(const OpCall& call) {
  const double elements = static_cast<double>(call.inputs[0].shape.num_elements());
  return {.flops = 5 * elements, .bytes = operand_bytes(call)};
}

/// sum = x + delta, rounded; the norm reads it back.
template <typename Args>
void add_residual(const Args& a, int64_t t) {
  for (int64_t i = 0; i < a.x.shape[1]; ++i)
    store_element(a.sum, t, i, load_element(a.x, t, i) + load_element(a.delta, t, i));
}

void rms_norm_reference(OpContext& context, const OpCall& call) noexcept {
  RmsNormArgs a = RmsNormArgs::from(call);
  if (a.quantized) a.y = unquantized_output(context, call);
  const bool has_delta = a.delta.data != nullptr;
  const TensorView& x = has_delta ? a.sum : a.x;
  const int64_t width = x.shape[1];
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    if (has_delta) add_residual(a, t);
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += std::pow(load_element(x, t, i), 2.0);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + a.eps);
    for (int64_t i = 0; i < width; ++i)
      store_element(
          a.y, t, i,
          static_cast<float>(load_element(x, t, i) * scale * a.gamma.as<const float>()[i]));
  }
  if (a.quantized) quantize_reference(*a.quantized, a.y);
}

void layer_norm_reference(OpContext& context, const OpCall& call) noexcept {
  LayerNormArgs a = LayerNormArgs::from(call);
  if (a.quantized) a.y = unquantized_output(context, call);
  const bool has_delta = a.delta.data != nullptr;
  const TensorView& x = has_delta ? a.sum : a.x;
  const int64_t width = x.shape[1];
  for (int64_t t = 0; t < x.shape[0]; ++t) {
    if (has_delta) add_residual(a, t);
    double mean = 0;
    for (int64_t i = 0; i < width; ++i) mean += load_element(x, t, i);
    mean /= static_cast<double>(width);
    double variance = 0;
    for (int64_t i = 0; i < width; ++i) variance += std::pow(load_element(x, t, i) - mean, 2.0);
    variance /= static_cast<double>(width);
    const double scale = 1 / std::sqrt(variance + a.eps);
    for (int64_t i = 0; i < width; ++i)
      store_element(
          a.y, t, i,
          static_cast<float>((load_element(x, t, i) - mean) * scale * a.gamma.as<const float>()[i] +
                             a.beta.as<const float>()[i]));
  }
  if (a.quantized) quantize_reference(*a.quantized, a.y);
}

/// `sum` is exact. The others have the tolerance of y, y_tolerance(column, |y|), or what follows
/// from it for codes and scales.
template <typename Args>
double norm_tolerance(const OpCall& call, const Args& a, size_t output, int64_t t, int64_t i,
                      const std::function<double(int64_t, double)>& y_tolerance) {
  if (a.sum.data != nullptr && output == 0) return 0;
  if (!a.quantized) return y_tolerance(i, std::abs(load_element(a.y, t, i)));
  return quantized_tolerance(*a.quantized, a.x.dtype, output + 2 == call.outputs.size(), t, i,
                             y_tolerance);
}

/// The fp32 sum of squares is off by at most a few sqrt(D) u of itself. Reads y only, so it holds
/// where y has replaced x.
double rms_norm_tolerance(const OpCall& call, size_t output, int64_t t, int64_t i) {
  const RmsNormArgs a = RmsNormArgs::from(call);
  const double relative =
      4 * std::sqrt(static_cast<double>(a.x.shape[1])) * unit_roundoff(DType::fp32) +
      2 * unit_roundoff(a.x.dtype);
  return norm_tolerance(call, a, output, t, i, [&](int64_t, double y) { return relative * y; });
}

/// The mean's error is relative to the row's largest element and is scaled like the row. An
/// in-place y would hide that element, so x must still be there.
double layer_norm_tolerance(const OpCall& call, size_t output, int64_t t, int64_t i) {
  const LayerNormArgs a = LayerNormArgs::from(call);
  const TensorView& x = a.delta.data != nullptr ? a.sum : a.x;
  const int64_t width = x.shape[1];
  double mean = 0, squares = 0, largest = 0;
  for (int64_t j = 0; j < width; ++j) {
    const double value = load_element(x, t, j);
    mean += value / static_cast<double>(width);
    squares += value * value / static_cast<double>(width);
    largest = std::max(largest, std::abs(value));
  }
  const double scale = 1 / std::sqrt(std::max(squares - mean * mean, 0.0) + a.eps);
  return norm_tolerance(call, a, output, t, i, [&](int64_t column, double y) {
    const double gamma = std::abs(a.gamma.as<const float>()[column]);
    const double beta = std::abs(a.beta.as<const float>()[column]);
    return 4 * std::sqrt(static_cast<double>(width)) * unit_roundoff(DType::fp32) *
               (gamma * largest * scale + y + beta) +
           2 * unit_roundoff(x.dtype) * y;
  });
}

}  // namespace

RmsNormArgs RmsNormArgs::from(const OpCall& call) {
  const bool has_delta = call.inputs.size() == 3;
  VELOZ_DCHECK(call.inputs.size() == (has_delta ? 3u : 2u), "rms_norm of {} operands",
               call.inputs.size());
  const std::optional<QuantizeArgs> quantized = quantized_output(call);
  return {.x = call.inputs[0],
          .delta = has_delta ? call.inputs[1] : TensorView(),
          .gamma = call.inputs.back(),
          .sum = has_delta ? call.outputs[0] : TensorView(),
          .y = quantized ? TensorView() : call.outputs.back(),
          .quantized = quantized,
          .eps = static_cast<float>(call.attrs.get_float("eps"))};
}

LayerNormArgs LayerNormArgs::from(const OpCall& call) {
  const bool has_delta = call.inputs.size() == 4;
  VELOZ_DCHECK(call.inputs.size() == (has_delta ? 4u : 3u), "layer_norm of {} operands",
               call.inputs.size());
  const std::optional<QuantizeArgs> quantized = quantized_output(call);
  const size_t gamma = call.inputs.size() - 2;
  return {.x = call.inputs[0],
          .delta = has_delta ? call.inputs[1] : TensorView(),
          .gamma = call.inputs[gamma],
          .beta = call.inputs[gamma + 1],
          .sum = has_delta ? call.outputs[0] : TensorView(),
          .y = quantized ? TensorView() : call.outputs.back(),
          .quantized = quantized,
          .eps = static_cast<float>(call.attrs.get_float("eps"))};
}

OpDef rms_norm_def() {
  return {.op = Op::rms_norm,
          .name = "rms_norm",
          .infer = infer_rms_norm,
          .cost = cost,
          .reference = rms_norm_reference,
          .tolerance = rms_norm_tolerance,
          .workspace_bytes = unquantized_output_bytes};
}
OpDef add_rms_norm_def() {
  return {.op = Op::add_rms_norm,
          .name = "add_rms_norm",
          .infer = infer_add_rms_norm,
          .cost = cost,
          .reference = rms_norm_reference,
          .tolerance = rms_norm_tolerance,
          .workspace_bytes = unquantized_output_bytes};
}
OpDef layer_norm_def() {
  return {.op = Op::layer_norm,
          .name = "layer_norm",
          .infer = infer_layer_norm,
          .cost = cost,
          .reference = layer_norm_reference,
          .tolerance = layer_norm_tolerance,
          .workspace_bytes = unquantized_output_bytes};
}
OpDef add_layer_norm_def() {
  return {.op = Op::add_layer_norm,
          .name = "add_layer_norm",
          .infer = infer_add_layer_norm,
          .cost = cost,
          .reference = layer_norm_reference,
          .tolerance = layer_norm_tolerance,
          .workspace_bytes = unquantized_output_bytes};
}

}  // namespace veloz::ops
