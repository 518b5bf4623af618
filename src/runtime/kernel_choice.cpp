// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
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

size_t weight_of(const Program& program, int64_t value) {
  const engine::Slot& slot = program.values[static_cast<size_t>(value)].slot;
  return static_cast<size_t>(std::get<engine::WeightSlot>(slot).weight);
}

/// The weight whose layout is the kernel's affair, where the op has one.
std::optional<size_t> packed_weight(const Program& program, const PlanStep& step) {
  const std::optional<ops::PackedOperands> packed = ops::packed_operands(step.op, step.attrs);
  if (!packed) return std::nullopt;
  return weight_of(program, step.inputs[packed->weight]);
}

/// How the steps of a program read one weight.
struct Reading {
  std::vector<const PlanStep*> as_matrix;
  std::optional<size_t> beside;  // the matrix whose scales or zeros it is
  bool has_other_readers = false;

  bool is_companion_of(size_t matrix) const {
    return beside == matrix && as_matrix.empty() && !has_other_readers;
  }
};

std::vector<Reading> find_readings(const engine::Plan& plan, const Program& program) {
  std::vector<Reading> readings(plan.weights.size());
  for (const PlanStep& step : program.steps) {
    const std::optional<ops::PackedOperands> packed = ops::packed_operands(step.op, step.attrs);
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      const engine::Slot& slot = program.values[static_cast<size_t>(step.inputs[i])].slot;
      const auto* weight = std::get_if<engine::WeightSlot>(&slot);
      if (weight == nullptr) continue;
      Reading& reading = readings[static_cast<size_t>(weight->weight)];
      if (packed && i == packed->weight) {
        reading.as_matrix.push_back(&step);
      } else if (packed && i > packed->weight && i < packed->companions_end) {
        const size_t matrix = weight_of(program, step.inputs[packed->weight]);
        reading.has_other_readers |= reading.beside.value_or(matrix) != matrix;
        reading.beside = matrix;
      } else {
        reading.has_other_readers = true;
      }
    }
  }
  return readings;
}

/// Which kernels will do.
enum class Pace { fast, any };  // fast: none of the references, which are never made fast

bool can_run(const ops::KernelRegistry& registry, const ops::KernelQuery& query, Pace pace) {
  return std::ranges::any_of(registry.kernels(), [&](const ops::Kernel& kernel) {
    const bool is_reference = kernel.run == ops::op_def(kernel.op).reference;
    return kernel.op == query.op && (pace == Pace::any || !is_reference) && kernel.accepts(query);
  });
}

const ops::WeightLayout* find_layout(const ops::KernelRegistry& registry, std::string_view name,
                                     DType dtype) {
  const auto found = std::ranges::find_if(registry.layouts(), [&](const ops::WeightLayout& l) {
    return l.name == name && l.dtype == dtype;
  });
  return found == registry.layouts().end() ? nullptr : &*found;
}

/// Chooses the layouts of a program's weights.
class LayoutChooser {
 public:
  LayoutChooser(const engine::Plan& plan, const Program& program,
                const ops::KernelRegistry& registry)
      : plan_(plan),
        program_(program),
        registry_(registry),
        readings_(find_readings(plan, program)) {}

  const ops::WeightLayout& stored(size_t weight) const {
    return registry_.layout(plan_.weights[weight].layout, plan_.weights[weight].dtype);
  }

  const ops::WeightLayout& choose(size_t weight) const {
    const Reading& reading = readings_[weight];
    if (reading.beside)
      return registry_.layout(choose_of_matrix(*reading.beside).companion,
                              plan_.weights[weight].dtype);
    // What is read element by element is plain: the plan was verified.
    return reading.as_matrix.empty() ? stored(weight) : choose_of_matrix(weight);
  }

 private:
  const ops::WeightLayout& choose_of_matrix(size_t weight) const {
    const Reading& reading = readings_[weight];
    if (reading.beside || reading.has_other_readers)
      return registry_.layout("plain", plan_.weights[weight].dtype);
    const ops::WeightLayout& as_stored = stored(weight);
    for (const Pace pace : {Pace::fast, Pace::any}) {
      if (is_own(as_stored) && serves_all(as_stored, weight, pace)) return as_stored;
      for (const ops::WeightLayout& layout : registry_.layouts())
        if (serves_all(layout, weight, pace)) return layout;
    }
    const engine::PlanWeight& value = plan_.weights[weight];
    std::vector<std::string_view> ops;
    ops.reserve(reading.as_matrix.size());
    for (const PlanStep* reader : reading.as_matrix) ops.push_back(ops::op_def(reader->op).name);
    throw Error(
        ErrorKind::unsupported,
        fmt::format("no kernel here runs {} on weight \"{}\" : {} {}, in layout \"{}\" or any "
                    "other",
                    fmt::join(ops, ", "), value.name, to_string(value.dtype),
                    to_string(value.shape), as_stored.name),
        "build the engine for this machine");
  }

  /// Not one that can only be unpacked here.
  bool is_own(const ops::WeightLayout& layout) const {
    return find_layout(registry_, layout.name, layout.dtype) != nullptr;
  }

  bool serves_all(const ops::WeightLayout& layout, size_t weight, Pace pace) const {
    return layout.dtype == plan_.weights[weight].dtype &&
           std::ranges::all_of(readings_[weight].as_matrix, [&](const PlanStep* reader) {
             return have_companions(layout.companion, weight, *reader) &&
                    can_run(registry_, StepTypes(program_, *reader).query(*reader, layout.name),
                            pace);
           });
  }

  /// Whether what lies beside the matrix can have the companion of its layout.
  bool have_companions(std::string_view companion, size_t matrix, const PlanStep& reader) const {
    const ops::PackedOperands packed = *ops::packed_operands(reader.op, reader.attrs);
    for (size_t i = packed.weight + 1; i < packed.companions_end; ++i) {
      const size_t weight = weight_of(program_, reader.inputs[i]);
      if (companion != "plain" && !readings_[weight].is_companion_of(matrix)) return false;
      if (find_layout(registry_, companion, plan_.weights[weight].dtype) == nullptr) return false;
    }
    return true;
  }

  const engine::Plan& plan_;
  const Program& program_;
  const ops::KernelRegistry& registry_;
  const std::vector<Reading> readings_;
};

/// Layout of the matrix that a step reads, "" of one that reads none.
std::string_view layout_read_by(const Program& program, const KernelChoice& choice,
                                const PlanStep& step) {
  const std::optional<size_t> weight = packed_weight(program, step);
  return weight ? choice.layouts[*weight]->name : "";
}

}  // namespace

KernelChoice choose_kernels(const engine::Plan& plan, const Program& program,
                            const ops::KernelRegistry& registry) {
  KernelChoice choice;
  const LayoutChooser chooser(plan, program, registry);
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    choice.stored.push_back(&chooser.stored(i));
    choice.layouts.push_back(&chooser.choose(i));
  }
  for (const PlanStep& step : program.steps)
    choice.kernels.push_back(&registry.choose(
        StepTypes(program, step).query(step, layout_read_by(program, choice, step))));
  return choice;
}

std::vector<std::string> prepare_kernels(const Program& program, const KernelChoice& choice,
                                         Stream& stream, const ops::Binding& most) {
  std::vector<std::string> notices;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    if (choice.kernels[i]->prepare == nullptr) continue;
    const PlanStep& step = program.steps[i];
    const StepTypes types(program, step);
    std::ranges::move(choice.kernels[i]->prepare(
                          stream, types.query(step, layout_read_by(program, choice, step)), most),
                      std::back_inserter(notices));
  }
  return notices;
}

}  // namespace veloz::runtime
