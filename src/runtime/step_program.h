// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "base/device.h"
#include "engine/plan.h"
#include "ops/kernel.h"

namespace veloz::runtime {

/// Where the values of a program lie, fixed for a session.
struct ProgramMemory {
  std::vector<void*> weights;  // one per weight of the plan
  std::vector<void*> states;   // one per state
  std::vector<void*> inputs;   // one per entry of Program::inputs
  std::byte* arena = nullptr;
};

/// A program with its kernels and operand views, ready to run. `bind` sets the symbolic extents;
/// nothing here allocates after construction. `program` outlives it.
class StepProgram {
 public:
  using Hook = std::function<void(size_t step, const ops::OpCall& call, bool done)>;

  StepProgram(const engine::Program& program, std::vector<const ops::Kernel*> kernels,
              const ProgramMemory& memory);

  void bind(const ops::Binding& binding);
  /// Input i lies at inputs[i] from the next `bind` on.
  void move_inputs(std::span<void* const> inputs);
  /// Most scratch bytes any kernel asks for under the current binding.
  size_t workspace_bytes(int num_threads) const;
  void run(ops::OpContext& context, const Hook& hook) const;
  const TensorView& output(size_t i) const { return views_[outputs_[i]]; }
  std::span<const ops::Kernel* const> kernels() const { return kernels_; }

 private:
  struct Operands {
    size_t first_input = 0;  // in operands_
    size_t num_inputs = 0;
    size_t num_outputs = 0;  // directly behind the inputs
  };
  ops::OpCall call(size_t step) const;

  const engine::Program& program_;
  std::vector<const ops::Kernel*> kernels_;  // one per step
  std::vector<TensorView> views_;            // one per value
  std::vector<size_t> outputs_;
  std::vector<Operands> steps_;
  std::vector<size_t> operand_values_;  // value of each operand of each step
  std::vector<TensorView> operands_;    // their views
  ops::Binding binding_{};
};

}  // namespace veloz::runtime
