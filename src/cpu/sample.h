// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/kernel.h"
#include "ops/sample.h"

namespace veloz::cpu {

/// The reference's choice, token for token, without weighing most of the vocabulary: a bound on a
/// token's weight shows that it cannot win the race, and of a small top_k only the k best are
/// weighed. Other filters go the reference's way.
void sample(ops::OpContext& context, const ops::SampleArgs& args) noexcept;

size_t sample_workspace_bytes(const ops::OpCall& call, int num_threads);

}  // namespace veloz::cpu
