// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/ptx/async_copy.h"
#include "cuda/ptx/barrier.h"
#include "cuda/ptx/tensor_map.h"

/// Copies of tiles by the copy engine (cp.async.bulk.tensor). One thread asks for a tile; the
/// barrier counts its bytes, all of them even where the tile hangs over the matrix's edge: zeros
/// come from there. In shared memory the 16-byte units of each row are permuted: unit u of row r
/// lies at u ^ (r % 8).
#if defined(VELOZ_CUDA_SIM)
#include "cuda/sim/tensor_copy.h"
#else
namespace veloz::cuda {

/// How often what is read will be read again soon, for the second-level cache.
enum class Reuse { once, some };

__device__ inline uint64_t cache_policy(Reuse reuse) {
  uint64_t policy;
  if (reuse == Reuse::once)
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  else
    asm("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

/// To shared memory aligned to 1024 bytes, the tile that begins at `column` (elements) and `row`.
__device__ inline void load_tile(void* shared, const TensorMap* map, int column, int row,
                                 SharedBarrier* barrier, uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "l"(policy)
      : "memory");
}

/// Begins to fetch the map itself.
__device__ inline void prefetch_map(const TensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

}  // namespace veloz::cuda
#endif
