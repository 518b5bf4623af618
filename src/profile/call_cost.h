// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "engine/plan.h"
#include "ops/op.h"
#include "profile/machine_peaks.h"
#include "runtime/batch.h"

namespace veloz::profile {

/// Work of one call.
struct CallCost {
  ops::Cost cost;
  Roof arithmetic = Roof::fp32_fma;  // the instruction its operands ask for
  ops::Op op{};
  /// Weights are of another dtype than what is multiplied: each is changed on the way.
  bool converts_weights = false;
};

/// The op's own cost; where it depends on lengths that stand in operands, with those of the batch.
CallCost cost_of_call(ops::Op op, const ops::OpCall& call, const runtime::Batch& batch);

/// Work of each step of program "step" for a batch, from types and lengths alone: nothing is
/// loaded or run. Steps without output have none.
std::vector<CallCost> cost_of_program(const engine::Plan& plan, const runtime::Batch& batch,
                                      int64_t num_kv_blocks);

}  // namespace veloz::profile
