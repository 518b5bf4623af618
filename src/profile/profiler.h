// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "profile/call_cost.h"
#include "profile/machine_peaks.h"
#include "profile/phase.h"
#include "runtime/session.h"

namespace veloz::profile {

/// One step of the plan, as it ran in a phase.
struct OpTime {
  size_t step = 0;  // of the plan
  ops::Op op{};
  std::string name;  // of its result: "layers.3.attn.qkv"
  std::string kernel;
  double seconds = 0;  // median
  CallCost work;
};

/// What a phase's step took: medians over the repeats.
struct PhaseTimes {
  Phase phase;
  std::vector<OpTime> ops;  // those that ran, in order
  double step_s = 0;        // of the whole step
  double host_s = 0;        // of it, outside the ops
};

struct Profile {
  std::vector<PhaseTimes> phases;
  MachinePeaks peaks;  // medians
  int64_t num_repeats = 0;
};

struct ProfileOptions {
  std::vector<Phase> phases;
  int64_t num_repeats = 5;  // >= 1, after one step of each phase to warm up
  std::function<MachinePeaks()> measure_peaks{};
  std::function<void(int64_t num_done, int64_t total)> on_progress{};  // may be empty
};

/// Runs all phases and measures the peaks in turn, again and again, so that what disturbs the
/// machine disturbs them alike. The cache is read as it is: how long a kernel takes does not depend
/// on what stands there. The session must hold the blocks of each phase; its step hook is taken.
Profile run_profile(runtime::Session& session, const ProfileOptions& options, int64_t vocab_size);

}  // namespace veloz::profile
