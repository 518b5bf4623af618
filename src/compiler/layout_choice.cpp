// SPDX-License-Identifier: Apache-2.0
#include "compiler/layout_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;

/// Place in the target's list of the first kernel that runs `node` on a weight in `layout`.
std::optional<size_t> kernel_rank(const Graph& graph, const Node& node, std::string_view layout,
                                  const ops::KernelRegistry& target) {
  std::vector<ops::ValueType> inputs;
  std::vector<ops::ValueType> outputs;
  for (const ValueId id : node.inputs) inputs.push_back(graph.value(id).type);
  for (const ValueId id : node.outputs) outputs.push_back(graph.value(id).type);
  const ops::KernelQuery query{node.op, inputs, outputs, node.attrs, layout};
  for (size_t i = 0; i < target.kernels().size(); ++i) {
    const ops::Kernel& kernel = target.kernels()[i];
    if (kernel.op == node.op && kernel.accepts(query)) return i;
  }
  return std::nullopt;
}

/// The layout of a matrix operand is the kernel's affair; gains and biases are read as they are.
bool is_packable(const Node& node, ValueId weight) {
  return (node.op == ops::Op::linear || node.op == ops::Op::embedding) && node.inputs[1] == weight;
}

}  // namespace

LayoutChoice choose_layout(const Graph& graph, const graph::UseMap& uses, ValueId weight,
                           const ops::KernelRegistry& target) {
  const graph::Value& value = graph.value(weight);
  const std::vector<size_t>& readers = uses.readers(weight);
  const bool may_pack = !readers.empty() && std::ranges::all_of(readers, [&](size_t reader) {
    return is_packable(graph.nodes()[reader], weight);
  });
  if (!may_pack) return {value.name, "plain", "read element by element"};

  // Of a tied table, `linear` reads every byte each step and `embedding` a row a token: linear
  // decides.
  std::vector<size_t> by_weight = readers;
  std::stable_partition(by_weight.begin(), by_weight.end(),
                        [&](size_t reader) { return graph.nodes()[reader].op == ops::Op::linear; });

  LayoutChoice best{value.name, "", ""};
  size_t best_rank = target.kernels().size();
  for (const ops::WeightLayout& layout : target.layouts()) {
    if (layout.dtype != value.type.dtype) continue;
    const auto rank_for = [&](size_t reader) {
      return kernel_rank(graph, graph.nodes()[reader], layout.name, target);
    };
    if (!std::ranges::all_of(by_weight,
                             [&](size_t reader) { return rank_for(reader).has_value(); }))
      continue;
    const size_t rank = *rank_for(by_weight.front());
    if (rank >= best_rank) continue;
    best_rank = rank;
    best.layout = layout.name;
    best.reason = fmt::format("for {}", target.kernels()[rank].name);
    if (by_weight.size() > 1)
      best.reason += fmt::format(", shared by {} readers", by_weight.size());
  }
  if (best.layout.empty())
    throw Error(ErrorKind::unsupported,
                fmt::format("no kernel of the target takes weight @{} : {}", value.name,
                            to_string(value.type)),
                "choose another --target or --dtype");
  return best;
}

}  // namespace veloz::compiler
