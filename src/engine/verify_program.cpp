// SPDX-License-Identifier: Apache-2.0
#include "engine/verify_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/json_fields.h"
#include "engine/weights_file.h"
#include "ops/kv_layout.h"

namespace veloz::engine {
namespace {

using ops::Dim;
using ops::Op;
using ops::Symbol;
using ops::ValueType;

constexpr int64_t kMaxIntAttr = int64_t{1} << 40;
constexpr uint64_t kArenaAlignment = 64;
constexpr std::string_view kStepProgram = "step";

/// What a step gets from outside. Kernels use these as indices without a look, so their contents
/// are checked against the limits whenever a step runs, under the name they have here.
struct StepInput {
  std::string_view name;
  ValueType type;
};
const std::vector<StepInput>& step_inputs() {
  static const std::vector<StepInput> inputs = {
      {"tokens", {DType::int32, {Symbol::T}}},
      {"positions", {DType::int32, {Symbol::T}}},
      {"slots", {DType::int64, {Symbol::T}}},
      {"q_starts", {DType::int32, {Symbol::S}}},
      {"q_lens", {DType::int32, {Symbol::S}}},
      {"kv_lens", {DType::int32, {Symbol::S}}},
      {"block_tables", {DType::int32, {Symbol::S, Symbol::B}}},
      {"logit_rows", {DType::int32, {Symbol::R}}},
  };
  return inputs;
}

/// Ops that may stand in a program, safe on any contents of their operands but the indices below.
/// Sampling ops run outside, on operands the runtime makes itself.
constexpr Op kProgramOps[] = {
    Op::add,         Op::add_layer_norm,   Op::add_rms_norm,       Op::act,
    Op::embedding,   Op::gated_act,        Op::gather_rows,        Op::kv_append,
    Op::layer_norm,  Op::linear,           Op::paged_attention,    Op::permute_columns,
    Op::quantize,    Op::quantized_linear, Op::rms_norm,           Op::rope,
    Op::rope_angles, Op::rope_append,      Op::weight_only_linear,
};

/// Operands that are indices, and the one input of the step that holds what the op needs.
struct IndexOperand {
  Op op;
  size_t operand;
  std::string_view input;
};
constexpr IndexOperand kIndexOperands[] = {
    {Op::embedding, 0, "tokens"},         {Op::rope_angles, 0, "positions"},
    {Op::kv_append, 3, "slots"},          {Op::rope_append, 3, "slots"},
    {Op::paged_attention, 2, "q_starts"}, {Op::paged_attention, 3, "q_lens"},
    {Op::paged_attention, 4, "kv_lens"},  {Op::paged_attention, 5, "block_tables"},
    {Op::gather_rows, 1, "logit_rows"},
};

bool has_symbol(const ValueType& type, Symbol symbol) {
  return std::ranges::any_of(type.dims, [&](const Dim& dim) { return dim.symbol == symbol; });
}

/// Walks one program as a session runs it.
class ProgramVerifier {
 public:
  ProgramVerifier(const Plan& plan, const Program& program)
      : plan_(plan),
        program_(program),
        binding_(limit_binding(plan.limits, 1)),
        num_values_(program.values.size()),
        bytes_(num_values_, 0),
        root_(num_values_, 0),
        is_written_(num_values_, false),
        last_step_(num_values_, -1),
        current_(plan.states.size()) {}

  void verify() {
    if (program_.arena_bytes < 0 || static_cast<uint64_t>(program_.arena_bytes) > kMaxValueBytes)
      refuse(fmt::format("arena_bytes is {}, not between 0 and 64 TiB", program_.arena_bytes));
    for (size_t i = 0; i < num_values_; ++i) verify_value(i);
    verify_inputs();
    find_last_steps();
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      try {
        verify_step(i);
      } catch (Error& e) {
        e.add_context(fmt::format("step {} ({})", i, ops::op_def(program_.steps[i].op).name));
        throw;
      }
    }
    verify_outputs();
  }

