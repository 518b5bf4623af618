// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/passes/pass.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::UseMap;
using graph::ValueId;
using ops::Op;

/// Whether the op has the attribute `quantize`.
bool quantizes_its_output(Op op) {
  return op == Op::rms_norm || op == Op::add_rms_norm || op == Op::layer_norm ||
         op == Op::add_layer_norm || op == Op::act || op == Op::gated_act;
}

/// The node whose last output `quantize` reads, or why the two stay apart.
struct QuantizeMatch {
  std::optional<size_t> producer;
  std::string reason;
};

QuantizeMatch match(const Graph& graph, const UseMap& uses, const Node& quantize) {
  const ValueId y = quantize.inputs[0];
  const std::string& name = graph.value(y).name;
  const std::optional<size_t> producer = uses.producer(y);
  if (!producer || !quantizes_its_output(graph.nodes()[*producer].op) ||
      graph.nodes()[*producer].outputs.back() != y)
    return {std::nullopt, fmt::format("its input %{} is no norm or activation", name)};
  if (uses.is_output(y)) return {std::nullopt, fmt::format("%{} is a graph output", name)};
  if (uses.readers(y).size() != 1)
    return {std::nullopt, fmt::format("%{} has another reader", name)};
  return {producer, {}};
}

/// The attributes of both, the format under the name that tells it from the op's own.
ops::Attrs join(ops::Attrs attrs, const ops::Attrs& of_quantize) {
  for (const auto& [name, value] : of_quantize.entries())
    attrs.set(name == "format" ? "quantize" : name, value);
  return attrs;
}

}  // namespace

PassReport fuse_quantize(Graph& graph, const PassContext&) {
  PassReport report;
  const UseMap uses(graph);
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> is_dropped(nodes.size(), false);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op != Op::quantize) continue;
    const std::string& name = graph.value(nodes[i].outputs[0]).name;
    const QuantizeMatch found = match(graph, uses, nodes[i]);
    if (!found.producer) {
      report.remarks.push_back(fmt::format("%{} left alone: {}", name, found.reason));
      continue;
    }
    Node& producer = nodes[*found.producer];
    producer.outputs.pop_back();
    producer.outputs.insert(producer.outputs.end(), nodes[i].outputs.begin(),
                            nodes[i].outputs.end());
    producer.attrs = join(producer.attrs, nodes[i].attrs);
    is_dropped[i] = true;
    report.remarks.push_back(
        fmt::format("joined %{} with %{}", name, graph.value(nodes[i].inputs[0]).name));
    ++report.num_rewrites;
  }
  graph.replace_nodes(std::move(nodes), is_dropped);
  graph.remove_dead();
  return report;
}

}  // namespace veloz::compiler
