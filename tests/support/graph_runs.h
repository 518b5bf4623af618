// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "support/op_runs.h"
#include "support/tensors.h"

/// Runs a graph node by node on the references, to hold a rewritten one against the original.
namespace veloz::test {

/// Given values by name: integers must be, what is left out is random by its name.
using GraphInputs = std::map<std::string, std::vector<int64_t>>;

namespace graph_internal {

inline uint64_t seed_of(std::string_view name) {
  uint64_t seed = 1469598103934665603u;
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return seed;
}

/// All codes there are; matrices between -1 and 1.
inline RandomRange weight_range(DType dtype) {
  if (dtype == DType::int8) return {.low = -127, .high = 128};
  if (dtype == DType::uint8 || dtype == DType::uint4x2) return {.low = 0, .high = 256};
  return {};
}

/// A weight is its segments: a stacked one holds the same numbers as those it was stacked from.
inline OwnedTensor weight_tensor(const graph::Value& weight) {
  const Shape shape = weight.type.bind({});
  OwnedTensor tensor(weight.type.dtype, shape);
  const int64_t columns = shape.rank() > 1 ? shape[1] : 1;
  int64_t flat = 0;
  for (const graph::WeightSegment& segment : weight.segments) {
    Shape part = shape;
    part[0] = segment.rows;
    const OwnedTensor values = random_tensor(weight.type.dtype, part, seed_of(segment.tensor),
                                             weight_range(weight.type.dtype));
    for (int64_t i = 0; i < segment.rows * columns; ++i)
      set_element(tensor.view(), flat++, element(values.view(), i));
  }
  return tensor;
}

inline OwnedTensor given_tensor(const graph::Value& value, const ops::Binding& binding,
                                const GraphInputs& inputs) {
  const Shape shape = value.type.bind(binding);
  const auto given = inputs.find(value.name);
  if (given == inputs.end()) return random_tensor(value.type.dtype, shape, seed_of(value.name));
  OwnedTensor tensor(value.type.dtype, shape);
  for (int64_t i = 0; i < shape.num_elements(); ++i)
    set_element(tensor.view(), i, static_cast<double>(given->second.at(static_cast<size_t>(i))));
  return tensor;
}

}  // namespace graph_internal

/// The graph's outputs.
inline std::vector<OwnedTensor> evaluate(const graph::Graph& graph, const ops::Binding& binding,
                                         const GraphInputs& inputs = {}) {
  std::vector<OwnedTensor> memory;
  std::map<graph::ValueId, TensorView> views;
  const auto keep = [&](graph::ValueId id, OwnedTensor tensor) {
    views[id] = tensor.view();  // valid when the tensor is moved
    memory.push_back(std::move(tensor));
  };
  for (const graph::ValueKind kind : {graph::ValueKind::input, graph::ValueKind::state})
    for (const graph::ValueId id : graph.values_of_kind(kind))
      keep(id, graph_internal::given_tensor(graph.value(id), binding, inputs));
  for (const graph::ValueId id : graph.values_of_kind(graph::ValueKind::weight))
    keep(id, graph_internal::weight_tensor(graph.value(id)));
  for (const graph::Node& node : graph.nodes()) {
    const TensorView& first = views.at(node.inputs[0]);
    if (node.op == ops::Op::slice) {
      const Shape shape = graph.value(node.outputs[0]).type.bind(binding);
      auto* const begin =
          static_cast<std::byte*>(first.data) +
          static_cast<size_t>(node.attrs.get_int("begin")) * dtype_bytes(first.dtype);
      views[node.outputs[0]] = TensorView(begin, first.dtype, shape, first.row_stride);
      continue;
    }
    std::vector<TensorView> operands;
    for (const graph::ValueId id : node.inputs) operands.push_back(views.at(id));
    std::vector<TensorView> results;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const graph::ValueId id = node.outputs[i];
      const ops::ValueType& type = graph.value(id).type;
      if (i == 0 && ops::op_def(node.op).threads_state)
        views[id] = first;
      else
        keep(id, OwnedTensor(type.dtype, type.bind(binding)));
      results.push_back(views.at(id));
    }
    run_reference_into(node.op, operands, results, node.attrs);
  }
  std::vector<OwnedTensor> outputs;
  for (const graph::ValueId id : graph.outputs()) outputs.push_back(copy_of(views.at(id)));
  return outputs;
}

}  // namespace veloz::test