 private:
  template <typename Kind>
  const Kind* slot(size_t value) const {
    return std::get_if<Kind>(&program_.values[value].slot);
  }
  const ValueType& type(size_t value) const { return program_.values[value].type; }
  std::string name(size_t value) const {
    return fmt::format("value {} {}", value, quote_text(program_.values[value].name));
  }

  size_t index(int64_t value, std::string_view role) const {
    if (value < 0 || static_cast<uint64_t>(value) >= num_values_)
      refuse(fmt::format("{} is value {}, the program has {}", role, value, num_values_));
    return static_cast<size_t>(value);
  }

  /// The value whose memory a view looks into; itself where it is no view.
  size_t root(size_t value) const { return root_[value]; }

  void verify_value(size_t value) {
    if (program_.values[value].name.empty()) refuse(fmt::format("value {} has no name", value));
    bytes_[value] = checked_bytes(type(value), binding_, name(value));
    root_[value] = value;
    if (slot<StateSlot>(value) == nullptr && has_symbol(type(value), Symbol::N))
      refuse(fmt::format("{} is {}, but only states have the extent N", name(value),
                         ops::to_string(type(value))));
    if (const WeightSlot* weight = slot<WeightSlot>(value)) verify_weight(value, *weight);
    if (const StateSlot* state = slot<StateSlot>(value)) verify_state(value, *state);
    if (const ArenaSlot* arena = slot<ArenaSlot>(value)) verify_arena(value, *arena);
    if (const ViewSlot* view = slot<ViewSlot>(value)) verify_view(value, *view);
  }

  void verify_weight(size_t value, WeightSlot weight) {
    if (weight.weight < 0 || static_cast<uint64_t>(weight.weight) >= plan_.weights.size())
      refuse(fmt::format("{} is weight {}, the plan has {}", name(value), weight.weight,
                         plan_.weights.size()));
    const PlanWeight& stored = plan_.weights[static_cast<size_t>(weight.weight)];
    const ValueType expected = type_of(stored);
    if (type(value) != expected)
      refuse(fmt::format("{} is {}, its weight {} is {}", name(value), ops::to_string(type(value)),
                         quote_text(stored.name), ops::to_string(expected)));
    is_written_[value] = true;
  }

  void verify_state(size_t value, StateSlot state) {
    if (state.state < 0 || static_cast<uint64_t>(state.state) >= plan_.states.size())
      refuse(fmt::format("{} is state {}, the plan has {}", name(value), state.state,
                         plan_.states.size()));
    const PlanState& stored = plan_.states[static_cast<size_t>(state.state)];
    if (type(value) != stored.type)
      refuse(fmt::format("{} is {}, its state {} is {}", name(value), ops::to_string(type(value)),
                         quote_text(stored.name), ops::to_string(stored.type)));
  }

  void verify_arena(size_t value, ArenaSlot arena) {
    const auto arena_bytes = static_cast<uint64_t>(program_.arena_bytes);
    if (arena.offset < 0 || static_cast<uint64_t>(arena.offset) % kArenaAlignment != 0)
      refuse(fmt::format("{} lies at byte {} of the arena, not at a multiple of {}", name(value),
                         arena.offset, kArenaAlignment));
    const auto offset = static_cast<uint64_t>(arena.offset);
    if (offset > arena_bytes || bytes_[value] > arena_bytes - offset)
      refuse(fmt::format("{} needs bytes {} to {} of an arena of {}", name(value), offset,
                         offset + bytes_[value], arena_bytes));
  }

