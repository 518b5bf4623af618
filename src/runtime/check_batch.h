// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/plan.h"
#include "runtime/batch.h"

namespace veloz::runtime {

/// What a batch must respect beside the engine's limits.
struct BatchBounds {
  int64_t num_kv_blocks = 0;
  int64_t vocab_rows = 0;  // token ids an embedding has a row for
};

/// Throws Error(internal) where any number in the batch exceeds its bounds: kernels use them as
/// indices unseen.
void check_batch(const Batch& batch, const engine::Limits& limits, const BatchBounds& bounds);

}  // namespace veloz::runtime
