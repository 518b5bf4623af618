// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Stands in for <cuda_runtime.h>: the names that device code and its launchers use, on a simulated
/// multiprocessor (threads.h) and host memory (runtime_api.h).
#include <cassert>
#include <chrono>
#include <cstdlib>

#include "cuda/sim/arithmetic.h"
#include "cuda/sim/async_copy.h"
#include "cuda/sim/atomics.h"
#include "cuda/sim/language.h"
#include "cuda/sim/matrix.h"
#include "cuda/sim/runtime_api.h"
#include "cuda/sim/threads.h"
#include "cuda/sim/warp.h"

inline long long clock64() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
inline void __nanosleep(unsigned, VELOZ_SIM_SITE) { veloz::cuda::sim::yield(site); }
[[noreturn]] inline void __trap() { veloz::cuda::sim::fail("__trap()"); }

namespace veloz::cuda {

inline unsigned char* dynamic_shared() { return sim::dynamic_shared_begin(); }

/// Of ptx/named_barrier.h.
inline void named_barrier(int id, int threads, VELOZ_SIM_SITE) {
  sim::require(threads % warpSize == 0, "a named barrier is for whole warps");
  sim::barrier(id, threads, site);
}

}  // namespace veloz::cuda
