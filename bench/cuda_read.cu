// SPDX-License-Identifier: Apache-2.0
#include "bench/cuda_read.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::bench {
namespace {

constexpr int kThreads = 512;
constexpr int kLoads = 8;  // in flight, per thread

__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint4* data, int64_t count, uint32_t* sink) {
  cuda::wait_for_previous_kernel();
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kThreads * kLoads + threadIdx.x;
  uint32_t seen = 0;
  if (begin + (kLoads - 1) * kThreads < count) {
    uint4 words[kLoads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) words[i] = data[begin + i * kThreads];
#pragma unroll
    for (int i = 0; i < kLoads; ++i) seen ^= words[i].x ^ words[i].y ^ words[i].z ^ words[i].w;
  }
  if (seen == 0x12345678u) *sink = seen;  // so that the reads are needed
}

}  // namespace

void read_all(cuda::CudaStream& stream, std::span<const std::byte> memory, uint32_t* sink) {
  const auto count = static_cast<int64_t>(memory.size() / sizeof(uint4));
  const auto blocks = static_cast<unsigned>(count / (kThreads * kLoads));
  cuda::launch(stream, "read_all", read_kernel, {.grid = dim3(blocks), .block = dim3(kThreads)},
               reinterpret_cast<const uint4*>(memory.data()), count, sink);
}

}  // namespace veloz::bench
