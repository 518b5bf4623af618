// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"

namespace veloz::runtime {
namespace {

using engine::PlanStep;
using engine::Program;

/// Operand types of one step, kept alive for the query that points at them.
struct StepTypes {
  StepTypes(const Program& program, const PlanStep& step) {
    for (const int64_t input : step.inputs)
      inputs.push_back(program.values[static_cast<size_t>(input)].type);
    for (const int64_t output : step.outputs)
      outputs.push_back(program.values[static_cast<size_t>(output)].type);
  }
  ops::KernelQuery query(const PlanStep& step, std::string_view weight_layout) const {
    return {step.op, inputs, outputs, step.attrs, weight_layout};
  }
  std::vector<ops::ValueType> inputs;
  std::vector<ops::ValueType> outputs;
};

/// The weight whose layout is the kernel's affair: operand 1 of linear and embedding.
std::optional<size_t> packed_weight(const Program& program, const PlanStep& step) {
  if (step.op != ops::Op::linear && step.op != ops::Op::embedding) return std::nullopt;
  const engine::Slot& slot = program.values[static_cast<size_t>(step.inputs[1])].slot;
  return static_cast<size_t>(std::get<engine::WeightSlot>(slot).weight);
}

bool can_run(const ops::KernelRegistry& registry, const ops::KernelQuery& query) {
  return std::ranges::any_of(registry.kernels(), [&](const ops::Kernel& kernel) {
    return kernel.op == query.op && kernel.accepts(query);
  });
}

const ops::WeightLayout& choose_layout(const engine::PlanWeight& weight, const Program& program,
                                       const std::vector<const PlanStep*>& readers,
                                       const ops::WeightLayout& stored,
                                       const ops::KernelRegistry& registry) {
  const auto serves_all = [&](const ops::WeightLayout& layout) {
    return layout.dtype == weight.dtype &&
           std::ranges::all_of(readers, [&](const PlanStep* reader) {
             return can_run(registry, StepTypes(program, *reader).query(*reader, layout.name));
           });
  };
  if (serves_all(stored)) return stored;
  for (const ops::WeightLayout& layout : registry.layouts())
    if (serves_all(layout)) return layout;
  std::vector<std::string_view> ops;
  ops.reserve(readers.size());
  for (const PlanStep* reader : readers) ops.push_back(ops::op_def(reader->op).name);
  throw Error(
      ErrorKind::unsupported,
      fmt::format("no kernel here runs {} on weight \"{}\" : {} {}, in layout \"{}\" or any "
                  "other",
                  fmt::join(ops, ", "), weight.name, to_string(weight.dtype),
                  to_string(weight.shape), stored.name),
      "build the engine for this machine");
}

}  // namespace

KernelChoice choose_kernels(const engine::Plan& plan, const Program& program,
                            const ops::KernelRegistry& registry) {
  KernelChoice choice;
  std::vector<std::vector<const PlanStep*>> readers(plan.weights.size());
  for (const PlanStep& step : program.steps)
    if (const std::optional<size_t> weight = packed_weight(program, step))
      readers[*weight].push_back(&step);
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    const engine::PlanWeight& weight = plan.weights[i];
    const ops::WeightLayout& stored = registry.layout(weight.layout, weight.dtype);
    choice.stored.push_back(&stored);
    choice.layouts.push_back(&choose_layout(weight, program, readers[i], stored, registry));
  }
  for (const PlanStep& step : program.steps) {
    const std::optional<size_t> weight = packed_weight(program, step);
    const std::string_view layout = weight ? choice.layouts[*weight]->name : "";
    choice.kernels.push_back(&registry.choose(StepTypes(program, step).query(step, layout)));
  }
  return choice;
}

}  // namespace veloz::runtime
