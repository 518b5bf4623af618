// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/model_structure.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace veloz::compress {
namespace {

using graph::Graph;
using graph::Node;
using graph::UseMap;
using graph::ValueId;
using ops::Op;

constexpr std::string_view kWeightSuffix = ".weight";

Error no_chain(const Graph& graph, const std::string& what) {
  return Error(ErrorKind::unsupported,
               fmt::format("architecture \"{}\" {}: it cannot be quantized layer by layer",
                           graph.name(), what),
               "llama, qwen2 and gptj can");
}

/// The nodes between `input` and `output`.
std::vector<size_t> nodes_between(const Graph& graph, const UseMap& uses, ValueId input,
                                  ValueId output) {
  std::set<size_t> found;
  std::vector<ValueId> open = {output};
  while (!open.empty()) {
    const ValueId id = open.back();
    open.pop_back();
    const std::optional<size_t> producer = uses.producer(id);
    if (id == input || !producer || !found.insert(*producer).second) continue;
    const Node& node = graph.nodes()[*producer];
    if (node.op == Op::embedding) throw no_chain(graph, "reads its embedding in several layers");
    open.insert(open.end(), node.inputs.begin(), node.inputs.end());
  }
  return {found.begin(), found.end()};
}

/// The last value that a node makes under each "layers.<i>.".
std::vector<ValueId> layer_outputs(const Graph& graph) {
  std::vector<ValueId> outputs;
  for (size_t layer = 0;; ++layer) {
    const std::string prefix = fmt::format("layers.{}.", layer);
    std::optional<ValueId> last;
    for (const Node& node : graph.nodes())
      for (const ValueId id : node.outputs)
        if (graph.value(id).name.starts_with(prefix)) last = id;
    if (!last) return outputs;
    outputs.push_back(*last);
  }
}

LinearModule module_of(const Graph& graph, size_t node_index) {
  const Node& node = graph.nodes()[node_index];
  const graph::Value& weight = graph.value(node.inputs[1]);
  VELOZ_CHECK(weight.segments.size() == 1, "weight {} has {} segments", weight.name,
              weight.segments.size());
  std::string module = weight.segments[0].tensor;
  VELOZ_CHECK(module.ends_with(kWeightSuffix), "a linear's weight is named {}", module);
  module.resize(module.size() - kWeightSuffix.size());
  const std::string bias =
      node.inputs.size() > 2 ? graph.value(node.inputs[2]).segments[0].tensor : "";
  return {node_index, std::move(module), bias, weight.type.dims[0].value,
          weight.type.dims[1].value};
}

class FoldFinder {
 public:
  FoldFinder(const Graph& graph, const UseMap& uses) : graph_(graph), uses_(uses) {}

  void find(InputGroup& group) const {
    const std::optional<size_t> producer = uses_.producer(group.input);
    // Whoever else reads the input would see the factors.
    if (!producer || uses_.is_output(group.input) ||
        uses_.readers(group.input).size() != group.linears.size())
      return;
    const Node& node = graph_.nodes()[*producer];
    switch (node.op) {
      case Op::rms_norm:
      case Op::layer_norm:
        fold_into_norm(node, group);
        return;
      case Op::gated_act:
        fold_into_linear(node.inputs[1], *producer, {}, group);
        return;
      case Op::paged_attention:
        fold_into_v(node, group);
        return;
      default:
        return;
    }
  }

 private:
  void fold_into_norm(const Node& norm, InputGroup& group) const {
    std::vector<std::string> tensors;
    for (size_t i = 1; i < norm.inputs.size(); ++i) {
      if (uses_.readers(norm.inputs[i]).size() != 1) return;
      tensors.push_back(graph_.value(norm.inputs[i]).segments[0].tensor);
    }
    group.fold = FoldKind::norm;
    group.norm_tensors = std::move(tensors);
  }

  /// Where `value` is the output of a linear that `reader` alone reads.
  void fold_into_linear(ValueId value, size_t reader, std::vector<int32_t> channel_of_column,
                        InputGroup& group) const {
    const std::optional<size_t> producer = uses_.producer(value);
    if (!producer || graph_.nodes()[*producer].op != Op::linear) return;
    if (uses_.only_reader(value) != reader) return;
    if (uses_.readers(graph_.nodes()[*producer].inputs[1]).size() != 1) return;
    group.fold = FoldKind::linear;
    group.producer = module_of(graph_, *producer);
    group.channel_of_column = std::move(channel_of_column);
  }

  /// A factor on a channel of v comes through attention unchanged: outputs are sums of v's rows.
  void fold_into_v(const Node& attention, InputGroup& group) const {
    const std::optional<size_t> append = uses_.producer(attention.inputs[1]);
    if (!append || graph_.nodes()[*append].op != Op::kv_append) return;
    if (uses_.readers(attention.inputs[1]).size() != 1) return;
    const int64_t num_heads = attention.attrs.get_int("num_heads");
    const int64_t num_kv_heads = attention.attrs.get_int("num_kv_heads");
    const int64_t head_dim = attention.attrs.get_int("head_dim");
    std::vector<int32_t> channels;
    for (int64_t head = 0; head < num_heads; ++head)
      for (int64_t i = 0; i < head_dim; ++i)
        channels.push_back(static_cast<int32_t>(head / (num_heads / num_kv_heads) * head_dim + i));
    fold_into_linear(graph_.nodes()[*append].inputs[2], *append, std::move(channels), group);
  }

  const Graph& graph_;
  const UseMap& uses_;
};

}  // namespace

ModelSlices slice_model(const Graph& graph) {
  const UseMap uses(graph);
  ModelSlices slices;
  const auto embedding = std::ranges::find_if(
      graph.nodes(), [](const Node& node) { return node.op == Op::embedding; });
  const std::vector<ValueId> outputs = layer_outputs(graph);
  if (embedding == graph.nodes().end() || outputs.empty())
    throw no_chain(graph, "has no embedding or no layers");
  slices.embedding_node = static_cast<size_t>(embedding - graph.nodes().begin());
  slices.embedded = embedding->outputs[0];
  ValueId input = slices.embedded;
  for (const ValueId output : outputs) {
    slices.layers.push_back({fmt::format("layers.{}", slices.layers.size()),
                             nodes_between(graph, uses, input, output), input, output});
    input = output;
  }
  const ValueId logits = graph.outputs()[0];
  slices.head = {"head", nodes_between(graph, uses, input, logits), input, logits};
  return slices;
}

std::vector<InputGroup> find_input_groups(const Graph& graph, const GraphSlice& slice) {
  const UseMap uses(graph);
  std::vector<InputGroup> groups;
  for (const size_t index : slice.nodes) {
    const Node& node = graph.nodes()[index];
    if (node.op != Op::linear) continue;
    auto group = std::ranges::find_if(
        groups, [&](const InputGroup& g) { return g.input == node.inputs[0]; });
    if (group == groups.end()) {
      groups.emplace_back().input = node.inputs[0];
      group = groups.end() - 1;
    }
    group->linears.push_back(module_of(graph, index));
  }
  const FoldFinder finder(graph, uses);
  for (InputGroup& group : groups) finder.find(group);
  return groups;
}

}  // namespace veloz::compress
