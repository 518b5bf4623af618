// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <map>
#include <set>

#include "base/error.h"
#include "graph/graph.h"

namespace veloz::graph {
namespace {

[[noreturn]] void reject(const std::string& message) {
  throw Error(ErrorKind::corrupt_data, message);
}

void verify_names(const Graph& graph) {
  std::set<std::pair<bool, std::string_view>> names;
  for (size_t i = 0; i < graph.num_values(); ++i) {
    const Value& value = graph.value(ValueId{static_cast<int32_t>(i)});
    if (!names.emplace(value.kind == ValueKind::weight, value.name).second)
      reject(fmt::format("the name \"{}\" stands for two values", value.name));
  }
}

void verify_weights(const Graph& graph) {
  for (const ValueId id : graph.values_of_kind(ValueKind::weight)) {
    const Value& weight = graph.value(id);
    int64_t rows = 0;
    for (const WeightSegment& segment : weight.segments) rows += segment.rows;
    if (weight.type.dims.empty() || !weight.type.dims[0].is_constant() ||
        rows != weight.type.dims[0].value)
      reject(fmt::format("weight @{} : {} has segments of {} rows together", weight.name,
                         to_string(weight.type), rows));
  }
}

void verify_types(const Graph& graph, const Node& node) {
  std::vector<ops::ValueType> types;
  for (const ValueId id : node.inputs) types.push_back(graph.value(id).type);
  const std::vector<ops::ValueType> expected = ops::op_def(node.op).infer({types, node.attrs});
  if (expected.size() != node.outputs.size())
    reject(fmt::format("{} outputs, the op has {}", node.outputs.size(), expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    const Value& output = graph.value(node.outputs[i]);
    if (output.type != expected[i])
      reject(fmt::format("%{} is declared {}, the op gives {}", output.name, to_string(output.type),
                         to_string(expected[i])));
  }
}

/// The chain of a state: which version of it is current while nodes are walked in order.
class StateChains {
 public:
  explicit StateChains(const Graph& graph) : graph_(graph) {
    for (const ValueId id : graph.values_of_kind(ValueKind::state))
      state_of_[id] = current_[id] = id;
  }

  void visit(const Node& node) {
    for (const ValueId id : node.inputs) {
      const auto found = state_of_.find(id);
      if (found != state_of_.end() && current_[found->second] != id)
        reject(fmt::format("reads %{} after it was overwritten", graph_.value(id).name));
    }
    if (!ops::op_def(node.op).threads_state) return;
    const auto found = state_of_.find(node.inputs.front());
    if (found == state_of_.end())
      reject(fmt::format("updates %{}, which is no state", graph_.value(node.inputs.front()).name));
    const ValueId state = found->second;
    state_of_[node.outputs.front()] = state;
    current_[state] = node.outputs.front();
  }

 private:
  const Graph& graph_;
  std::map<ValueId, ValueId> state_of_;  // version -> state
  std::map<ValueId, ValueId> current_;   // state -> latest version
};

}  // namespace

void verify(const Graph& graph) {
  verify_names(graph);
  verify_weights(graph);
  std::vector<bool> is_defined(graph.num_values(), false);
  for (size_t i = 0; i < graph.num_values(); ++i)
    is_defined[i] = graph.value(ValueId{static_cast<int32_t>(i)}).kind != ValueKind::result;
  StateChains chains(graph);
  for (const Node& node : graph.nodes()) {
    try {
      for (const ValueId id : node.inputs)
        if (!is_defined[static_cast<size_t>(id)])
          reject(fmt::format("reads %{} before it is made", graph.value(id).name));
      verify_types(graph, node);
      chains.visit(node);
      for (const ValueId id : node.outputs) {
        if (is_defined[static_cast<size_t>(id)])
          reject(fmt::format("makes %{} a second time", graph.value(id).name));
        is_defined[static_cast<size_t>(id)] = true;
      }
    } catch (Error& e) {
      e.add_context(fmt::format("in \"{}\"", print_node(graph, node)));
      throw;
    }
  }
  if (graph.outputs().empty()) reject("the graph returns nothing");
  for (const ValueId id : graph.outputs())
    if (!is_defined[static_cast<size_t>(id)])
      reject(fmt::format("returns %{}, which no node makes", graph.value(id).name));
}

}  // namespace veloz::graph
