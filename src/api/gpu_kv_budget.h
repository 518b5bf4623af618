// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/device.h"
#include "engine/plan.h"
#include "profile/footprint.h"

namespace veloz::api {

/// What the blocks of a cache on a GPU are counted by.
struct GpuKvDemand {
  cuda::GpuMemory memory{};   // before anything of the engine is loaded
  double utilization = 0.9;   // share of the GPU's memory that this process may fill
  uint64_t memory_bytes = 0;  // of the cache; 0: what the rest leaves
  int64_t max_num_seqs = 0;
  bool uses_library = false;  // cuBLASLt, with its code and scratch
};

/// Blocks of the KV cache: what `utilization` of the GPU's memory leaves beside weights, arena and
/// workspace, at most four times what max_num_seqs full sequences need; or what `memory_bytes`
/// holds. Throws Error(out_of_memory) with the arithmetic where the weights do not fit, or not one
/// full sequence beside them; Error(invalid_input) for a share that is none.
int64_t count_gpu_kv_blocks(const engine::Plan& plan, const profile::Footprint& footprint,
                            const GpuKvDemand& demand);

}  // namespace veloz::api
