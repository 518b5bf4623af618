// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/gpu.h"

/// Thread blocks that run at once and reach each other's shared memory (cluster_blocks of a
/// launch). None may touch another's before that has begun, nor after it has ended: a kernel begins
/// and ends with their barrier. All threads of a warp call together.
#if defined(VELOZ_CUDA_SIM)
#include "cuda/sim/cluster.h"
#else
namespace veloz::cuda {

/// Is counted at the cluster's barrier. Says nothing of what was written before.
__device__ inline void arrive_at_cluster() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
/// Waits until all threads of the cluster have arrived. Between two arrivals.
__device__ inline void wait_for_cluster() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// __syncthreads of the whole cluster.
__device__ inline void sync_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  wait_for_cluster();
}

/// Where block `rank` of the cluster has what this one has at `shared`.
template <typename T>
__device__ inline T* in_block_of_cluster(T* shared, int rank) {
  T* there;
  asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(shared), "r"(rank));
  return there;
}

}  // namespace veloz::cuda
#endif
