// SPDX-License-Identifier: Apache-2.0
#include "ops/linear.h"

#include <cmath>

#include "base/error.h"
#include "ops/element.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("linear", signature, {"x", "w", "bias"}, {"out"}, 1);
  const ValueType& x = rule.expect_matrix(0);
  const Dim k = x.dims[1];
  if (rule.type(1).dims.size() != 2) rule.fail_operand(1, "a matrix [N, K] of x's dtype");
  const Dim n = rule.constant_extent(1, 0);
  rule.expect_type(1, {x.dtype, {n, k}}, "dtype and columns of x");
  if (rule.has(2)) rule.expect_type(2, {DType::fp32, {n}}, "one per row of w");
  if (!signature.attrs.contains("out")) return {{x.dtype, {x.dims[0], n}}};
  rule.choice_attr("out", {"fp32"});
  return {{DType::fp32, {x.dims[0], n}}};
}

Cost cost(const OpCall& call) {
  const double t = static_cast<double>(call.inputs[0].shape[0]);
  const double n = static_cast<double>(call.inputs[1].shape[0]);
  const double k = static_cast<double>(call.inputs[1].shape[1]);
  return {.flops = 2 * t * n * k, .bytes = operand_bytes(call)};
}

void reference(OpContext&, const OpCall& call) noexcept {
  const LinearArgs a = LinearArgs::from(call);
  for (int64_t t = 0; t < a.y.shape[0]; ++t) {
    for (int64_t n = 0; n < a.y.shape[1]; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < a.x.shape[1]; ++k)
        sum += static_cast<double>(load_element(a.x, t, k)) * load_element(a.w, n, k);
      if (a.bias.data != nullptr) sum += a.bias.as<const float>()[n];
      store_element(a.y, t, n, static_cast<float>(sum));
    }
  }
}

/// Probabilistic bound of an fp32 sum of K products in any order: 4 sqrt(K) u sum|x w|
/// (Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019).
double tolerance(const OpCall& call, size_t, int64_t t, int64_t n) {
  const LinearArgs a = LinearArgs::from(call);
  const int64_t k_extent = a.x.shape[1];
  double magnitude = a.bias.data != nullptr ? std::abs(a.bias.as<const float>()[n]) : 0.0;
  for (int64_t k = 0; k < k_extent; ++k)
    magnitude += std::abs(static_cast<double>(load_element(a.x, t, k)) * load_element(a.w, n, k));
  const double sum_error =
      4 * std::sqrt(static_cast<double>(k_extent)) * unit_roundoff(DType::fp32) * magnitude;
  return sum_error + 2 * unit_roundoff(a.y.dtype) * std::abs(load_element(a.y, t, n));
}

}  // namespace

LinearArgs LinearArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() >= 2 && call.outputs.size() == 1, "linear of {} operands",
               call.inputs.size());
  return {.x = call.inputs[0],
          .w = call.inputs[1],
          .bias = call.inputs.size() > 2 ? call.inputs[2] : TensorView(),
          .y = call.outputs[0]};
}

OpDef linear_def() {
  return {.op = Op::linear,
          .name = "linear",
          .infer = infer,
          .cost = cost,
          .reference = reference,
          .tolerance = tolerance};
}

}  // namespace veloz::ops
