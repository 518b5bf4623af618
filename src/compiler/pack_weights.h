// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "checkpoint/tensor_source.h"
#include "engine/engine.h"
#include "graph/graph.h"
#include "ops/kernel.h"

namespace veloz::compiler {

/// Packed bytes of each weight of the plan.
std::vector<size_t> packed_sizes(const engine::Plan& plan, const ops::KernelRegistry& target);

/// Throws Error (not_found, invalid_input) where a segment's tensor is missing from `source`, has
/// another shape than the graph asks for, or a dtype that does not give the weight's.
void check_tensors(const graph::Graph& graph, const checkpoint::TensorSource& source);

/// Reads every weight's rows from `source`, converts them to the weight's dtype (codes, scales and
/// the like are taken as they are and checked), packs them and hands them to `writer`, in pieces of
/// a few MiB on all threads of the pool: memory does not grow with the model. Returns warnings
/// about the data: "tensor ... has 3 NaN".
std::vector<std::string> pack_weights(const graph::Graph& graph, const engine::Plan& plan,
                                      const checkpoint::TensorSource& source,
                                      const ops::KernelRegistry& target, ThreadPool& pool,
                                      const ProgressSink& progress, engine::EngineWriter& writer);

}  // namespace veloz::compiler
