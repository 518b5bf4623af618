// SPDX-License-Identifier: Apache-2.0
#include "compiler/memory_plan.h"

#include <algorithm>
#include <vector>

#include "base/numeric.h"

namespace veloz::compiler {
namespace {

constexpr int64_t kAlignment = 64;

struct Interval {
  size_t value = 0;
  int64_t bytes = 0;
  int64_t first_step = 0;
  int64_t last_step = 0;
  int64_t offset = 0;

  bool overlaps_in_time(const Interval& other) const {
    return first_step <= other.last_step && other.first_step <= last_step;
  }
};

size_t root_of(const engine::Program& program, size_t value) {
  while (const auto* view = std::get_if<engine::ViewSlot>(&program.values[value].slot))
    value = static_cast<size_t>(view->value);
  return value;
}

std::vector<Interval> find_intervals(const engine::Program& program, const ops::Binding& binding) {
  std::vector<Interval> by_value(program.values.size());
  const auto num_steps = static_cast<int64_t>(program.steps.size());
  for (int64_t i = 0; i < num_steps; ++i) {
    const engine::PlanStep& step = program.steps[static_cast<size_t>(i)];
    for (const int64_t output : step.outputs) {
      Interval& interval = by_value[static_cast<size_t>(output)];
      interval.first_step = interval.last_step = i;
    }
    for (const int64_t input : step.inputs)
      by_value[root_of(program, static_cast<size_t>(input))].last_step = i;
  }
  for (const int64_t output : program.outputs)
    by_value[root_of(program, static_cast<size_t>(output))].last_step = num_steps;

  std::vector<Interval> intervals;
  for (size_t i = 0; i < program.values.size(); ++i) {
    const engine::PlanValue& value = program.values[i];
    if (!std::holds_alternative<engine::ArenaSlot>(value.slot)) continue;
    by_value[i].value = i;
    by_value[i].bytes = round_up(value.type.bind(binding).num_elements() *
                                     static_cast<int64_t>(dtype_bytes(value.type.dtype)),
                                 kAlignment);
    intervals.push_back(by_value[i]);
  }
  return intervals;
}

/// Lowest offset at which `interval` meets none of `placed` that is alive with it.
int64_t lowest_free_offset(const Interval& interval, const std::vector<Interval>& placed) {
  std::vector<const Interval*> rivals;
  for (const Interval& other : placed)
    if (interval.overlaps_in_time(other)) rivals.push_back(&other);
  std::ranges::sort(rivals, {}, &Interval::offset);
  int64_t offset = 0;
  for (const Interval* rival : rivals) {
    if (offset + interval.bytes <= rival->offset) break;
    offset = std::max(offset, rival->offset + rival->bytes);
  }
  return offset;
}

}  // namespace

int64_t assign_arena(engine::Program& program, const ops::Binding& binding) {
  std::vector<Interval> intervals = find_intervals(program, binding);
  std::ranges::stable_sort(intervals, std::greater<>{}, &Interval::bytes);
  std::vector<Interval> placed;
  int64_t unshared = 0;
  program.arena_bytes = 0;
  for (Interval& interval : intervals) {
    interval.offset = lowest_free_offset(interval, placed);
    program.values[interval.value].slot = engine::ArenaSlot{interval.offset};
    program.arena_bytes = std::max(program.arena_bytes, interval.offset + interval.bytes);
    unshared += interval.bytes;
    placed.push_back(interval);
  }
  return unshared;
}

}  // namespace veloz::compiler
