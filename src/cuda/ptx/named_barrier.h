// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/gpu.h"

/// Barriers for part of a block (bar.sync): 0 is the one of __syncthreads, kernels use 1 to 15.
namespace veloz::cuda {

#if !defined(VELOZ_CUDA_SIM)
/// `threads` threads of the block, whole warps, meet at barrier `id`.
__device__ inline void named_barrier(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
#endif

}  // namespace veloz::cuda
