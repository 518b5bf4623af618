// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string>

#include "graph/graph.h"

namespace veloz::graph {
namespace {

std::string operand(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return fmt::format("{}{}", value.kind == ValueKind::weight ? '@' : '%', value.name);
}

template <typename Ids, typename Text>
std::string join(const Ids& ids, const Text& text) {
  std::string joined;
  for (const auto& id : ids) {
    if (!joined.empty()) joined += ", ";
    joined += text(id);
  }
  return joined;
}

}  // namespace

std::string print_node(const Graph& graph, const Node& node) {
  const auto name = [&](ValueId id) { return operand(graph, id); };
  const auto type = [&](ValueId id) { return to_string(graph.value(id).type); };
  return fmt::format("{} = {}({}){} : {}", join(node.outputs, name), ops::op_def(node.op).name,
                     join(node.inputs, name), to_string(node.attrs), join(node.outputs, type));
}

std::string print(const Graph& graph) {
  std::string text = fmt::format("graph {} {{\n", graph.name());
  for (const ValueId id : graph.values_of_kind(ValueKind::input))
    text += fmt::format("  input {} : {}\n", operand(graph, id), to_string(graph.value(id).type));
  for (const ValueId id : graph.values_of_kind(ValueKind::state))
    text += fmt::format("  state {} : {}\n", operand(graph, id), to_string(graph.value(id).type));
  for (const ValueId id : graph.values_of_kind(ValueKind::weight)) {
    std::string segments;
    for (const WeightSegment& segment : graph.value(id).segments) {
      if (!segments.empty()) segments += " + ";
      segments +=
          fmt::format("{}[{}]", ops::to_string(ops::AttrValue(segment.tensor)), segment.rows);
    }
    text += fmt::format("  weight {} : {} = {}\n", operand(graph, id),
                        to_string(graph.value(id).type), segments);
  }
  for (const Node& node : graph.nodes()) text += fmt::format("  {}\n", print_node(graph, node));
  text += fmt::format("  return {}\n}}\n",
                      join(graph.outputs(), [&](ValueId id) { return operand(graph, id); }));
  return text;
}

}  // namespace veloz::graph
