// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/engine.h"
#include "veloz/llm.h"

namespace veloz::api {

/// What the number of blocks is chosen by.
struct KvDemand {
  int64_t max_num_seqs = 0;
  uint64_t memory_bytes = 0;  // 0: as `size` says
  KvCacheSize size = KvCacheSize::of_sequences;
  uint64_t free_bytes = 0;  // of the machine, when the weights are loaded
};

/// The cache holds at most this many times what max_num_seqs sequences of full length need, unless
/// told: prefixes of requests past are worth having, and this many are plenty.
inline constexpr uint64_t kMostTimesNeeded = 4;

/// Blocks of the KV cache: what `memory_bytes` holds or, where that is 0, as `size` says. May be
/// fewer than one sequence needs.
int64_t count_kv_blocks(const engine::Plan& plan, const KvDemand& demand);

/// The same; throws Error(out_of_memory) with the arithmetic where not even one full sequence fits.
int64_t choose_num_kv_blocks(const engine::Plan& plan, const KvDemand& demand);

/// What the engine's weights leave of this much memory.
uint64_t memory_beside_weights(const engine::Engine& engine, uint64_t available_bytes);

}  // namespace veloz::api
