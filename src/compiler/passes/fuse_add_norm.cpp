// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "compiler/passes/pass.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::UseMap;
using graph::ValueId;
using ops::Op;

std::optional<Op> fused_form(Op norm) {
  if (norm == Op::rms_norm) return Op::add_rms_norm;
  if (norm == Op::layer_norm) return Op::add_layer_norm;
  return std::nullopt;
}

/// The residual stream is the older operand: it becomes the fused op's x, the newer its delta.
bool is_swapped(const UseMap& uses, const Node& add) {
  const auto age = [&](ValueId id) {
    const auto producer = uses.producer(id);
    return producer ? *producer + 1 : 0;
  };
  return age(add.inputs[0]) > age(add.inputs[1]);
}

}  // namespace

PassReport fuse_add_norm(Graph& graph, const PassContext&) {
  PassReport report;
  const UseMap uses(graph);
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> is_dropped(nodes.size(), false);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const std::optional<Op> fused = fused_form(nodes[i].op);
    if (!fused) continue;
    const std::string name = graph.value(nodes[i].outputs[0]).name;
    const std::optional<size_t> producer = uses.producer(nodes[i].inputs[0]);
    if (!producer || graph.nodes()[*producer].op != Op::add) {
      report.remarks.push_back(fmt::format("%{} left alone: its input %{} is not a sum", name,
                                           graph.value(nodes[i].inputs[0]).name));
      continue;
    }
    Node& add = nodes[*producer];
    if (add.op != Op::add) {
      report.remarks.push_back(fmt::format("%{} left alone: the sum %{} already has a norm", name,
                                           graph.value(nodes[i].inputs[0]).name));
      continue;
    }
    // The fused node stands where the sum stood: it needs nothing beyond the sum's operands and
    // weights.
    std::vector<ValueId> inputs = add.inputs;
    if (is_swapped(uses, add)) std::swap(inputs[0], inputs[1]);
    inputs.insert(inputs.end(), nodes[i].inputs.begin() + 1, nodes[i].inputs.end());
    add = {*fused, std::move(inputs), {add.outputs[0], nodes[i].outputs[0]}, nodes[i].attrs};
    is_dropped[i] = true;
    report.remarks.push_back(
        fmt::format("joined %{} with the sum %{}", name, graph.value(add.outputs[0]).name));
    ++report.num_rewrites;
  }
  graph.replace_nodes(std::move(nodes), is_dropped);
  return report;
}

}  // namespace veloz::compiler
