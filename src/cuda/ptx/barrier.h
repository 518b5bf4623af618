// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/ptx/async_copy.h"

/// Barriers in shared memory (mbarrier) on which threads arrive and copies count their bytes. A
/// phase ends when all arrivals and all expected bytes have come; the phases' parities are 0, 1, 0,
/// 1, ...
namespace veloz::cuda {

struct alignas(8) SharedBarrier {
  uint64_t state;
};

}  // namespace veloz::cuda

#if defined(VELOZ_CUDA_SIM)
#include "cuda/sim/barrier.h"
#else
namespace veloz::cuda {

/// By one thread, before anyone uses it: a phase ends with `arrivals` arrivals.
__device__ inline void init_barrier(SharedBarrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}
/// By the thread that initialized: makes it known to the copy engine. A __syncthreads follows.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ inline void arrive(SharedBarrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}
/// Arrives, and makes the phase wait for `bytes` more of copies.
__device__ inline void arrive_expecting(SharedBarrier* barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}
/// Waits for the end of the phase of this parity; sees what was written before.
__device__ inline void wait_for_phase(SharedBarrier* barrier, uint32_t parity) {
  const uint32_t address = shared_address(barrier);
  uint32_t is_over = 0;
  do {
    asm volatile(
        "{\n"
        ".reg .pred over;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
        "selp.u32 %0, 1, 0, over;\n"
        "}\n"
        : "=r"(is_over)
        : "r"(address), "r"(parity)
        : "memory");
  } while (is_over == 0);
}

}  // namespace veloz::cuda
#endif
