// SPDX-License-Identifier: Apache-2.0
#include "serving/demand.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::serving {

int64_t num_blocks_needed(const Demand& demand, int64_t block_size) {
  const int64_t shared = demand.num_prompt_tokens / block_size;
  const int64_t longest = ceil_div(demand.num_prompt_tokens + demand.max_tokens - 1, block_size);
  return shared + demand.width * (longest - shared);
}

void check_fits(const Demand& demand, const SchedulerLimits& limits) {
  const int64_t prompt = demand.num_prompt_tokens;
  if (prompt >= limits.max_model_len)
    throw Error(ErrorKind::invalid_input,
                fmt::format("a prompt of {} tokens leaves no room for output: the engine's "
                            "max_model_len is {}",
                            prompt, limits.max_model_len),
                fmt::format("shorten the prompt by {} tokens or more, or build the engine with a "
                            "larger --max-model-len",
                            prompt - limits.max_model_len + 1));
  if (demand.max_tokens > limits.max_model_len - prompt)
    throw Error(ErrorKind::invalid_input,
                fmt::format("a prompt of {} tokens and max_tokens {} exceed the engine's "
                            "max_model_len {}",
                            prompt, demand.max_tokens, limits.max_model_len),
                fmt::format("lower max_tokens to {}, or build the engine with a larger "
                            "--max-model-len",
                            limits.max_model_len - prompt));
  if (demand.width > limits.max_num_seqs)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} sequences at once (n or num_beams) exceed max_num_seqs {}",
                            demand.width, limits.max_num_seqs),
                "ask for fewer, or run with a larger --max-num-seqs");
  const int64_t needed = num_blocks_needed(demand, limits.block_size);
  if (needed > limits.num_kv_blocks)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} prompt tokens and {} x {} new ones need {} KV blocks of {} "
                            "positions, the cache has {}",
                            prompt, demand.width, demand.max_tokens, needed, limits.block_size,
                            limits.num_kv_blocks),
                "lower max_tokens, n or num_beams, or give the cache more memory");
}

}  // namespace veloz::serving