  void verify_view(size_t value, ViewSlot view) {
    if (view.value < 0 || static_cast<uint64_t>(view.value) >= value)
      refuse(fmt::format("{} is a view of value {}, which does not stand before it", name(value),
                         view.value));
    const auto parent = static_cast<size_t>(view.value);
    if (slot<ArenaSlot>(parent) == nullptr && slot<ViewSlot>(parent) == nullptr)
      refuse(fmt::format("{} is a view of {}, which no step computes", name(value), name(parent)));
    const ValueType& outer = type(parent);
    const ValueType& inner = type(value);
    const bool is_column_range = outer.dims.size() == 2 && inner.dims.size() == 2 &&
                                 outer.dtype == inner.dtype && outer.dims[0] == inner.dims[0] &&
                                 outer.dims[1].is_constant() && inner.dims[1].is_constant();
    if (!is_column_range || view.begin < 0 || view.begin > outer.dims[1].value ||
        inner.dims[1].value > outer.dims[1].value - view.begin)
      refuse(fmt::format("{}, a view from column {} of {} : {}, is {}: no range of its columns",
                         name(value), view.begin, name(parent), ops::to_string(outer),
                         ops::to_string(inner)));
    root_[value] = root_[parent];
  }

  void verify_inputs() {
    std::set<std::string_view> names;
    std::set<size_t> listed;
    for (const int64_t input : program_.inputs) {
      const size_t value = index(input, "an input");
      if (slot<InputSlot>(value) == nullptr || !listed.insert(value).second)
        refuse(
            fmt::format("{} is listed as an input, but it is none or listed twice", name(value)));
      if (!names.insert(program_.values[value].name).second)
        refuse(fmt::format("two inputs are named {}", quote_text(program_.values[value].name)));
      verify_input_type(value);
      is_written_[value] = true;
    }
    for (size_t value = 0; value < num_values_; ++value)
      if (slot<InputSlot>(value) != nullptr && !listed.contains(value))
        refuse(fmt::format("{} has the slot \"input\" but is not listed as one", name(value)));
  }

  void verify_input_type(size_t value) const {
    for (const StepInput& known : step_inputs()) {
      if (known.name != program_.values[value].name) continue;
      if (known.type != type(value))
        refuse(fmt::format("input \"{}\" is {}, a step supplies {}", known.name,
                           ops::to_string(type(value)), ops::to_string(known.type)));
      return;
    }
    if (program_.name == kStepProgram)
      refuse(fmt::format("input {} is none that a step supplies",
                         quote_text(program_.values[value].name)));
  }

  void find_last_steps() {
    const auto num_steps = static_cast<int64_t>(program_.steps.size());
    for (int64_t i = 0; i < num_steps; ++i) {
      const PlanStep& step = program_.steps[static_cast<size_t>(i)];
      for (const int64_t input : step.inputs) last_step_[root(index(input, "an operand"))] = i;
      for (const int64_t output : step.outputs) {
        const size_t value = index(output, "an output");
        last_step_[value] = std::max(last_step_[value], i);
      }
    }
    for (const int64_t output : program_.outputs)
      last_step_[root(index(output, "an output"))] = num_steps;
  }

  void verify_step(size_t step_idx) {
    const PlanStep& step = program_.steps[step_idx];
    if (std::ranges::find(kProgramOps, step.op) == std::end(kProgramOps))
      refuse("no op that runs as a step of a program");
    for (const auto& [attr, attr_value] : step.attrs.entries())
      if (const int64_t* number = std::get_if<int64_t>(&attr_value))
        if (*number < -kMaxIntAttr || *number > kMaxIntAttr)
          refuse(fmt::format("attribute {}={} is beyond 2^40", quote_text(attr), *number));
    for (size_t i = 0; i < step.inputs.size(); ++i) verify_operand(step, i);
    verify_types(step);
    verify_indices(step);
    if (step.op == Op::kv_append || step.op == Op::rope_append || step.op == Op::paged_attention)
      verify_cache(step);
    if (step.op == Op::gather_rows &&
        type(static_cast<size_t>(step.inputs[0])).dims[0] != Symbol::T)
      refuse("gather_rows reads rows of a value that has none for each token");
    verify_results(step);
    place_results(step, static_cast<int64_t>(step_idx));
  }

