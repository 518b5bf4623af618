// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>

#include "graph/graph.h"

namespace veloz::compiler {

/// Why these linears (indices of nodes, in the order their rows are stacked; quantized or not)
/// cannot become one; nothing where they can.
std::optional<std::string> why_not_joinable(const graph::Graph& graph, const graph::UseMap& uses,
                                            std::span<const size_t> linears);

/// Replaces them by one linear named `name` on stacked weights (their scales, zeros and biases too)
/// and one slice each.
/// They must be joinable. Invalidates node indices; `remove_dead` is left to the caller.
void join_linears(graph::Graph& graph, std::span<const size_t> linears, const std::string& name);

/// "layers.0.attn.q", "layers.0.attn.k", "qkv" -> "layers.0.attn.qkv": the first name with its last
/// component replaced.
std::string sibling_name(const std::string& name, const std::string& last_component);

}  // namespace veloz::compiler
