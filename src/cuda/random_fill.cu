// SPDX-License-Identifier: Apache-2.0
#include "cuda/random_fill.h"

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/numeric.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;

/// 64 random bits of a counter (the finalizer of SplitMix64, Steele et al., OOPSLA 2014).
__host__ __device__ inline uint64_t random_bits(uint64_t seed, uint64_t counter) {
  uint64_t z = seed * 0x9e3779b97f4a7c15u + counter * 0xd1342543de82ef95u + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// The sum of four even numbers, scaled to deviation 1.
__host__ __device__ inline float random_normal(uint64_t seed, uint64_t counter) {
  const uint64_t bits = random_bits(seed, counter);
  const auto sum = static_cast<float>((bits & 0xffffu) + ((bits >> 16) & 0xffffu) +
                                      ((bits >> 32) & 0xffffu) + (bits >> 48));
  constexpr float kSqrt3 = 1.7320508f;
  return (sum * 0x1p-16f - 2.0f) * kSqrt3;
}

__device__ inline void store(float* to, float x) { *to = x; }
__device__ inline void store(Bf16* to, float x) { *to = to_bf16(x); }
__device__ inline void store(E4M3* to, float x) { *to = to_e4m3(x); }

template <typename T>
__global__ void __launch_bounds__(kThreads)
    fill_normal_kernel(T* data, int64_t num_elements, uint64_t seed, float deviation) {
  wait_for_previous_kernel();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < num_elements;
       i += step)
    store(data + i, random_normal(seed, static_cast<uint64_t>(i)) * deviation);
}

__global__ void __launch_bounds__(kThreads)
    fill_uniform_kernel(float* data, int64_t num_elements, uint64_t seed, float low, float high) {
  wait_for_previous_kernel();
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < num_elements;
       i += step) {
    const auto bits = static_cast<float>(random_bits(seed, static_cast<uint64_t>(i)) >> 40);
    data[i] = low + bits * 0x1p-24f * (high - low);
  }
}

LaunchShape shape_of(int64_t num_elements) {
  const int64_t blocks = std::min(kMaxBlocks, (num_elements + kThreads - 1) / kThreads);
  return {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kThreads)};
}

template <typename T>
void run(CudaStream& stream, void* data, int64_t num_elements, uint64_t seed, float deviation) {
  launch(stream, "fill_normal", fill_normal_kernel<T>, shape_of(num_elements),
         static_cast<T*>(data), num_elements, seed, deviation);
}

}  // namespace

void fill_normal(CudaStream& stream, void* data, DType dtype, int64_t num_elements, uint64_t seed,
                 float deviation) noexcept {
  if (num_elements == 0) return;
  if (dtype == DType::bf16)
    run<Bf16>(stream, data, num_elements, seed, deviation);
  else if (dtype == DType::fp8_e4m3)
    run<E4M3>(stream, data, num_elements, seed, deviation);
  else
    run<float>(stream, data, num_elements, seed, deviation);
}

void fill_uniform(CudaStream& stream, float* data, int64_t num_elements, uint64_t seed, float low,
                  float high) noexcept {
  if (num_elements == 0) return;
  launch(stream, "fill_uniform", fill_uniform_kernel, shape_of(num_elements), data, num_elements,
         seed, low, high);
}

}  // namespace veloz::cuda
