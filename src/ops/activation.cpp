// SPDX-License-Identifier: Apache-2.0
#include "ops/activation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "base/error.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"silu", "gelu", "gelu_tanh", "relu"};

std::vector<ValueType> infer(const ShapeRule& rule, const Attrs& attrs) {
  const ValueType& x = rule.expect_matrix(0);
  if (rule.has(1)) rule.expect_type(1, x, "as gate");
  rule.choice_attr("act", {"silu", "gelu", "gelu_tanh", "relu"});
  return with_quantized_output(rule, attrs, {x});
}

std::vector<ValueType> infer_act(const OpSignature& signature) {
  return infer(ShapeRule("act", signature, {"x"}, {"act", "quantize", "group", "scale"}),
               signature.attrs);
}
std::vector<ValueType> infer_gated_act(const OpSignature& signature) {
  return infer(
      ShapeRule("gated_act", signature, {"gate", "up"}, {"act", "quantize", "group", "scale"}),
      signature.attrs);
}

Cost cost(const OpCall& call) {
  const double elements = static_cast<double>(call.inputs[0].shape.num_elements());
  return {.flops = 8 * elements, .bytes = operand_bytes(call)};
}

void reference(OpContext& context, const OpCall& call) noexcept {
  ActArgs a = ActArgs::from(call);
  if (a.quantized) a.y = unquantized_output(context, call);
  for (int64_t t = 0; t < a.x.shape[0]; ++t) {
    for (int64_t i = 0; i < a.x.shape[1]; ++i) {
      double y = activate(a.activation, load_element(a.x, t, i));
      if (a.up.data != nullptr) y *= load_element(a.up, t, i);
      store_element(a.y, t, i, static_cast<float>(y));
    }
  }
  if (a.quantized) quantize_reference(*a.quantized, a.y);
}

/// A few ulp of fp32 in f and in the product; where gelu's 1 + erf cancels, relative to x.
double tolerance(const OpCall& call, size_t output, int64_t t, int64_t i) {
  const ActArgs a = ActArgs::from(call);
  const auto y_tolerance = [&](int64_t column, double y) {
    if (a.activation == Activation::relu && a.up.data == nullptr) return 0.0;
    const double x = std::abs(load_element(a.x, t, column));
    const double up = a.up.data != nullptr ? std::abs(load_element(a.up, t, column)) : 1.0;
    return unit_roundoff(DType::fp32) * (16 * y + 4 * std::min(x, 16.0) * up) +
           2 * unit_roundoff(a.x.dtype) * y;
  };
  if (!a.quantized) return y_tolerance(i, std::abs(load_element(a.y, t, i)));
  return quantized_tolerance(*a.quantized, a.x.dtype, output == 0, t, i, y_tolerance);
}

}  // namespace

std::string_view to_string(Activation activation) {
  return kNames.at(static_cast<size_t>(activation));
}

Activation parse_activation(std::string_view name) {
  const auto at = std::ranges::find(kNames, name);
  if (at == kNames.end())
    throw Error(ErrorKind::corrupt_data,
                fmt::format("unknown activation \"{}\", known are {}", name.substr(0, 40),
                            fmt::join(kNames, ", ")),
                "the graph or plan is damaged or was edited by hand; build the engine again");
  return static_cast<Activation>(at - kNames.begin());
}

double activate(Activation activation, double x) {
  constexpr double kGeluCubic = 0.044715;
  if (std::isinf(x) && x < 0) return 0;  // the limit of them all, where the formulas give NaN
  switch (activation) {
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu:
      return x / 2 * (1 + std::erf(x / std::numbers::sqrt2));
    case Activation::gelu_tanh:
      return x / 2 *
             (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + kGeluCubic * x * x * x)));
    case Activation::relu:
      return x < 0 ? 0 : x;  // NaN stays NaN
  }
  return 0;
}

ActArgs ActArgs::from(const OpCall& call) {
  VELOZ_DCHECK(!call.inputs.empty() && !call.outputs.empty(), "act of {} operands",
               call.inputs.size());
  const std::optional<QuantizeArgs> quantized = quantized_output(call);
  return {.x = call.inputs[0],
          .up = call.inputs.size() > 1 ? call.inputs[1] : TensorView(),
          .y = quantized ? TensorView() : call.outputs[0],
          .quantized = quantized,
          .activation = parse_activation(call.attrs.get_string("act"))};
}

OpDef act_def() {
  return {.op = Op::act,
          .name = "act",
          .infer = infer_act,
          .cost = cost,
          .reference = reference,
          .tolerance = tolerance,
          .workspace_bytes = unquantized_output_bytes};
}
OpDef gated_act_def() {
  return {.op = Op::gated_act,
          .name = "gated_act",
          .infer = infer_gated_act,
          .cost = cost,
          .reference = reference,
          .tolerance = tolerance,
          .workspace_bytes = unquantized_output_bytes};
}

}  // namespace veloz::ops
