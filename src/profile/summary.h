// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "profile/profiler.h"

namespace veloz::profile {

/// What stands in one row of a phase's table.
enum class Grouping : uint8_t {
  kernel,  // all steps of one op that one kernel runs
  name,    // of these, those with the same name in all layers: "layers.*.attn.qkv"
  step,    // each step of the plan
};

/// Steps of a phase taken together.
struct OpGroup {
  std::string op;
  std::string kernel;
  std::string name;  // "" where grouped by kernel
  int64_t num_steps = 0;
  double seconds = 0;
  ops::Cost cost;
  Roof roof = Roof::dram_read;  // that binds for the longest
  double roof_s = 0;            // time of all its steps, each at the roof that binds it

  double gb_per_s() const { return seconds > 0 ? cost.bytes / seconds * 1e-9 : 0; }
  double gflop_per_s() const { return seconds > 0 ? cost.flops / seconds * 1e-9 : 0; }
  /// 1: as fast as the machine allows. More: its operands came from a cache, not from memory.
  double share_of_roof() const { return seconds > 0 ? roof_s / seconds : 0; }
  double lost_s() const { return seconds > roof_s ? seconds - roof_s : 0; }
};

/// A phase against the machine.
struct PhaseSummary {
  Phase phase;
  double step_s = 0;
  double host_s = 0;            // of the step, outside the ops
  OpGroup all;                  // every op together
  std::vector<OpGroup> groups;  // those that lose most first

  double tokens_per_s() const { return static_cast<double>(phase.num_tokens()) / step_s; }
  double lost_ms_per_token(const OpGroup& group) const;
  /// Of the whole step, host time included.
  double share_of_roof() const { return step_s > 0 ? all.roof_s / step_s : 0; }
};

PhaseSummary summarize(const PhaseTimes& times, const MachinePeaks& peaks, Grouping grouping);

/// A value's name with its layer's number replaced: "layers.12.attn.qkv" -> "layers.*.attn.qkv".
std::string name_in_all_layers(const std::string& name);

}  // namespace veloz::profile
