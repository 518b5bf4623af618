// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "compiler/passes/join_linears.h"
#include "compiler/passes/pass.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::UseMap;
using graph::ValueId;
using ops::Op;

bool is_linear(Op op) {
  return op == Op::linear || op == Op::quantized_linear || op == Op::weight_only_linear;
}

/// The linear that makes `value`, looking through rope and views; absent where something else does.
std::optional<size_t> linear_behind(const Graph& graph, const UseMap& uses, ValueId value) {
  std::optional<size_t> node = uses.producer(value);
  while (node && graph.nodes()[*node].op == Op::rope)
    node = uses.producer(graph.nodes()[*node].inputs[0]);
  if (!node || !is_linear(graph.nodes()[*node].op)) return std::nullopt;
  return node;
}

/// Linears that feed one node of the graph and could be one, with the name the joined weight would
/// get.
struct Group {
  std::vector<size_t> linears;
  std::string name;
};

/// Whether `node` anchors a group (an attention, a gated activation), and which.
using Matcher = std::function<std::optional<Group>(const Graph&, const UseMap&, const Node&)>;

std::optional<Group> group_of(const Graph& graph, const UseMap& uses,
                              std::initializer_list<ValueId> values, const std::string& component) {
  Group group;
  for (const ValueId value : values) {
    const std::optional<size_t> linear = linear_behind(graph, uses, value);
    if (!linear) return std::nullopt;  // already joined: a slice, or no linear at all
    group.linears.push_back(*linear);
  }
  const Node& first = graph.nodes()[group.linears.front()];
  const ValueId weight = first.inputs[ops::packed_operands(first.op, first.attrs)->weight];
  group.name = sibling_name(graph.value(weight).name, component);
  return group;
}

std::optional<Group> match_qkv(const Graph& graph, const UseMap& uses, const Node& node) {
  if (node.op != Op::paged_attention) return std::nullopt;
  const std::optional<size_t> append = uses.producer(node.inputs[1]);
  if (!append || graph.nodes()[*append].op != Op::kv_append) return std::nullopt;
  const Node& kv = graph.nodes()[*append];
  return group_of(graph, uses, {node.inputs[0], kv.inputs[1], kv.inputs[2]}, "qkv");
}

std::optional<Group> match_gate_up(const Graph& graph, const UseMap& uses, const Node& node) {
  if (node.op != Op::gated_act) return std::nullopt;
  return group_of(graph, uses, {node.inputs[0], node.inputs[1]}, "gate_up");
}

PassReport join_all(Graph& graph, const Matcher& match) {
  PassReport report;
  std::set<std::string> blocked;  // joined names that were refused, so that each is remarked once
  bool is_changed = true;
  while (is_changed) {
    is_changed = false;
    const UseMap uses(graph);
    for (const Node& node : graph.nodes()) {
      const std::optional<Group> group = match(graph, uses, node);
      if (!group || blocked.contains(group->name)) continue;
      if (const auto reason = why_not_joinable(graph, uses, group->linears)) {
        report.remarks.push_back(fmt::format("@{} not joined: {}", group->name, *reason));
        blocked.insert(group->name);
        continue;
      }
      join_linears(graph, group->linears, group->name);
      report.remarks.push_back(
          fmt::format("joined {} linears into @{}", group->linears.size(), group->name));
      ++report.num_rewrites;
      is_changed = true;
      break;  // indices are stale
    }
  }
  graph.remove_dead();
  return report;
}

}  // namespace

PassReport fuse_qkv(Graph& graph, const PassContext&) { return join_all(graph, match_qkv); }

PassReport fuse_gate_up(Graph& graph, const PassContext&) { return join_all(graph, match_gate_up); }

}  // namespace veloz::compiler
