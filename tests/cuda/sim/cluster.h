// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/sim/threads.h"
#include "cuda/sim/warp.h"

/// Of ptx/cluster.h, on the simulated multiprocessor.
namespace veloz::cuda {

inline void arrive_at_cluster(VELOZ_SIM_SITE) { sim::cluster_arrive(site); }
inline void wait_for_cluster(VELOZ_SIM_SITE) { sim::cluster_wait(site); }
inline void sync_cluster(VELOZ_SIM_SITE) {
  sim::cluster_arrive(site);
  sim::cluster_wait(site);
}

template <typename T>
T* in_block_of_cluster(T* shared, int rank) {
  return static_cast<T*>(sim::in_block_of_cluster(shared, rank));
}

}  // namespace veloz::cuda
