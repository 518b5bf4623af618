// SPDX-License-Identifier: Apache-2.0
#include "profile/advice.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/files.h"
#include "base/numeric.h"

namespace veloz::profile {
namespace {

/// A smaller cache, where it still holds one sequence.
void advise_cache(const Footprint& footprint, const engine::Limits& limits, uint64_t memory_bytes,
                  std::vector<Advice>& advice) {
  if (memory_bytes <= footprint.fixed_bytes()) return;
  const auto blocks =
      narrow<int64_t>((memory_bytes - footprint.fixed_bytes()) / footprint.kv_block_bytes);
  if (blocks < limits.max_blocks_per_seq()) return;
  advice.push_back(
      {.flag = "--kv-cache-memory-bytes",
       .value = blocks * narrow<int64_t>(footprint.kv_block_bytes),
       .effect = fmt::format("the cache holds {} tokens instead of {}", blocks * limits.block_size,
                             footprint.num_kv_blocks * limits.block_size)});
}

/// Shorter sequences, where the cache of a single long one is what does not fit.
void advise_length(const Footprint& footprint, const engine::Limits& limits, uint64_t memory_bytes,
                   std::vector<Advice>& advice) {
  if (memory_bytes <= footprint.fixed_bytes()) return;
  const auto blocks =
      narrow<int64_t>((memory_bytes - footprint.fixed_bytes()) / footprint.kv_block_bytes);
  if (blocks < 1 || blocks >= limits.max_blocks_per_seq()) return;
  advice.push_back({.flag = "--max-model-len",
                    .value = blocks * limits.block_size,
                    .effect = fmt::format("one sequence has that many positions instead of {}",
                                          limits.max_model_len)});
}

uint64_t step_bytes(const Footprint& footprint) {
  return footprint.arena_bytes + footprint.workspace_bytes + footprint.input_bytes;
}
uint64_t sequence_bytes(const Footprint& footprint, const engine::Limits& limits) {
  return static_cast<uint64_t>(limits.max_blocks_per_seq()) * footprint.kv_block_bytes;
}

/// Smaller steps: the arena and the inputs shrink with them, the cache keeps one sequence.
void advise_steps(const Footprint& footprint, const engine::Limits& limits, uint64_t memory_bytes,
                  std::vector<Advice>& advice) {
  const uint64_t of_steps = step_bytes(footprint);
  const uint64_t of_sequence = sequence_bytes(footprint, limits);
  const uint64_t others = footprint.fixed_bytes() - of_steps + of_sequence;
  if (memory_bytes <= others) return;
  const double share = static_cast<double>(memory_bytes - others) / static_cast<double>(of_steps);
  const auto tokens =
      static_cast<int64_t>(share * static_cast<double>(limits.max_num_batched_tokens));
  if (tokens < limits.max_num_seqs || tokens >= limits.max_num_batched_tokens) return;
  advice.push_back({.flag = "--max-num-batched-tokens",
                    .value = tokens,
                    .effect = fmt::format("a step takes that many tokens instead of {}; with a "
                                          "--kv-cache-memory-bytes of one sequence, {}",
                                          limits.max_num_batched_tokens, of_sequence)});
}

/// Why no limit alone is enough.
std::string describe_shortage(const Footprint& footprint, const engine::Limits& limits,
                              uint64_t memory_bytes) {
  const uint64_t of_steps = step_bytes(footprint);
  const uint64_t of_sequence = sequence_bytes(footprint, limits);
  const uint64_t others = footprint.fixed_bytes() - of_steps;
  if (memory_bytes > others)
    return fmt::format(
        "no limit alone is enough: beside {} for weights and program, steps take {} and the cache "
        "of one sequence {}; lower --max-num-seqs and --max-num-batched-tokens, and "
        "--max-model-len, together",
        format_bytes(others), format_bytes(of_steps), format_bytes(of_sequence));
  return fmt::format(
      "the weights alone take {}: quantize the model (`veloz build --quant`), or use a machine "
      "with {} or more",
      format_bytes(footprint.weight_bytes), format_bytes(footprint.fixed_bytes() + of_sequence));
}

}  // namespace

std::vector<Advice> advise(const Footprint& footprint, const engine::Limits& limits,
                           uint64_t memory_bytes) {
  std::vector<Advice> advice;
  if (footprint.total_bytes() <= memory_bytes) return advice;
  advise_cache(footprint, limits, memory_bytes, advice);
  if (advice.empty()) advise_length(footprint, limits, memory_bytes, advice);
  if (advice.empty()) advise_steps(footprint, limits, memory_bytes, advice);
  if (advice.empty())
    advice.push_back({.flag = "", .effect = describe_shortage(footprint, limits, memory_bytes)});
  return advice;
}

}  // namespace veloz::profile
