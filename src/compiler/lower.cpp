// SPDX-License-Identifier: Apache-2.0
#include "compiler/lower.h"

#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/layout_choice.h"
#include "compiler/memory_plan.h"

namespace veloz::compiler {
namespace {

using graph::Graph;
using graph::Node;
using graph::Value;
using graph::ValueId;
using graph::ValueKind;

class Lowering {
 public:
  Lowering(const Graph& graph, const engine::Limits& limits, const ops::KernelRegistry& target)
      : graph_(graph), target_(target) {
    lowered_.plan.limits = limits;
    program_.name = "step";
  }

  LoweredGraph run() {
    lower_inputs();
    lower_states();
    lower_weights();
    for (const Node& node : graph_.nodes()) lower_node(node);
    for (const ValueId id : graph_.outputs()) program_.outputs.push_back(index_.at(id));
    constexpr int64_t kNoBlocks = 0;  // caches are states, outside the arena
    lowered_.arena_bytes_unshared =
        assign_arena(program_, engine::limit_binding(lowered_.plan.limits, kNoBlocks));
    lowered_.plan.programs.push_back(std::move(program_));
    engine::verify_plan(lowered_.plan);
    return std::move(lowered_);
  }

 private:
  int64_t add_value(ValueId id, engine::Slot slot) {
    const Value& value = graph_.value(id);
    program_.values.push_back({value.name, value.type, slot});
    return index_[id] = static_cast<int64_t>(program_.values.size()) - 1;
  }

  void lower_inputs() {
    for (const ValueId id : graph_.values_of_kind(ValueKind::input))
      program_.inputs.push_back(add_value(id, engine::InputSlot{}));
  }

  void lower_states() {
    for (const ValueId id : graph_.values_of_kind(ValueKind::state)) {
      const auto state = static_cast<int64_t>(lowered_.plan.states.size());
      lowered_.plan.states.push_back({graph_.value(id).name, graph_.value(id).type});
      add_value(id, engine::StateSlot{state});
    }
  }

  void lower_weights() {
    std::map<ValueId, LayoutChoice> choices = choose_layouts(graph_, target_);
    for (const ValueId id : graph_.values_of_kind(ValueKind::weight)) {
      const Value& weight = graph_.value(id);
      LayoutChoice& choice = choices.at(id);
      const auto index = static_cast<int64_t>(lowered_.plan.weights.size());
      lowered_.plan.weights.push_back(
          {weight.name, weight.type.dtype, weight.type.bind({}), choice.layout});
      lowered_.layouts.push_back(std::move(choice));
      add_value(id, engine::WeightSlot{index});
    }
  }

  void lower_node(const Node& node) {
    if (node.op == ops::Op::slice) {
      add_value(node.outputs[0],
                engine::ViewSlot{index_.at(node.inputs[0]), node.attrs.get_int("begin")});
      return;
    }
    require_kernel(node);
    engine::PlanStep step{node.op, {}, {}, node.attrs};
    for (const ValueId id : node.inputs) step.inputs.push_back(index_.at(id));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const bool is_state = i == 0 && ops::op_def(node.op).threads_state;
      // A new version of a state is the same buffer: the verifier proved that nobody reads the old
      // one.
      const engine::Slot slot = is_state ? program_.values[static_cast<size_t>(step.inputs[0])].slot
                                         : engine::ArenaSlot{};
      step.outputs.push_back(add_value(node.outputs[i], slot));
    }
    program_.steps.push_back(std::move(step));
  }

  /// What the target lacks is told now, not when the engine is loaded.
  void require_kernel(const Node& node) const {
    std::vector<ops::ValueType> inputs;
    std::vector<ops::ValueType> outputs;
    for (const ValueId id : node.inputs) inputs.push_back(graph_.value(id).type);
    for (const ValueId id : node.outputs) outputs.push_back(graph_.value(id).type);
    const std::optional<ops::PackedOperands> packed = ops::packed_operands(node.op, node.attrs);
    const std::string_view layout = packed ? layout_of(node.inputs[packed->weight]) : "";
    static_cast<void>(target_.choose({node.op, inputs, outputs, node.attrs, layout}));
  }

  std::string_view layout_of(ValueId weight) const {
    const engine::Slot& slot = program_.values[static_cast<size_t>(index_.at(weight))].slot;
    const int64_t index = std::get<engine::WeightSlot>(slot).weight;
    return lowered_.plan.weights[static_cast<size_t>(index)].layout;
  }

  const Graph& graph_;
  const ops::KernelRegistry& target_;
  LoweredGraph lowered_;
  engine::Program program_;
  std::map<ValueId, int64_t> index_;
};

}  // namespace

LoweredGraph lower(const Graph& graph, const engine::Limits& limits,
                   const ops::KernelRegistry& target) {
  return Lowering(graph, limits, target).run();
}

}  // namespace veloz::compiler