  void verify_operand(const PlanStep& step, size_t operand) {
    const auto value = static_cast<size_t>(step.inputs[operand]);
    if (const StateSlot* state = slot<StateSlot>(value)) {
      std::optional<size_t>& current = current_[static_cast<size_t>(state->state)];
      // The first version is written by nobody: the state as the last run left it.
      if (!current && !is_written_[value]) {
        current = value;
        is_written_[value] = true;
      }
      if (current != value)
        refuse(fmt::format("operand {} is {}, a version of its state that is not current", operand,
                           name(value)));
    }
    if (!is_written_[root(value)])
      refuse(
          fmt::format("operand {} is {}, which no earlier step has written", operand, name(value)));
    const WeightSlot* weight = slot<WeightSlot>(value);
    const std::optional<ops::PackedOperands> packed = ops::packed_operands(step.op, step.attrs);
    const bool may_pack = packed && operand >= packed->weight && operand < packed->companions_end;
    if (may_pack && weight == nullptr)
      refuse(fmt::format("operand {} is {}, not a weight", operand, name(value)));
    if (!may_pack && weight != nullptr) {
      const PlanWeight& stored = plan_.weights[static_cast<size_t>(weight->weight)];
      if (stored.layout != kPlainLayout)
        refuse(fmt::format("operand {} is weight {} in layout \"{}\", only \"plain\" is read there",
                           operand, quote_text(stored.name), stored.layout));
    }
  }

  void verify_types(const PlanStep& step) const {
    std::vector<ValueType> inputs;
    for (const int64_t input : step.inputs) inputs.push_back(type(static_cast<size_t>(input)));
    const std::vector<ValueType> results = ops::op_def(step.op).infer({inputs, step.attrs});
    if (results.size() != step.outputs.size())
      refuse(fmt::format("{} outputs, the op has {}", step.outputs.size(), results.size()));
    for (size_t i = 0; i < results.size(); ++i) {
      const auto value = static_cast<size_t>(step.outputs[i]);
      if (type(value) != results[i])
        refuse(fmt::format("output {} is {} : {}, the op gives {}", i, name(value),
                           ops::to_string(type(value)), ops::to_string(results[i])));
    }
  }

  void verify_indices(const PlanStep& step) const {
    for (const IndexOperand& rule : kIndexOperands) {
      if (rule.op != step.op) continue;
      const auto value = static_cast<size_t>(step.inputs[rule.operand]);
      if (slot<InputSlot>(value) == nullptr || program_.values[value].name != rule.input)
        refuse(fmt::format("operand {} is {}, it must be the input \"{}\"", rule.operand,
                           name(value), rule.input));
    }
  }

  /// cache [N, 2, num_kv_heads, block_size, row extent]; infer has compared it with the heads.
  void verify_cache(const PlanStep& step) const {
    const size_t operand = step.op == Op::paged_attention ? 1 : 0;
    const auto value = static_cast<size_t>(step.inputs[operand]);
    const ValueType& cache = type(value);
    if (slot<StateSlot>(value) == nullptr || cache.dims.size() != 5 || cache.dims[0] != Symbol::N)
      refuse(fmt::format("operand {} is {} : {}, not a cache", operand, name(value),
                         ops::to_string(cache)));
    const int64_t num_kv_heads = step.attrs.get_int("num_kv_heads");
    const int64_t head_dim = step.attrs.get_int("head_dim");
    const ValueType expected{cache.dtype,
                             {Symbol::N, 2, num_kv_heads, plan_.limits.block_size,
                              ops::kv_row_extent(cache.dtype, head_dim)}};
    if (cache != expected)
      refuse(fmt::format("the cache {} is {}, num_kv_heads, head_dim and block_size ask for {}",
                         name(value), ops::to_string(cache), ops::to_string(expected)));
    const auto query = static_cast<size_t>(step.inputs[1 - operand]);
    if (type(query).dims[0] != Symbol::T)
      refuse(fmt::format("{} : {} has no row for each token", name(query),
                         ops::to_string(type(query))));
  }

