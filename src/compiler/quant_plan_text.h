// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "checkpoint/quantization.h"

namespace veloz::compiler {

/// A plan as text, one line each for the plan, its linears and its layers' KV scales:
///   plan {kv_cache="fp8_e4m3", name="int4"}
///   linear {activation="int8", group=32, module="model.layers.0.mlp.up_proj", scale="fp16", ...}
///   kv_scales {k=0.5, v=1.25}
std::string print_quant_plan(const checkpoint::QuantPlan& plan);
/// Inverse; throws Error(corrupt_data) with the line.
checkpoint::QuantPlan parse_quant_plan(std::string_view text);

}  // namespace veloz::compiler
