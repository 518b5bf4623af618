// SPDX-License-Identifier: Apache-2.0
#include "compiler/passes/join_linears.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;
using graph::WeightSegment;

/// First and one past the last of the operands that are weights, which all have a row per channel:
/// the matrix, its scales and zeros, the bias.
struct WeightOperands {
  size_t begin;
  size_t companions_end;
  size_t end;
};
WeightOperands weight_operands(const Node& linear) {
  const std::optional<ops::PackedOperands> packed = ops::packed_operands(linear.op, linear.attrs);
  VELOZ_CHECK(packed.has_value(), "{} is no linear", ops::op_def(linear.op).name);
  return {packed->weight, packed->companions_end, linear.inputs.size()};
}

/// What the joined weight `name` calls its operand.
std::string operand_name(const WeightOperands& operands, size_t operand, const std::string& name) {
  if (operand == operands.begin) return name;
  if (operand >= operands.companions_end) return name + ".bias";
  return name + (operand == operands.begin + 1 ? ".scale" : ".zero");
}

/// Dtype and columns, or nothing of a vector.
bool have_equal_rows(const ops::ValueType& a, const ops::ValueType& b) {
  return a.dtype == b.dtype && a.dims.size() == b.dims.size() &&
         std::equal(a.dims.begin() + 1, a.dims.end(), b.dims.begin() + 1);
}

/// One weight holding the rows of operand `operand` of all the linears.
ValueId stack(Graph& graph, std::span<const size_t> linears, size_t operand,
              const std::string& name) {
  std::vector<WeightSegment> segments;
  int64_t rows = 0;
  Shape shape;
  DType dtype{};
  for (const size_t i : linears) {
    const graph::Value& weight = graph.value(graph.nodes()[i].inputs[operand]);
    segments.insert(segments.end(), weight.segments.begin(), weight.segments.end());
    shape = weight.type.bind({});
    dtype = weight.type.dtype;
    rows += shape[0];
  }
  shape[0] = rows;
  return graph.add_weight(name, dtype, shape, std::move(segments));
}

}  // namespace

std::optional<std::string> why_not_joinable(const Graph& graph, const graph::UseMap& uses,
                                            std::span<const size_t> linears) {
  const Node& first = graph.nodes()[linears.front()];
  const WeightOperands operands = weight_operands(first);
  for (const size_t i : linears) {
    const Node& node = graph.nodes()[i];
    const std::string& name = graph.value(node.outputs[0]).name;
    if (node.op != first.op) return fmt::format("%{} is quantized in another way", name);
    if (!std::equal(first.inputs.begin(), first.inputs.begin() + narrow<int>(operands.begin),
                    node.inputs.begin()))
      return fmt::format("%{} and %{} read different inputs", graph.value(first.outputs[0]).name,
                         name);
    if (node.inputs.size() != first.inputs.size())
      return fmt::format("only some have a bias (see %{})", name);
    if (node.attrs != first.attrs) return fmt::format("%{} has other attributes", name);
    for (size_t operand = operands.begin; operand < operands.end; ++operand) {
      const graph::Value& weight = graph.value(node.inputs[operand]);
      if (uses.readers(node.inputs[operand]).size() != 1)
        return fmt::format("@{} has another reader", weight.name);
      if (!have_equal_rows(weight.type, graph.value(first.inputs[operand]).type))
        return fmt::format("@{} has another format", weight.name);
    }
    if (uses.is_output(node.outputs[0])) return fmt::format("%{} is a graph output", name);
  }
  return std::nullopt;
}

std::string sibling_name(const std::string& name, const std::string& last_component) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? last_component : name.substr(0, dot + 1) + last_component;
}

void join_linears(Graph& graph, std::span<const size_t> linears, const std::string& name) {
  const Node first = graph.nodes()[linears.front()];
  const WeightOperands operands = weight_operands(first);
  std::vector<ValueId> inputs = first.inputs;
  for (size_t operand = operands.begin; operand < operands.end; ++operand)
    inputs[operand] = stack(graph, linears, operand, operand_name(operands, operand, name));

  // The joined node and its slices are appended by the graph (shape rules included), then moved to
  // where the first of the linears stood: their common input is known there.
  const size_t num_before = graph.nodes().size();
  const ValueId joined = graph.add(first.op, std::move(inputs), first.attrs, name);
  int64_t begin = 0;
  for (const size_t i : linears) {
    const ValueId old = graph.nodes()[i].outputs[0];
    const int64_t end = begin + graph.value(old).type.dims[1].value;
    const ValueId slice = graph.add(ops::Op::slice, {joined}, {{"begin", begin}, {"end", end}},
                                    graph.value(old).name + ".slice");
    graph.replace_uses(old, slice);
    begin = end;
  }
  const size_t place = *std::ranges::min_element(linears);
  std::vector<Node> nodes = graph.nodes();
  const auto at = [&](size_t index) { return nodes.begin() + static_cast<std::ptrdiff_t>(index); };
  std::rotate(at(place), at(num_before), nodes.end());
  graph.replace_nodes(std::move(nodes));
}

}  // namespace veloz::compiler
