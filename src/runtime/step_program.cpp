// SPDX-License-Identifier: Apache-2.0
#include "runtime/step_program.h"

#include <algorithm>

#include "base/error.h"

namespace veloz::runtime {
namespace {

using engine::ArenaSlot;
using engine::PlanValue;
using engine::Program;
using engine::StateSlot;
using engine::ViewSlot;
using engine::WeightSlot;

/// First byte of a value; those of parents stand in `views` already.
void* find_data(const Program& program, size_t value, const ProgramMemory& memory,
                const std::vector<TensorView>& views) {
  const PlanValue& v = program.values[value];
  if (const auto* slot = std::get_if<WeightSlot>(&v.slot))
    return memory.weights[static_cast<size_t>(slot->weight)];
  if (const auto* slot = std::get_if<StateSlot>(&v.slot))
    return memory.states[static_cast<size_t>(slot->state)];
  if (const auto* slot = std::get_if<ArenaSlot>(&v.slot)) return memory.arena + slot->offset;
  if (const auto* slot = std::get_if<ViewSlot>(&v.slot))
    return static_cast<std::byte*>(views[static_cast<size_t>(slot->value)].data) +
           slot->begin * static_cast<int64_t>(dtype_bytes(v.type.dtype));
  const auto input = std::ranges::find(program.inputs, static_cast<int64_t>(value));
  VELOZ_CHECK(input != program.inputs.end(), "value {} is no input", value);
  return memory.inputs[static_cast<size_t>(input - program.inputs.begin())];
}

}  // namespace

StepProgram::StepProgram(const Program& program, std::vector<const ops::Kernel*> kernels,
                         const ProgramMemory& memory)
    : program_(program), kernels_(std::move(kernels)), views_(program.values.size()) {
  for (size_t i = 0; i < views_.size(); ++i) {
    views_[i].dtype = program.values[i].type.dtype;
    views_[i].data = find_data(program, i, memory, views_);
  }
  for (const int64_t output : program.outputs) outputs_.push_back(static_cast<size_t>(output));
  for (const engine::PlanStep& step : program.steps) {
    steps_.push_back({operand_values_.size(), step.inputs.size(), step.outputs.size()});
    for (const int64_t input : step.inputs) operand_values_.push_back(static_cast<size_t>(input));
    for (const int64_t output : step.outputs)
      operand_values_.push_back(static_cast<size_t>(output));
  }
  operands_.resize(operand_values_.size());
}

void StepProgram::bind(const ops::Binding& binding) {
  if (binding == binding_) return;  // as in most decode steps
  binding_ = binding;
  for (size_t i = 0; i < views_.size(); ++i) {
    const PlanValue& value = program_.values[i];
    views_[i].shape = value.type.bind(binding);
    const auto* view = std::get_if<ViewSlot>(&value.slot);
    views_[i].row_stride = view != nullptr ? views_[static_cast<size_t>(view->value)].row_stride
                                           : TensorView::contiguous_row_stride(views_[i].shape);
  }
  for (size_t i = 0; i < operands_.size(); ++i) operands_[i] = views_[operand_values_[i]];
}

void StepProgram::move_inputs(std::span<void* const> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    TensorView& view = views_[static_cast<size_t>(program_.inputs[i])];
    if (view.data == inputs[i]) continue;
    view.data = inputs[i];
    binding_ = {};  // operands are to be renewed
  }
}

ops::OpCall StepProgram::call(size_t step) const {
  const Operands& place = steps_[step];
  const std::span<const TensorView> all(operands_);
  return {all.subspan(place.first_input, place.num_inputs),
          all.subspan(place.first_input + place.num_inputs, place.num_outputs),
          program_.steps[step].attrs};
}

size_t StepProgram::workspace_bytes(int num_threads) const {
  size_t bytes = 0;
  for (size_t i = 0; i < steps_.size(); ++i)
    if (kernels_[i]->workspace_bytes != nullptr)
      bytes = std::max(bytes, kernels_[i]->workspace_bytes(call(i), num_threads));
  return bytes;
}

void StepProgram::run(ops::OpContext& context, const Hook& hook) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    const ops::OpCall step = call(i);
    // A step without logit rows has nothing to do behind the last layer.
    const bool is_empty = std::ranges::all_of(
        step.outputs, [](const TensorView& view) { return view.shape.num_elements() == 0; });
    if (is_empty) continue;
    if (hook) hook(i, step, false);
    kernels_[i]->run(context, step);
    if (hook) hook(i, step, true);
  }
}

}  // namespace veloz::runtime
