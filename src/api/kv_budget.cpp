// SPDX-License-Identifier: Apache-2.0
#include "api/kv_budget.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "runtime/session.h"

namespace veloz::api {
namespace {

/// `sequences` is what max_num_seqs sequences of full length need. Memory is also cleared at load.
uint64_t choose_budget(uint64_t free_bytes, uint64_t sequences, KvCacheSize size) {
  const uint64_t of_sequences = std::min(free_bytes / 2, sequences);
  if (size == KvCacheSize::of_sequences) return of_sequences;
  return std::max(of_sequences, std::min(free_bytes / 5 * 4, kMostTimesNeeded * sequences));
}

}  // namespace

int64_t count_kv_blocks(const engine::Plan& plan, const KvDemand& demand) {
  const uint64_t block_bytes = runtime::kv_block_bytes(plan);
  const uint64_t sequences = static_cast<uint64_t>(demand.max_num_seqs) *
                             static_cast<uint64_t>(plan.limits.max_blocks_per_seq()) * block_bytes;
  const uint64_t budget = demand.memory_bytes > 0
                              ? demand.memory_bytes
                              : choose_budget(demand.free_bytes, sequences, demand.size);
  return static_cast<int64_t>(std::min<uint64_t>(budget / block_bytes, uint64_t{1} << 30));
}

int64_t choose_num_kv_blocks(const engine::Plan& plan, const KvDemand& demand) {
  const auto block_bytes = static_cast<uint64_t>(runtime::kv_block_bytes(plan));
  const int64_t num_blocks = count_kv_blocks(plan, demand);
  const int64_t per_sequence = plan.limits.max_blocks_per_seq();
  if (num_blocks < per_sequence)
    throw Error(
        ErrorKind::out_of_memory,
        fmt::format(
            "a KV cache of {} holds {} blocks, one sequence of {} positions needs {} ({})",
            format_bytes(demand.memory_bytes > 0 ? demand.memory_bytes
                                                 : static_cast<uint64_t>(num_blocks) * block_bytes),
            num_blocks, plan.limits.max_model_len, per_sequence,
            format_bytes(static_cast<uint64_t>(per_sequence) * block_bytes)),
        "raise --kv-cache-memory-bytes, or build the engine with a lower --max-model-len");
  return num_blocks;
}

uint64_t memory_beside_weights(const engine::Engine& engine, uint64_t available_bytes) {
  uint64_t weight_bytes = 0;
  for (size_t i = 0; i < engine.plan().weights.size(); ++i) weight_bytes += engine.weight_bytes(i);
  return available_bytes > weight_bytes ? available_bytes - weight_bytes : 0;
}

}  // namespace veloz::api
