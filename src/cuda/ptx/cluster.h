// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/ptx/async_copy.h"
#include "cuda/ptx/barrier.h"

/// Thread blocks that run at once and write to each other's shared memory (cluster_blocks of a
/// launch). None may write to another's before that has begun, nor after it has ended: a kernel
/// begins with the cluster's barrier, and each thread block waits for all that it is sent.
#if defined(VELOZ_CUDA_SIM)
#include "cuda/sim/cluster.h"
#else
namespace veloz::cuda {

/// Is counted at the cluster's barrier, all threads of a warp together. Of what was written before
/// it makes known published barriers only.
__device__ inline void arrive_at_cluster() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
/// Waits until all threads of the cluster have arrived.
__device__ inline void wait_for_cluster() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// Where block `rank` of the cluster has what this one has at `shared`.
__device__ inline uint32_t address_in_block(const void* shared, int rank) {
  uint32_t there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(there)
      : "r"(shared_address(shared)), "r"(rank));
  return there;
}

/// Writes to where block `rank` of the cluster has what this one has at `shared`, without waiting:
/// that block's `barrier` counts the bytes, and its threads wait_for_stores().
__device__ inline void store_async(float* shared, float value, int rank, SharedBarrier* barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.f32 [%0], %1, [%2];" ::"r"(
                   address_in_block(shared, rank)),
               "f"(value), "r"(address_in_block(barrier, rank))
               : "memory");
}
__device__ inline void store_async(float2* shared, float2 value, int rank, SharedBarrier* barrier) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, [%3];" ::"r"(
          address_in_block(shared, rank)),
      "f"(value.x), "f"(value.y), "r"(address_in_block(barrier, rank))
      : "memory");
}
__device__ inline void store_async(uint4* shared, uint4 value, int rank, SharedBarrier* barrier) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, "
      "[%5];" ::"r"(address_in_block(shared, rank)),
      "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w), "r"(address_in_block(barrier, rank))
      : "memory");
}

/// Waits for the end of a barrier's first phase; sees what other blocks have stored.
__device__ inline void wait_for_stores(SharedBarrier* barrier) {
  uint32_t is_over = 0;
  do {
    asm volatile(
        "{\n"
        ".reg .pred over;\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 over, [%1], 0;\n"
        "selp.u32 %0, 1, 0, over;\n"
        "}\n"
        : "=r"(is_over)
        : "r"(shared_address(barrier))
        : "memory");
  } while (is_over == 0);
}

}  // namespace veloz::cuda
#endif
