// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/slice_runner.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::compress {
namespace {

using graph::Node;
using graph::Value;
using graph::ValueId;
using graph::ValueKind;
using ops::Symbol;

int64_t block_size_of(const graph::Graph& graph) {
  const std::vector<ValueId> states = graph.values_of_kind(ValueKind::state);
  VELOZ_CHECK(!states.empty(), "a model without a KV cache");
  return graph.value(states[0]).type.dims[3].value;
}

/// The step that computes a batch's texts from their beginnings, as runtime::Batch describes it.
struct StepInputs {
  std::vector<int32_t> tokens, positions, q_starts, q_lens, kv_lens, block_tables, logit_rows;
  std::vector<int64_t> slots;
  ops::Binding binding{};
};

StepInputs lay_out(const TextBatch& batch, int64_t block_size) {
  StepInputs step;
  int64_t blocks_per_text = 1;
  for (const auto& text : batch.texts)
    blocks_per_text =
        std::max(blocks_per_text, ceil_div(static_cast<int64_t>(text.size()), block_size));
  int32_t block = 0;
  for (const auto& text : batch.texts) {
    const auto length = narrow<int32_t>(text.size());
    step.q_starts.push_back(narrow<int32_t>(step.tokens.size()));
    step.q_lens.push_back(length);
    step.kv_lens.push_back(length);
    for (int32_t position = 0; position < length; ++position) {
      step.positions.push_back(position);
      step.slots.push_back(block * block_size + position);
    }
    step.tokens.insert(step.tokens.end(), text.begin(), text.end());
    for (int64_t i = 0; i < blocks_per_text; ++i) step.block_tables.push_back(block++);
  }
  step.logit_rows.resize(step.tokens.size());
  std::iota(step.logit_rows.begin(), step.logit_rows.end(), 0);
  const auto bind = [&](Symbol symbol, int64_t value) {
    step.binding[static_cast<size_t>(symbol)] = value;
  };
  bind(Symbol::T, batch.num_tokens());
  bind(Symbol::R, batch.num_tokens());
  bind(Symbol::S, static_cast<int64_t>(batch.texts.size()));
  bind(Symbol::B, blocks_per_text);
  bind(Symbol::N, block);
  return step;
}

std::span<const std::byte> input_bytes(const StepInputs& step, std::string_view name) {
  const auto bytes = [](const auto& array) { return std::as_bytes(std::span(array)); };
  if (name == "tokens") return bytes(step.tokens);
  if (name == "positions") return bytes(step.positions);
  if (name == "slots") return bytes(step.slots);
  if (name == "q_starts") return bytes(step.q_starts);
  if (name == "q_lens") return bytes(step.q_lens);
  if (name == "kv_lens") return bytes(step.kv_lens);
  if (name == "block_tables") return bytes(step.block_tables);
  VELOZ_CHECK(name == "logit_rows", "a step has no input \"{}\"", name);
  return bytes(step.logit_rows);
}

}  // namespace

int64_t TextBatch::num_tokens() const {
  int64_t count = 0;
  for (const auto& text : texts) count += static_cast<int64_t>(text.size());
  return count;
}

SliceRunner::SliceRunner(const graph::Graph& graph, const GraphSlice& slice,
                         const TensorSet& tensors, const Machine& machine)
    : graph_(graph), slice_(slice), machine_(machine) {
  for (const size_t index : slice.nodes) {
    const Node& node = graph.nodes()[index];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId id = node.inputs[i];
      const Value& value = graph.value(id);
      if (value.kind != ValueKind::weight || packed_.contains(id) || plain_.contains(id)) continue;
      const Matrix& matrix = tensors.at(value.segments[0].tensor);
      if (node.op == ops::Op::linear && i == 1) {
        packed_.emplace(id, PackedMatrix(matrix.view(), machine));
        continue;
      }
      const size_t bytes = matrix.values.size() * sizeof(float);
      std::memcpy(plain_.emplace(id, machine.device.allocate(bytes)).first->second.data(),
                  matrix.values.data(), bytes);
    }
    if (ops::op_def(node.op).threads_state) state_of_[node.outputs[0]] = node.inputs[0];
  }
}

/// A value under the batch's binding, in memory that grows with the largest batch.
TensorView SliceRunner::view_of(ValueId id, const ops::Binding& binding) {
  if (const auto found = views_.find(id); found != views_.end()) return found->second;
  if (const auto state = state_of_.find(id); state != state_of_.end())
    return views_[id] = view_of(state->second, binding);
  const Value& value = graph_.value(id);
  TensorView view(nullptr, value.type.dtype, value.type.bind(binding));
  if (const auto weight = plain_.find(id); weight != plain_.end()) {
    view.data = weight->second.data();
  } else {
    Buffer& buffer = memory_[id];
    if (buffer.bytes() < view.num_bytes()) buffer = machine_.device.allocate(view.num_bytes());
    view.data = buffer.data();
  }
  return views_[id] = view;
}

void SliceRunner::run_node(size_t index, const ops::Binding& binding, const Observer& observer) {
  const Node& node = graph_.nodes()[index];
  VELOZ_CHECK(node.op != ops::Op::slice, "a graph as models/ writes it has no slices");
  std::vector<TensorView> inputs;
  std::vector<TensorView> outputs;
  std::vector<ops::ValueType> input_types;
  std::vector<ops::ValueType> output_types;
  const bool is_linear = node.op == ops::Op::linear;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    input_types.push_back(graph_.value(node.inputs[i]).type);
    inputs.push_back(is_linear && i == 1 ? TensorView() : view_of(node.inputs[i], binding));
  }
  for (const ValueId id : node.outputs) {
    output_types.push_back(graph_.value(id).type);
    outputs.push_back(view_of(id, binding));
  }
  const ops::OpCall call{inputs, outputs, node.attrs};
  if (observer) observer(index, call);
  if (is_linear) {
    packed_.at(node.inputs[1])
        .multiply(inputs[0], inputs.size() > 2 ? inputs[2] : TensorView(), outputs[0]);
    return;
  }
  const ops::Kernel& kernel =
      machine_.registry.choose({node.op, input_types, output_types, node.attrs, ""});
  if (kernel.workspace_bytes != nullptr) {
    const size_t bytes = kernel.workspace_bytes(call, machine_.pool.num_threads());
    if (workspace_.bytes() < bytes) workspace_ = machine_.device.allocate(bytes);
  }
  ops::OpContext context{
      .pool = &machine_.pool,
      .stream = nullptr,
      .workspace = {static_cast<std::byte*>(workspace_.data()), workspace_.bytes()}};
  kernel.run(context, call);
}

void SliceRunner::run(const TextBatch& batch, const TensorView& x, const Observer& observer) {
  const StepInputs step = lay_out(batch, block_size_of(graph_));
  views_.clear();
  views_[slice_.input] = x;
  for (const ValueId id : graph_.values_of_kind(ValueKind::input)) {
    if (id == slice_.input) continue;
    const std::span<const std::byte> bytes = input_bytes(step, graph_.value(id).name);
    std::memcpy(view_of(id, step.binding).data, bytes.data(), bytes.size());
  }
  for (const size_t index : slice_.nodes) run_node(index, step.binding, observer);
  const TensorView& output = views_.at(slice_.output);
  if (output.shape == x.shape) std::memcpy(x.data, output.data, output.num_bytes());
}

}  // namespace veloz::compress
