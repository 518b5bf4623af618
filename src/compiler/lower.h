// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "engine/plan.h"
#include "graph/graph.h"
#include "ops/kernel.h"

namespace veloz::compiler {

/// Which layout a weight got, and why.
struct LayoutChoice {
  std::string weight;
  std::string layout;
  std::string reason;
};

struct LoweredGraph {
  engine::Plan plan;
  std::vector<LayoutChoice> layouts;  // one per weight of the plan
  int64_t arena_bytes_unshared = 0;   // what the arena would take without reuse
};

/// Turns a verified graph into a plan with one program, "step": chooses each weight's layout among
/// those the target's kernels accept (best kernel of its first reader decides, all readers must
/// agree), aliases state chains and slices, and packs the arena by liveness at `limits`. Throws
/// Error(unsupported) where the target has no kernel for an op.
LoweredGraph lower(const graph::Graph& graph, const engine::Limits& limits,
                   const ops::KernelRegistry& target);

}  // namespace veloz::compiler
