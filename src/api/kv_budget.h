// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/engine.h"
#include "veloz/llm.h"

namespace veloz::api {

/// Blocks of the KV cache: what `memory_bytes` holds or, where that is 0, as `size` says. Throws
/// Error(out_of_memory) with the arithmetic where not even one full sequence fits.
int64_t choose_num_kv_blocks(const engine::Engine& engine, int64_t max_num_seqs,
                             size_t memory_bytes, KvCacheSize size = KvCacheSize::of_sequences);

/// What the number is chosen by.
struct KvDemand {
  int64_t max_num_seqs = 0;
  uint64_t memory_bytes = 0;  // 0: as `size` says
  KvCacheSize size = KvCacheSize::of_sequences;
  uint64_t free_bytes = 0;  // of the machine, when the weights are loaded
};

/// The same of a plan, which may be of no engine yet. May be fewer than one sequence needs.
int64_t count_kv_blocks(const engine::Plan& plan, const KvDemand& demand);

}  // namespace veloz::api
