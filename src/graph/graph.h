// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/op.h"

namespace veloz::graph {

enum class ValueId : int32_t {};

enum class ValueKind : uint8_t {
  input,   // given for each step: %tokens
  state,   // a buffer that outlives steps, before this step: %kv.0
  weight,  // constant: @layers.0.qkv
  result,  // made by a node
};

/// A piece of a weight: all rows of one tensor of the checkpoint. A weight is its segments, one
/// below the other; a fused weight keeps its list, so that sharding can cut by head and a reader
/// sees where it came from.
struct WeightSegment {
  std::string tensor;  // name in the checkpoint
  int64_t rows = 0;    // elements for a weight of rank 1
  bool operator==(const WeightSegment&) const = default;
};

struct Value {
  std::string name;  // unique in the graph, without sigil
  ops::ValueType type;
  ValueKind kind = ValueKind::result;
  std::vector<WeightSegment> segments;  // of a weight
};

struct Node {
  ops::Op op{};
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  ops::Attrs attrs;
};

/// SSA over typed values: nodes in an order in which each operand stands before its readers. Pure
/// data with small helpers; `verify` proves it well-formed, passes rewrite it, nothing here knows a
/// device.
class Graph {
 public:
  explicit Graph(std::string name = {}) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }

  ValueId add_input(std::string name, ops::ValueType type);
  ValueId add_state(std::string name, ops::ValueType type);
  ValueId add_weight(std::string name, DType dtype, const Shape& shape,
                     std::vector<WeightSegment> segments);
  /// Appends a node; output types come from the op's shape rule. `names` gives one name per output
  /// (made unique where taken).
  std::vector<ValueId> add_node(ops::Op op, std::vector<ValueId> inputs, ops::Attrs attrs,
                                std::vector<std::string> names);
  /// As add_node, for ops with one output.
  ValueId add(ops::Op op, std::vector<ValueId> inputs, ops::Attrs attrs, std::string name);
  void set_outputs(std::vector<ValueId> outputs) { outputs_ = std::move(outputs); }

  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  size_t num_values() const { return values_.size(); }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }
  std::vector<ValueId> values_of_kind(ValueKind kind) const;
  std::optional<ValueId> try_find(std::string_view name, ValueKind kind) const;

  // For passes.
  ValueId add_result(std::string name, ops::ValueType type);
  /// Gives a weight another dtype and shape of as many rows; its segments stay.
  void set_weight_type(ValueId weight, DType dtype, const Shape& shape);
  void replace_nodes(std::vector<Node> nodes) { nodes_ = std::move(nodes); }
  /// The same with those left out that `is_dropped`, one flag for each, names.
  void replace_nodes(std::vector<Node> nodes, const std::vector<bool>& is_dropped);
  /// Lets every reader of `from`, graph outputs included, read `to`.
  void replace_uses(ValueId from, ValueId to);
  /// Drops nodes whose results nobody reads (state updates stay), then values nobody mentions.
  void remove_dead();

 private:
  ValueId add_value(Value value);
  std::string unique_name(std::string name, bool is_weight) const;

  std::string name_;
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<ValueId> outputs_;
};

/// Who makes and who reads each value; built once per pass, stale after an edit.
class UseMap {
 public:
  explicit UseMap(const Graph& graph);
  /// Index of the node that makes the value; absent for inputs, states and weights.
  std::optional<size_t> producer(ValueId id) const { return producers_[static_cast<size_t>(id)]; }
  /// Indices of the nodes that read it, in order.
  const std::vector<size_t>& readers(ValueId id) const { return readers_[static_cast<size_t>(id)]; }
  bool is_output(ValueId id) const { return is_output_[static_cast<size_t>(id)]; }
  /// The only node that reads the value, where there is exactly one and it is no graph output.
  std::optional<size_t> only_reader(ValueId id) const;

 private:
  std::vector<std::optional<size_t>> producers_;
  std::vector<std::vector<size_t>> readers_;
  std::vector<bool> is_output_;
};

/// Proves the graph well-formed: operands defined before use, types as the shape rules say, names
/// unique, weights covered by their segments, and each state one linear chain (every version read
/// only before the next is made). Throws Error(corrupt_data) that names the node.
void verify(const Graph& graph);

/// The text form; parse(print(g)) prints the same text.
std::string print(const Graph& graph);
/// One node as in the text form: `%5 = rms_norm(%4, @g) {eps=1e-05} : bf16[T,2048]`.
std::string print_node(const Graph& graph, const Node& node);
/// Throws Error(corrupt_data) with the line number. The result is verified.
Graph parse(std::string_view text);

}  // namespace veloz::graph
