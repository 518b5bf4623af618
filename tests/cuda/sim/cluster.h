// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/sim/barrier.h"
#include "cuda/sim/threads.h"
#include "cuda/sim/warp.h"

/// Of ptx/cluster.h, on the simulated multiprocessor.
namespace veloz::cuda {

inline void arrive_at_cluster(VELOZ_SIM_SITE) { sim::cluster_arrive(site); }
inline void wait_for_cluster(VELOZ_SIM_SITE) { sim::cluster_wait(site); }

template <typename T>
void store_async(T* shared, T value, int rank, SharedBarrier* barrier) {
  sim::require(reinterpret_cast<uintptr_t>(shared) % sizeof(T) == 0, "st.async to an odd address");
  *static_cast<T*>(sim::in_block_of_cluster(shared, rank)) = value;
  sim::bring_bytes(static_cast<SharedBarrier*>(sim::in_block_of_cluster(barrier, rank)),
                   static_cast<int>(sizeof(T)));
}
inline void wait_for_stores(SharedBarrier* barrier, VELOZ_SIM_SITE) {
  wait_for_phase(barrier, 0, site);
}

}  // namespace veloz::cuda
