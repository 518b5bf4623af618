// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"

/// One number from all threads of a block, which all get it. All threads call; blocks are whole
/// warps. Each call of a kernel has a `kCall` of its own, so that one barrier is enough.
namespace veloz::cuda {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

/// A butterfly over the lanes, then one over the warps.
__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}

template <int kCall>
__device__ inline float block_sum(float value) {
  __shared__ float of_warps[kWarpSize];
  const unsigned lane = threadIdx.x % kWarpSize;
  value = warp_sum(value);
  if (blockDim.x <= kWarpSize) return value;
  if (lane == 0) of_warps[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  return warp_sum(lane < blockDim.x / kWarpSize ? of_warps[lane] : 0.0f);
}

template <int kCall>
__device__ inline uint32_t block_max(uint32_t value) {
  __shared__ uint32_t of_warps[kWarpSize];
  const unsigned lane = threadIdx.x % kWarpSize;
  value = __reduce_max_sync(kAllLanes, value);
  if (blockDim.x <= kWarpSize) return value;
  if (lane == 0) of_warps[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  return __reduce_max_sync(kAllLanes, lane < blockDim.x / kWarpSize ? of_warps[lane] : 0u);
}

}  // namespace veloz::cuda
