// SPDX-License-Identifier: Apache-2.0
#include "profile/program_calls.h"

#include <algorithm>
#include <vector>

namespace veloz::profile {

void for_each_call(const engine::Program& program, const ops::Binding& binding,
                   const std::function<void(size_t step, const ops::OpCall& call)>& f) {
  const auto view = [&](int64_t value) {
    const ops::ValueType& type = program.values[static_cast<size_t>(value)].type;
    return TensorView(nullptr, type.dtype, type.bind(binding));
  };
  std::vector<TensorView> inputs, outputs;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const engine::PlanStep& step = program.steps[i];
    inputs.clear();
    outputs.clear();
    for (const int64_t input : step.inputs) inputs.push_back(view(input));
    for (const int64_t output : step.outputs) outputs.push_back(view(output));
    f(i, {inputs, outputs, step.attrs});
  }
}

bool is_empty(const ops::OpCall& call) {
  return std::ranges::all_of(call.outputs,
                             [](const TensorView& view) { return view.shape.num_elements() == 0; });
}

}  // namespace veloz::profile
