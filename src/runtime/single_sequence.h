// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "runtime/batch.h"

namespace veloz::runtime {

/// Positions [begin, end) of one sequence that has the first blocks of the cache to itself, with
/// the logits of those from `first_logit` on.
Batch single_sequence_batch(std::span<const int32_t> tokens, int64_t begin, int64_t end,
                            int64_t first_logit, int64_t block_size);

}  // namespace veloz::runtime