  void verify_results(const PlanStep& step) {
    const bool threads_state = ops::op_def(step.op).threads_state;
    for (size_t i = 0; i < step.outputs.size(); ++i) {
      const auto value = static_cast<size_t>(step.outputs[i]);
      if (is_written_[value]) refuse(fmt::format("writes {} a second time", name(value)));
      const StateSlot* state = slot<StateSlot>(value);
      if (threads_state && i == 0) {
        const StateSlot* before = slot<StateSlot>(static_cast<size_t>(step.inputs[0]));
        if (state == nullptr || before == nullptr || !(*state == *before))
          refuse(fmt::format("updates {}, but its result {} is not the same state",
                             name(static_cast<size_t>(step.inputs[0])), name(value)));
        current_[static_cast<size_t>(state->state)] = value;
      } else if (slot<ArenaSlot>(value) == nullptr) {
        refuse(fmt::format("writes {}, which does not lie in the arena", name(value)));
      }
      is_written_[value] = true;
    }
  }

  /// Checks that the results overlap no value that is still read, then forgets what is not.
  void place_results(const PlanStep& step, int64_t step_idx) {
    for (const int64_t output : step.outputs) {
      const auto value = static_cast<size_t>(output);
      const ArenaSlot* arena = slot<ArenaSlot>(value);
      if (arena == nullptr) continue;
      const auto begin = static_cast<uint64_t>(arena->offset);
      const uint64_t end = begin + bytes_[value];
      auto next = live_.lower_bound(begin);
      if (next != live_.begin() && std::prev(next)->second.end > begin) --next;
      if (next != live_.end() && next->first < end)
        refuse(fmt::format("{} and {} overlap in the arena at byte {} while both are needed",
                           name(value), name(next->second.value), std::max(begin, next->first)));
      live_.emplace(begin, Range{end, value});
      ends_.emplace(last_step_[value], begin);
    }
    while (!ends_.empty() && ends_.begin()->first <= step_idx) {
      live_.erase(ends_.begin()->second);
      ends_.erase(ends_.begin());
    }
  }

  void verify_outputs() const {
    for (const int64_t output : program_.outputs)
      if (!is_written_[root(static_cast<size_t>(output))])
        refuse(fmt::format("output {} is written by no step", name(static_cast<size_t>(output))));
    if (program_.name != kStepProgram) return;
    if (program_.outputs.empty()) refuse("it has no output, the first one are the logits");
    const ValueType& logits = type(static_cast<size_t>(program_.outputs[0]));
    const bool are_logits = logits.dtype == DType::fp32 && logits.dims.size() == 2 &&
                            logits.dims[0] == Symbol::R && logits.dims[1].is_constant();
    if (!are_logits)
      refuse(fmt::format("output 0 is {}, logits are fp32[R,vocab_size]", ops::to_string(logits)));
  }

  struct Range {
    uint64_t end;
    size_t value;
  };

  const Plan& plan_;
  const Program& program_;
  const ops::Binding binding_;
  const size_t num_values_;
  std::vector<uint64_t> bytes_;  // of each value, at the limits
  std::vector<size_t> root_;
  std::vector<bool> is_written_;                // views: see their root
  std::vector<int64_t> last_step_;              // that uses a value or a view of it
  std::vector<std::optional<size_t>> current_;  // latest version of each state
  std::map<uint64_t, Range> live_;              // by first byte in the arena
  std::multimap<int64_t, uint64_t> ends_;       // last step -> first byte
};

}  // namespace

void verify_program(const Plan& plan, const Program& program) {
  ProgramVerifier(plan, program).verify();
}

}  // namespace veloz::engine
