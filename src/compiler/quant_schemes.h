// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/quantization.h"
#include "compiler/rtn_source.h"
#include "graph/graph.h"

namespace veloz::compiler {

/// A way to quantize the linears of a floating-point checkpoint while it is compiled.
struct QuantScheme {
  std::string_view name;  // "int4"
  std::string_view description;
  checkpoint::LinearScheme linear;
  bool has_one_scale = false;  // all rows of a weight have the scale of the whole tensor
};

std::span<const QuantScheme> quant_schemes();
/// Throws Error(invalid_input) with the names there are; `flag` is where the name was given.
const QuantScheme& quant_scheme(std::string_view name, std::string_view flag);

inline constexpr std::string_view kNoScheme = "none";

/// Linears whose modules match `pattern` (`*` any text, `?` one character, `[...]` one of a set)
/// get this scheme, or kNoScheme.
struct QuantLayer {
  std::string pattern;
  std::string scheme;
};
/// "*.mlp.down_proj=int8". Throws Error(invalid_input).
QuantLayer parse_quant_layer(const std::string& text);

/// What a build is asked to quantize.
struct QuantRequest {
  std::string scheme{kNoScheme};   // of all linears but lm_head
  std::vector<QuantLayer> layers;  // the first that matches decides over `scheme`
  std::string lm_head{kNoScheme};  // it is large and hurts most

  bool is_empty() const;
  /// Throws Error(invalid_input) for a scheme that is not known.
  void check() const;
  /// All of it on one line, for keys and messages.
  std::string text() const;
};

/// The schemes of a graph's linears, by module, and how their weights are rounded.
struct RequestedQuantization {
  checkpoint::QuantPlan plan;
  std::map<std::string, RtnLinear> linears;
};
/// Throws Error(invalid_input) for a pattern that matches no linear.
RequestedQuantization plan_quantization(const graph::Graph& graph, const QuantRequest& request);

}  // namespace veloz::compiler
