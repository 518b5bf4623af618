// SPDX-License-Identifier: Apache-2.0
#include "cuda/find_difference.h"

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;

__global__ void __launch_bounds__(kThreads)
    find_difference_kernel(const uint32_t* a, const uint32_t* b, int64_t num_words,
                           uint32_t* is_found) {
  wait_for_previous_kernel();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  uint32_t difference = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < num_words;
       i += step)
    difference |= a[i] ^ b[i];
  if (difference != 0) atomicOr(is_found, 1u);
}

}  // namespace

void find_difference(CudaStream& stream, const uint32_t* a, const uint32_t* b, int64_t num_words,
                     uint32_t* is_found) noexcept {
  if (num_words == 0) return;
  const int64_t blocks = std::min(kMaxBlocks, (num_words + kThreads - 1) / kThreads);
  launch(stream, "find_difference", find_difference_kernel,
         {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kThreads)}, a, b, num_words,
         is_found);
}

}  // namespace veloz::cuda
