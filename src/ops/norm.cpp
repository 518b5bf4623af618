// SPDX-License-Identifier: Apache-2.0
#include "ops/norm.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

/// Rules of all four: x, [delta], then vectors of x's width.
std::vector<ValueType> infer_norm(const ShapeRule& rule, size_t first_vector, size_t num_inputs) {
  const ValueType& x = rule.expect_matrix(0);
  if (first_vector == 2) rule.expect_type(1, x, "as x");
  for (size_t i = first_vector; i < num_inputs; ++i)
    rule.expect_type(i, {DType::fp32, {x.dims[1]}}, "one per column of x");
  rule.positive_attr("eps");
  return std::vector<ValueType>(first_vector, x);  // y, or sum and y
}

std::vector<ValueType> infer_rms_norm(const OpSignature& signature) {
  return infer_norm(ShapeRule("rms_norm", signature, {"x", "gamma"}, {"eps"}), 1, 2);
}
std::vector<ValueType> infer_add_rms_norm(const OpSignature& signature) {
  return infer_norm(ShapeRule("add_rms_norm", signature, {"x", "delta", "gamma"}, {"eps"}), 2, 3);
}
std::vector<ValueType> infer_layer_norm(const OpSignature& signature) {
  return infer_norm(ShapeRule("layer_norm", signature, {"x", "gamma", "beta"}, {"eps"}), 1, 3);
}
std::vector<ValueType> infer_add_layer_norm(const OpSignature& signature) {
  return infer_norm(
      ShapeRule("add_layer_norm", signature, {"x", "delta", "gamma", "beta"}, {"eps"}), 2, 4);
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

void rms_norm_reference(OpContext&, const OpCall& call) noexcept {
  const RmsNormArgs a = RmsNormArgs::from(call);
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
}

void layer_norm_reference(OpContext&, const OpCall& call) noexcept {
  const LayerNormArgs a = LayerNormArgs::from(call);
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
}

/// The fp32 sum of squares is off by at most a few sqrt(D) u of itself; `sum` is exact. Reads y
/// only, so it holds where y has replaced x.
double rms_norm_tolerance(const OpCall& call, size_t output, int64_t t, int64_t i) {
  const RmsNormArgs a = RmsNormArgs::from(call);
  if (output + 1 < call.outputs.size()) return 0;
  const double relative =
      4 * std::sqrt(static_cast<double>(a.y.shape[1])) * unit_roundoff(DType::fp32) +
      2 * unit_roundoff(a.y.dtype);
  return relative * std::abs(load_element(a.y, t, i));
}

/// The mean's error is relative to the row's largest element and is scaled like the row. An
/// in-place y would hide that element, so x must still be there.
double layer_norm_tolerance(const OpCall& call, size_t output, int64_t t, int64_t i) {
  const LayerNormArgs a = LayerNormArgs::from(call);
  if (output + 1 < call.outputs.size()) return 0;
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
  const double gamma = std::abs(a.gamma.as<const float>()[i]);
  const double beta = std::abs(a.beta.as<const float>()[i]);
  const double y = std::abs(load_element(a.y, t, i));
  return 4 * std::sqrt(static_cast<double>(width)) * unit_roundoff(DType::fp32) *
             (gamma * largest * scale + y + beta) +
         2 * unit_roundoff(a.y.dtype) * y;
}

}  // namespace

RmsNormArgs RmsNormArgs::from(const OpCall& call) {
  const bool has_delta = call.outputs.size() == 2;
  VELOZ_DCHECK(call.inputs.size() == (has_delta ? 3u : 2u), "rms_norm of {} operands",
               call.inputs.size());
  return {.x = call.inputs[0],
          .delta = has_delta ? call.inputs[1] : TensorView(),
          .gamma = call.inputs.back(),
          .sum = has_delta ? call.outputs[0] : TensorView(),
          .y = call.outputs.back(),
          .eps = static_cast<float>(call.attrs.get_float("eps"))};
}

LayerNormArgs LayerNormArgs::from(const OpCall& call) {
  const bool has_delta = call.outputs.size() == 2;
  VELOZ_DCHECK(call.inputs.size() == (has_delta ? 4u : 3u), "layer_norm of {} operands",
               call.inputs.size());
  const size_t gamma = call.inputs.size() - 2;
  return {.x = call.inputs[0],
          .delta = has_delta ? call.inputs[1] : TensorView(),
          .gamma = call.inputs[gamma],
          .beta = call.inputs[gamma + 1],
          .sum = has_delta ? call.outputs[0] : TensorView(),
          .y = call.outputs.back(),
          .eps = static_cast<float>(call.attrs.get_float("eps"))};
}

OpDef rms_norm_def() {
  return {.op = Op::rms_norm,
          .name = "rms_norm",
          .infer = infer_rms_norm,
          .cost = cost,
          .reference = rms_norm_reference,
          .tolerance = rms_norm_tolerance};
}
OpDef add_rms_norm_def() {
  return {.op = Op::add_rms_norm,
          .name = "add_rms_norm",
          .infer = infer_add_rms_norm,
          .cost = cost,
          .reference = rms_norm_reference,
          .tolerance = rms_norm_tolerance};
}
OpDef layer_norm_def() {
  return {.op = Op::layer_norm,
          .name = "layer_norm",
          .infer = infer_layer_norm,
          .cost = cost,
          .reference = layer_norm_reference,
          .tolerance = layer_norm_tolerance};
}
OpDef add_layer_norm_def() {
  return {.op = Op::add_layer_norm,
          .name = "add_layer_norm",
          .infer = infer_add_layer_norm,
          .cost = cost,
          .reference = layer_norm_reference,
          .tolerance = layer_norm_tolerance};
}

}  // namespace veloz::ops
