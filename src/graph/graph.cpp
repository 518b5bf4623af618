// SPDX-License-Identifier: Apache-2.0
#include "graph/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/error.h"

namespace veloz::graph {
namespace {

ops::ValueType constant_type(DType dtype, const Shape& shape) {
  ops::ValueType type{dtype, {}};
  for (const int64_t dim : shape.dims()) type.dims.emplace_back(dim);
  return type;
}

}  // namespace

ValueId Graph::add_value(Value value) {
  value.name = unique_name(std::move(value.name), value.kind == ValueKind::weight);
  values_.push_back(std::move(value));
  return ValueId{static_cast<int32_t>(values_.size() - 1)};
}

std::string Graph::unique_name(std::string name, bool is_weight) const {
  const auto is_taken = [&](const std::string& candidate) {
    return std::ranges::any_of(values_, [&](const Value& v) {
      return v.name == candidate && (v.kind == ValueKind::weight) == is_weight;
    });
  };
  if (!is_taken(name)) return name;
  for (int64_t suffix = 1;; ++suffix) {
    std::string candidate = fmt::format("{}.{}", name, suffix);
    if (!is_taken(candidate)) return candidate;
  }
}

ValueId Graph::add_input(std::string name, ops::ValueType type) {
  return add_value({std::move(name), std::move(type), ValueKind::input, {}});
}

ValueId Graph::add_state(std::string name, ops::ValueType type) {
  return add_value({std::move(name), std::move(type), ValueKind::state, {}});
}

ValueId Graph::add_weight(std::string name, DType dtype, const Shape& shape,
                          std::vector<WeightSegment> segments) {
  return add_value(
      {std::move(name), constant_type(dtype, shape), ValueKind::weight, std::move(segments)});
}

void Graph::set_weight_type(ValueId weight, DType dtype, const Shape& shape) {
  values_[static_cast<size_t>(weight)].type = constant_type(dtype, shape);
}

ValueId Graph::add_result(std::string name, ops::ValueType type) {
  return add_value({std::move(name), std::move(type), ValueKind::result, {}});
}

std::vector<ValueId> Graph::add_node(ops::Op op, std::vector<ValueId> inputs, ops::Attrs attrs,
                                     std::vector<std::string> names) {
  std::vector<ops::ValueType> input_types;
  input_types.reserve(inputs.size());
  for (const ValueId id : inputs) input_types.push_back(value(id).type);
  std::vector<ops::ValueType> types = ops::op_def(op).infer({input_types, attrs});
  VELOZ_CHECK(types.size() == names.size(), "{} has {} outputs, {} names were given",
              ops::op_def(op).name, types.size(), names.size());
  std::vector<ValueId> outputs;
  for (size_t i = 0; i < types.size(); ++i)
    outputs.push_back(add_result(std::move(names[i]), std::move(types[i])));
  nodes_.push_back({op, std::move(inputs), outputs, std::move(attrs)});
  return outputs;
}

ValueId Graph::add(ops::Op op, std::vector<ValueId> inputs, ops::Attrs attrs, std::string name) {
  return add_node(op, std::move(inputs), std::move(attrs), {std::move(name)}).front();
}

std::vector<ValueId> Graph::values_of_kind(ValueKind kind) const {
  std::vector<ValueId> ids;
  for (size_t i = 0; i < values_.size(); ++i)
    if (values_[i].kind == kind) ids.push_back(ValueId{static_cast<int32_t>(i)});
  return ids;
}

std::optional<ValueId> Graph::try_find(std::string_view name, ValueKind kind) const {
  for (size_t i = 0; i < values_.size(); ++i)
    if (values_[i].kind == kind && values_[i].name == name) return ValueId{static_cast<int32_t>(i)};
  return std::nullopt;
}

void Graph::replace_uses(ValueId from, ValueId to) {
  for (Node& node : nodes_) std::ranges::replace(node.inputs, from, to);
  std::ranges::replace(outputs_, from, to);
}

void Graph::replace_nodes(std::vector<Node> nodes, const std::vector<bool>& is_dropped) {
  std::vector<Node> kept;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (!is_dropped[i]) kept.push_back(std::move(nodes[i]));
  replace_nodes(std::move(kept));
}

void Graph::remove_dead() {
  std::vector<bool> is_live(values_.size(), false);
  const auto mark = [&](ValueId id) { is_live[static_cast<size_t>(id)] = true; };
  std::ranges::for_each(outputs_, mark);
  std::vector<Node> kept;
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    const bool is_read = std::ranges::any_of(
        node->outputs, [&](ValueId id) { return is_live[static_cast<size_t>(id)]; });
    if (!is_read && !ops::op_def(node->op).threads_state) continue;
    std::ranges::for_each(node->inputs, mark);
    std::ranges::for_each(node->outputs, mark);
    kept.push_back(std::move(*node));
  }
  std::ranges::reverse(kept);
  nodes_ = std::move(kept);

  std::vector<ValueId> renumbered(values_.size());
  std::vector<Value> values;
  for (size_t i = 0; i < values_.size(); ++i) {
    // Inputs and states are the graph's interface: they stay, read or not.
    const bool is_interface =
        values_[i].kind == ValueKind::input || values_[i].kind == ValueKind::state;
    if (!is_live[i] && !is_interface) continue;
    renumbered[i] = ValueId{static_cast<int32_t>(values.size())};
    values.push_back(std::move(values_[i]));
  }
  values_ = std::move(values);
  const auto renumber = [&](std::vector<ValueId>& ids) {
    for (ValueId& id : ids) id = renumbered[static_cast<size_t>(id)];
  };
  for (Node& node : nodes_) {
    renumber(node.inputs);
    renumber(node.outputs);
  }
  renumber(outputs_);
}

UseMap::UseMap(const Graph& graph)
    : producers_(graph.num_values()),
      readers_(graph.num_values()),
      is_output_(graph.num_values(), false) {
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    for (const ValueId id : node.outputs) producers_[static_cast<size_t>(id)] = i;
    for (const ValueId id : node.inputs) {
      std::vector<size_t>& readers = readers_[static_cast<size_t>(id)];
      if (readers.empty() || readers.back() != i) readers.push_back(i);
    }
  }
  for (const ValueId id : graph.outputs()) is_output_[static_cast<size_t>(id)] = true;
}

std::optional<size_t> UseMap::only_reader(ValueId id) const {
  const std::vector<size_t>& all = readers(id);
  if (all.size() != 1 || is_output(id)) return std::nullopt;
  return all.front();
}

}  // namespace veloz::graph
