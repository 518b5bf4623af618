// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "compiler/passes/pass.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;

bool is_whole_slice(const Graph& graph, const Node& node) {
  return node.op == ops::Op::slice && node.attrs.get_int("begin") == 0 &&
         graph.value(node.inputs[0]).type == graph.value(node.outputs[0]).type;
}

}  // namespace

PassReport canonicalise(Graph& graph, const PassContext&) {
  PassReport report;
  using Key = std::tuple<ops::Op, std::vector<ValueId>, std::string>;
  std::map<Key, size_t> first_with;
  // Nodes are visited in order, so an operand has been replaced before its readers are looked at. A
  // graph output keeps its name.
  const graph::UseMap uses(graph);
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node node = graph.nodes()[i];
    const bool is_output =
        std::ranges::any_of(node.outputs, [&](ValueId output) { return uses.is_output(output); });
    if (ops::op_def(node.op).threads_state || is_output) continue;
    if (is_whole_slice(graph, node)) {
      report.remarks.push_back(fmt::format("%{} takes all columns: replaced by its operand",
                                           graph.value(node.outputs[0]).name));
      graph.replace_uses(node.outputs[0], node.inputs[0]);
      ++report.num_rewrites;
      continue;
    }
    const auto [entry, is_new] =
        first_with.try_emplace({node.op, node.inputs, ops::to_string(node.attrs)}, i);
    if (is_new) continue;
    const Node& first = graph.nodes()[entry->second];
    report.remarks.push_back(fmt::format("%{} equals %{}: computed once",
                                         graph.value(node.outputs[0]).name,
                                         graph.value(first.outputs[0]).name));
    const std::vector<ValueId> replacements = first.outputs;
    for (size_t j = 0; j < node.outputs.size(); ++j)
      graph.replace_uses(node.outputs[j], replacements[j]);
    ++report.num_rewrites;
  }
  const size_t before = graph.nodes().size();
  graph.remove_dead();
  const auto num_dead = static_cast<int64_t>(before - graph.nodes().size()) - report.num_rewrites;
  if (num_dead > 0) {
    report.remarks.push_back(fmt::format("{} nodes nobody reads: removed", num_dead));
    report.num_rewrites += num_dead;
  }
  return report;
}

}  // namespace veloz::compiler
