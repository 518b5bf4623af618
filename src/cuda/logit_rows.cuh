// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/gpu.h"
#include "cuda/ordered.cuh"

/// Walks and reductions of one long row by one block. Which thread meets which element, and in
/// which order sums are taken, depends on the row's length alone: never on where the row lies.
namespace veloz::cuda {

constexpr int kRowThreads = 512;
constexpr int kRowWarps = kRowThreads / 32;
constexpr unsigned kAllLanes = 0xffffffffu;

/// Calls f(first, x, count) for each four elements [first, first + count) of a row, count < 4 only
/// at its end; thread t of the block takes every kRowThreads'th four, in ascending order.
template <int kUnroll = 1, typename F>
__device__ inline void for_each_four(const float* row, int num_columns, const F& f) {
  const bool is_aligned = (reinterpret_cast<uintptr_t>(row) & 15u) == 0;
  const int num_vectors = is_aligned ? num_columns / 4 : 0;
  int at = static_cast<int>(threadIdx.x);
#pragma unroll kUnroll
  for (; at < num_vectors; at += kRowThreads) {
    const float4 v = reinterpret_cast<const float4*>(row)[at];
    const float x[4] = {v.x, v.y, v.z, v.w};
    f(at * 4, x, 4);
  }
  for (; at < (num_columns + 3) / 4; at += kRowThreads) {
    const int first = at * 4;
    const int count = num_columns - first < 4 ? num_columns - first : 4;
    float x[4] = {};
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (j < count) x[j] = row[first + j];
    f(first, x, count);
  }
}

/// Elements of one row as ranks.
struct RowScores {
  const float* row;
  int num_columns;

  template <int kUnroll = 1, typename F>
  __device__ void for_each(const F& f) const {
    for_each_four<kUnroll>(row, num_columns, [&](int first, const float(&x)[4], int count) {
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (j < count) f(rank_of(x[j], static_cast<uint32_t>(first + j)));
    });
  }
};

__device__ inline uint64_t warp_max(uint64_t value) {
  const auto high = static_cast<uint32_t>(value >> 32);
  const uint32_t best_high = __reduce_max_sync(kAllLanes, high);
  const uint32_t low = high == best_high ? static_cast<uint32_t>(value) : 0;
  return static_cast<uint64_t>(best_high) << 32 | __reduce_max_sync(kAllLanes, low);
}

__device__ inline double warp_sum(double value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

/// Of all threads of the block, to all of them. `memory` is free again afterwards.
__device__ inline uint64_t block_max(uint64_t value, uint64_t (&memory)[kRowWarps]) {
  const uint64_t of_warp = warp_max(value);
  if (threadIdx.x % 32 == 0) memory[threadIdx.x / 32] = of_warp;
  __syncthreads();
  const uint64_t best = warp_max(memory[threadIdx.x % kRowWarps]);
  __syncthreads();
  return best;
}

__device__ inline double block_sum(double value, double (&memory)[kRowWarps]) {
  const double of_warp = warp_sum(value);
  if (threadIdx.x % 32 == 0) memory[threadIdx.x / 32] = of_warp;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < kRowWarps; ++i) sum += memory[i];
  __syncthreads();
  return sum;
}

}  // namespace veloz::cuda
