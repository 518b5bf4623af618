// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/plan.h"
#include "profile/call_cost.h"
#include "profile/machine_peaks.h"
#include "profile/phase.h"

namespace veloz::profile {

/// How long one call is expected to take: at its roof, less what kernels leave unused of it. The
/// shares are those that `veloz profile` shows on the machines the kernels were written on.
double predict_call_s(const CallCost& work, const MachinePeaks& peaks);

/// A phase's step, with what the host adds.
struct SpeedPrediction {
  Phase phase;
  double step_s = 0;
  Roof roof = Roof::dram_read;  // that binds for the longest

  double tokens_per_s() const { return static_cast<double>(phase.num_tokens()) / step_s; }
};

/// From the plan alone: nothing is loaded or run.
SpeedPrediction predict_speed(const engine::Plan& plan, const Phase& phase,
                              const MachinePeaks& peaks);

}  // namespace veloz::profile
