// SPDX-License-Identifier: Apache-2.0
#include "compiler/layout_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;
using graph::ValueKind;

constexpr std::string_view kPlain = "plain";

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

/// How a weight is read, over all its readers.
struct Reading {
  std::vector<const Node*> as_matrix;  // its layout is the kernel's affair
  std::set<ValueId> beside;            // the matrices whose scales or zeros it is
  bool is_read_by_element = false;     // gains and biases are read as they are

  bool is_matrix() const { return !as_matrix.empty() && beside.empty() && !is_read_by_element; }
};

std::map<ValueId, Reading> find_readings(const Graph& graph) {
  std::map<ValueId, Reading> readings;
  for (const ValueId id : graph.values_of_kind(ValueKind::weight)) readings[id];
  for (const Node& node : graph.nodes()) {
    const std::optional<ops::PackedOperands> packed = ops::packed_operands(node.op, node.attrs);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const auto reading = readings.find(node.inputs[i]);
      if (reading == readings.end()) continue;
      if (packed && i == packed->weight)
        reading->second.as_matrix.push_back(&node);
      else if (packed && i > packed->weight && i < packed->companions_end)
        reading->second.beside.insert(node.inputs[packed->weight]);
      else
        reading->second.is_read_by_element = true;
    }
  }
  return readings;
}

class Chooser {
 public:
  Chooser(const Graph& graph, const ops::KernelRegistry& target)
      : graph_(graph), target_(target), readings_(find_readings(graph)) {}

  std::map<ValueId, LayoutChoice> run() {
    std::map<ValueId, LayoutChoice> choices;
    for (const auto& [weight, reading] : readings_) {
      choices[weight] = {graph_.value(weight).name, std::string(kPlain), "read element by element"};
      if (reading.is_matrix()) choices[weight] = choose(weight, reading);
    }
    for (const auto& [weight, reading] : readings_) {
      if (reading.beside.empty()) continue;
      const LayoutChoice& matrix = choices.at(*reading.beside.begin());
      choices[weight].layout = companion_of(*reading.beside.begin(), matrix.layout);
      choices[weight].reason = fmt::format("beside @{}", matrix.weight);
    }
    return choices;
  }

 private:
  std::string companion_of(ValueId matrix, const std::string& layout) const {
    return std::string(target_.layout(layout, graph_.value(matrix).type.dtype).companion);
  }

  /// Whether what lies beside the matrix can have the companion of its layout.
  bool have_companions(const std::vector<const Node*>& readers, ValueId weight,
                       std::string_view companion) const {
    if (companion == kPlain) return true;
    return std::ranges::all_of(readers, [&](const Node* reader) {
      const ops::PackedOperands packed = *ops::packed_operands(reader->op, reader->attrs);
      for (size_t i = packed.weight + 1; i < packed.companions_end; ++i) {
        const auto reading = readings_.find(reader->inputs[i]);
        if (reading == readings_.end() || reading->second.beside != std::set{weight} ||
            !reading->second.as_matrix.empty() || reading->second.is_read_by_element)
          return false;
        const DType dtype = graph_.value(reader->inputs[i]).type.dtype;
        const bool is_known =
            std::ranges::any_of(target_.layouts(), [&](const ops::WeightLayout& layout) {
              return layout.name == companion && layout.dtype == dtype;
            });
        if (!is_known) return false;
      }
      return true;
    });
  }

  LayoutChoice choose(ValueId weight, const Reading& reading) const {
    const graph::Value& value = graph_.value(weight);
    // Of a tied table, `linear` reads every byte each step and `embedding` a row a token: linear
    // decides.
    std::vector<const Node*> readers = reading.as_matrix;
    std::stable_partition(readers.begin(), readers.end(),
                          [](const Node* reader) { return reader->op != ops::Op::embedding; });

    LayoutChoice best{value.name, "", ""};
    size_t best_rank = target_.kernels().size();
    for (const ops::WeightLayout& layout : target_.layouts()) {
      if (layout.dtype != value.type.dtype || !have_companions(readers, weight, layout.companion))
        continue;
      const auto rank_for = [&](const Node* reader) {
        return kernel_rank(graph_, *reader, layout.name, target_);
      };
      if (!std::ranges::all_of(readers,
                               [&](const Node* reader) { return rank_for(reader).has_value(); }))
        continue;
      const size_t rank = *rank_for(readers.front());
      if (rank >= best_rank) continue;
      best_rank = rank;
      best.layout = layout.name;
      best.reason = fmt::format("for {}", target_.kernels()[rank].name);
      if (readers.size() > 1) best.reason += fmt::format(", shared by {} readers", readers.size());
    }
    if (best.layout.empty())
      throw Error(ErrorKind::unsupported,
                  fmt::format("no kernel of the target takes weight @{} : {}", value.name,
                              to_string(value.type)),
                  "choose another --target or --dtype");
    return best;
  }

  const Graph& graph_;
  const ops::KernelRegistry& target_;
  const std::map<ValueId, Reading> readings_;
};

}  // namespace

std::map<ValueId, LayoutChoice> choose_layouts(const Graph& graph,
                                               const ops::KernelRegistry& target) {
  return Chooser(graph, target).run();
}

}  // namespace veloz::compiler
