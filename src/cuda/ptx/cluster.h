// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/ptx/async_copy.h"
#include "cuda/ptx/barrier.h"
#include "cuda/ptx/tensor_copy.h"

/// Blocks that run at the same time on neighbouring multiprocessors and reach into each other's
/// shared memory. The simulated multiprocessor has none.
namespace veloz::cuda {

/// Of this block in its cluster.
__device__ inline int cluster_rank() {
#if VELOZ_DEVICE_CODE
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
#else
  return 0;
#endif
}

/// All threads of all blocks meet.
__device__ inline void cluster_sync() {
#if VELOZ_DEVICE_CODE
  asm volatile(
      "barrier.cluster.arrive.release;\n"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
#endif
}

/// Arrives at the barrier that lies, in block `rank`, where `barrier` lies in this one.
__device__ inline void arrive_in_cluster([[maybe_unused]] SharedBarrier* barrier,
                                         [[maybe_unused]] int rank) {
#if VELOZ_DEVICE_CODE
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
#endif
}

/// As wait_for_phase, and sees what other blocks of the cluster did before they arrived.
__device__ inline void wait_for_phase_of_cluster([[maybe_unused]] SharedBarrier* barrier,
                                                 [[maybe_unused]] uint32_t parity) {
#if VELOZ_DEVICE_CODE
  const uint32_t address = shared_address(barrier);
  uint32_t is_over = 0;
  do {
    asm volatile(
        "{\n"
        ".reg .pred over;\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 over, [%1], %2;\n"
        "selp.u32 %0, 1, 0, over;\n"
        "}\n"
        : "=r"(is_over)
        : "r"(address), "r"(parity)
        : "memory");
  } while (is_over == 0);
#endif
}

/// As load_tile, to the same place in every block of the cluster whose bit is in `ranks`; each
/// one's barrier counts the bytes.
__device__ inline void load_tile_to_cluster([[maybe_unused]] void* shared,
                                            [[maybe_unused]] const TensorMap* map,
                                            [[maybe_unused]] int column, [[maybe_unused]] int row,
                                            [[maybe_unused]] SharedBarrier* barrier,
                                            [[maybe_unused]] uint16_t ranks,
                                            [[maybe_unused]] uint64_t policy) {
#if VELOZ_DEVICE_CODE
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster.L2::cache_hint [%0], [%1, {%2, %3}], [%4], %5, %6;" ::"r"(
          shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(ranks), "l"(policy)
      : "memory");
#endif
}

}  // namespace veloz::cuda
