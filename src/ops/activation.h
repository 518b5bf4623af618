// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "ops/op.h"
#include "ops/quantize.h"

namespace veloz::ops {

/// silu: x / (1 + e^-x); gelu: x/2 (1 + erf(x / sqrt 2)); gelu_tanh: its tanh form
/// (arXiv:1606.08415), which Hugging Face calls gelu_new and gelu_pytorch_tanh; relu: max(x, 0). At
/// -infinity all are 0.
enum class Activation : uint8_t { silu, gelu, gelu_tanh, relu };

std::string_view to_string(Activation activation);
/// Throws Error(corrupt_data) with the names known.
Activation parse_activation(std::string_view name);
/// In fp64: the reference.
double activate(Activation activation, double x);

/// act(x) {act="..."} -> y;   y = f(x).   gated_act(gate, up) {act="..."} -> y;   y = f(gate) * up.
/// All [T, D], fp32 or bf16, rows may be strided (gate and up are often halves of one matrix). f
/// and the product are computed in fp32, one rounding. y may be x. With the attribute `quantize`
/// codes and scales stand in place of y (ops/quantize.h).
struct ActArgs {
  TensorView x;   // or gate
  TensorView up;  // data is null in act
  TensorView y;   // data is null where it is quantized
  std::optional<QuantizeArgs> quantized;
  Activation activation = Activation::silu;

  static ActArgs from(const OpCall& call);
};

OpDef act_def();
OpDef gated_act_def();

}  // namespace veloz::ops
