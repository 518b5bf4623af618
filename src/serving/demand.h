// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::serving {

/// What no step and no request may exceed.
struct SchedulerLimits {
  int64_t max_num_seqs = 64;
  int64_t max_num_batched_tokens = 2048;  // >= max_num_seqs
  int64_t max_model_len = 2048;
  int64_t block_size = 64;
  int64_t num_kv_blocks = 0;
  int64_t max_prefill_chunk = 2048;  // tokens of one sequence in one step
  int64_t max_logit_rows = 0;        // of one step, >= max_num_seqs; 0: as many
};

/// What a request will need, as far as the scheduler cares.
struct Demand {
  int64_t num_prompt_tokens = 0;
  int64_t max_tokens = 0;
  int64_t width = 1;  // sequences it grows to: n, or num_beams
};

/// Blocks that a request may come to hold: all sequences share the full blocks of the prompt, each
/// has the rest to itself. The last token is never computed, so it needs no room.
int64_t num_blocks_needed(const Demand& demand, int64_t block_size);

/// Throws Error(invalid_input) with the arithmetic where a request could never run.
void check_fits(const Demand& demand, const SchedulerLimits& limits);

}  // namespace veloz::serving
