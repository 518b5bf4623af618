// SPDX-License-Identifier: Apache-2.0
#include "compiler/quantize_activations.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::compiler {
namespace {

using checkpoint::LinearScheme;

constexpr int64_t kMinGroup = 32;  // of ops::quantized_linear

bool has_integer_product(const LinearScheme& scheme) {
  if (scheme.weight == DType::uint4x2) return scheme.group == 0 || scheme.group >= kMinGroup;
  return scheme.weight == DType::int8 && scheme.group == 0 && !scheme.has_zeros;
}

}  // namespace

void quantize_activations(checkpoint::QuantPlan& plan) {
  int64_t num_changed = 0;
  for (auto& [module, scheme] : plan.linears) {
    if (scheme.activation || !has_integer_product(scheme)) continue;
    scheme.activation = DType::int8;
    ++num_changed;
  }
  if (num_changed == 0)
    throw Error(ErrorKind::invalid_input,
                fmt::format("--quant-activations int8, but no linear of the checkpoint ({}) has "
                            "integer weights whose activations stay as they are",
                            plan.name),
                "leave it out");
  plan.name += ", int8 activations";
}

}  // namespace veloz::compiler
