// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/plan.h"

namespace veloz::test {

/// For lowering a graph of a test.
inline engine::Limits small_limits() {
  engine::Limits limits;
  limits.max_num_batched_tokens = 32;
  limits.max_num_seqs = limits.max_logit_rows = 4;
  limits.max_model_len = 128;
  return limits;
}

}  // namespace veloz::test
