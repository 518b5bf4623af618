// SPDX-License-Identifier: Apache-2.0
#include "api/executor_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/step_costs.h"
#include "base/error.h"

namespace veloz::api {
namespace {

int64_t lower_limit(const char* flag, int64_t wanted, int64_t built) {
  if (wanted == 0) return built;
  if (wanted < 1 || wanted > built)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} is {}, the engine was built for 1 to {}", flag, wanted, built),
                "choose a value in that range, or build the engine with a higher limit");
  return wanted;
}

int64_t choose_max_num_batched_tokens(const LLMOptions& options, const engine::Limits& limits) {
  return lower_limit("--max-num-batched-tokens", options.max_num_batched_tokens,
                     limits.max_num_batched_tokens);
}

void check_not_negative(const char* flag, double value) {
  if (!(value >= 0 && std::isfinite(value)))
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} is {}, allowed is 0 (none) or more", flag, value),
                "give an allowed value, or leave it out");
}

}  // namespace

// Every running sequence takes a token of each step, so steps are at least as long as those are
// many.
int64_t choose_max_num_seqs(const LLMOptions& options, const engine::Limits& limits) {
  const int64_t max_num_batched_tokens = choose_max_num_batched_tokens(options, limits);
  const int64_t max_num_seqs =
      lower_limit("--max-num-seqs", options.max_num_seqs, limits.max_num_seqs);
  if (max_num_seqs <= max_num_batched_tokens) return max_num_seqs;
  if (options.max_num_seqs == 0) return max_num_batched_tokens;
  throw Error(ErrorKind::invalid_input,
              fmt::format("--max-num-seqs {} exceeds --max-num-batched-tokens {}: each running "
                          "sequence takes a token of every step",
                          max_num_seqs, max_num_batched_tokens),
              "lower the one or raise the other");
}

serving::ExecutorOptions to_executor_options(const engine::Engine& engine,
                                             const LLMOptions& options, Backend& backend) {
  constexpr double kSecondsPerMs = 1e-3;
  const engine::Limits& limits = engine.plan().limits;
  check_not_negative("--target-step-ms", options.target_step_ms);
  check_not_negative("--max-queued-requests", static_cast<double>(options.max_queued_requests));
  check_not_negative("--max-queued-tokens", static_cast<double>(options.max_queued_tokens));

  serving::ExecutorOptions result = serving::ExecutorOptions::of(engine.manifest(), 0);
  result.limits.max_num_batched_tokens = choose_max_num_batched_tokens(options, limits);
  result.limits.max_num_seqs = choose_max_num_seqs(options, limits);
  result.limits.max_prefill_chunk =
      lower_limit("--max-prefill-chunk", options.max_prefill_chunk, limits.max_num_batched_tokens);
  result.scheduling.policy = options.scheduling_policy;
  result.scheduling.enable_prefix_caching = options.enable_prefix_caching;
  result.scheduling.target_step_s = options.target_step_ms * kSecondsPerMs;
  if (options.target_step_ms > 0) result.scheduling.costs = estimate_step_costs(engine, backend);
  result.run_ahead = options.run_ahead;
  result.max_queued_requests = options.max_queued_requests;
  result.max_queued_tokens = options.max_queued_tokens;
  return result;
}

}  // namespace veloz::api
