// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/shape.h"
#include "ops/op.h"

namespace veloz::engine {

/// What an engine was compiled for: no step may exceed these, so memory is known before a request
/// arrives.
struct Limits {
  int64_t max_num_batched_tokens = 2048;  // T
  int64_t max_num_seqs = 64;              // S
  int64_t max_model_len = 0;              // positions of one sequence
  int64_t max_logit_rows = 64;            // R
  int64_t max_beam_width = 8;
  int64_t block_size = 64;  // positions of one KV block

  /// B: entries of a block table.
  int64_t max_blocks_per_seq() const { return (max_model_len + block_size - 1) / block_size; }
  bool operator==(const Limits&) const = default;
};

/// A weight of the engine, stored in weights.safetensors under its graph name.
struct PlanWeight {
  std::string name;
  DType dtype = DType::fp32;
  Shape shape;         // logical
  std::string layout;  // of the stored bytes: "plain", "n16k2_bf16"
};

/// A named buffer that outlives steps, at a fixed address outside the arena. KV caches have the
/// symbolic extent N, whose value the runtime chooses.
struct PlanState {
  std::string name;
  ops::ValueType type;
};

// Where a value of a program lives.
struct InputSlot {  // supplied for each step, by the value's name
  bool operator==(const InputSlot&) const = default;
};
struct WeightSlot {
  int64_t weight = 0;  // index into Plan::weights
  bool operator==(const WeightSlot&) const = default;
};
struct StateSlot {
  int64_t state = 0;  // index into Plan::states
  bool operator==(const StateSlot&) const = default;
};
struct ArenaSlot {
  int64_t offset = 0;  // bytes, multiple of 64
  bool operator==(const ArenaSlot&) const = default;
};
struct ViewSlot {     // columns [begin, begin + extent) of another value of the program
  int64_t value = 0;  // index into Program::values, smaller than the view's own
  int64_t begin = 0;
  bool operator==(const ViewSlot&) const = default;
};
using Slot = std::variant<InputSlot, WeightSlot, StateSlot, ArenaSlot, ViewSlot>;

struct PlanValue {
  std::string name;  // as in graph.txt, without its sigil: "12", "layers.0.qkv"
  ops::ValueType type;
  Slot slot;
};

/// One op to run; operands are indices into Program::values.
struct PlanStep {
  ops::Op op{};
  std::vector<int64_t> inputs;
  std::vector<int64_t> outputs;
  ops::Attrs attrs;
};

/// A flat list of steps over named inputs.
struct Program {
  std::string name;  // "step"
  std::vector<PlanValue> values;
  std::vector<PlanStep> steps;
  std::vector<int64_t> inputs;  // values with InputSlot
  std::vector<int64_t> outputs;
  int64_t arena_bytes = 0;
};

/// The lowered form of an engine: what plan.json holds. It names layouts, not kernels.
struct Plan {
  Limits limits;
  std::vector<PlanWeight> weights;
  std::vector<PlanState> states;
  std::vector<Program> programs;

  /// Throws Error(not_found) with the names there are.
  const Program& program(std::string_view name) const;
};

/// Proves that a plan (possibly from an untrusted file) can run: indices in range, every type what
/// the op's shape rule gives, every value written before it is read, arena slots inside the arena
/// and disjoint while both live, layouts known by name only, symbols bound by limits, sizes that do
/// not overflow. Throws Error(corrupt_data) that names the step or value.
void verify_plan(const Plan& plan);

/// The binding of all symbols at the limits, with `num_kv_blocks` for N.
ops::Binding limit_binding(const Limits& limits, int64_t num_kv_blocks);

/// Canonical JSON of a plan (stable key order, no floats that lose bits), and back; parse_plan
/// throws Error(corrupt_data) and verifies.
std::string print_plan(const Plan& plan);
Plan parse_plan(std::string_view json);

}  // namespace veloz::engine
