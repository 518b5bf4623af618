// SPDX-License-Identifier: Apache-2.0
#include "cuda/dummy_values.h"

#include "cuda/launch.h"
#include "cuda/numeric.h"
#include "cuda/ptx/dependent_launch.h"

namespace veloz::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPerThread = 4;  // what 64 random bits are enough for

template <typename T>
struct alignas(kPerThread * sizeof(T)) Four {
  T values[kPerThread];
};

struct Code {  // int8
  int8_t bits;
};
struct Byte {  // uint8, or two codes of 4 bits
  uint8_t bits;
};

template <typename T>
__device__ T make_uniform(uint32_t bits, float scale) {
  return from_float<T>(scale * dummy_uniform(bits));
}
template <>
__device__ E4M3 make_uniform<E4M3>(uint32_t bits, float scale) {
  return to_e4m3(scale * dummy_uniform(bits));
}
template <>
__device__ Code make_uniform<Code>(uint32_t bits, float) {
  return {static_cast<int8_t>(dummy_code(bits))};
}
template <>
__device__ Byte make_uniform<Byte>(uint32_t bits, float) {
  return {static_cast<uint8_t>(bits)};
}

/// Elements `first` to `first + 3` as far as there are any.
template <typename T>
__device__ void store(T* to, int64_t count, int64_t first, const Four<T>& four) {
  if (first + kPerThread <= count) {
    *reinterpret_cast<Four<T>*>(to + first) = four;
    return;
  }
  for (int i = 0; i < kPerThread && first + i < count; ++i) to[first + i] = four.values[i];
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    uniform_kernel(T* to, int64_t count, float scale, uint64_t key) {
  wait_for_previous_kernel();
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (group * kPerThread >= count) return;
  const uint64_t bits = dummy_bits(key, static_cast<uint64_t>(group));
  Four<T> four;
#pragma unroll
  for (int i = 0; i < kPerThread; ++i)
    four.values[i] = make_uniform<T>(static_cast<uint32_t>(bits >> (16 * i)) & 0xffffu, scale);
  store(to, count, group * kPerThread, four);
}

/// Element i is base + i * step.
template <typename T>
__global__ void __launch_bounds__(kThreads) ramp_kernel(T* to, int64_t count, T base, T step) {
  wait_for_previous_kernel();
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kPerThread;
  if (first >= count) return;
  Four<T> four;
#pragma unroll
  for (int i = 0; i < kPerThread; ++i)
    four.values[i] = static_cast<T>(base + static_cast<T>(first + i) * step);
  store(to, count, first, four);
}

LaunchShape shape_of(int64_t count) {
  constexpr int64_t kPerBlock = int64_t{kThreads} * kPerThread;
  return {.grid = dim3(static_cast<unsigned>((count + kPerBlock - 1) / kPerBlock)),
          .block = dim3(kThreads)};
}

template <typename T>
bool write_uniform(CudaStream& stream, void* to, const DummyValues& values, int64_t count) {
  launch(stream, "dummy weights", uniform_kernel<T>, shape_of(count), static_cast<T*>(to), count,
         values.scale, values.key);
  return true;
}

/// Words of the element's size: T is what it takes, not what it means.
template <typename T>
bool write_ramp(CudaStream& stream, void* to, const DummyValues& values, int64_t count) {
  T base{};
  write_dummy_values(values, 0, 1, reinterpret_cast<std::byte*>(&base));
  const T step = values.kind == DummyValues::Kind::index ? 1 : 0;
  launch(stream, "dummy weights", ramp_kernel<T>, shape_of(count), static_cast<T*>(to), count, base,
         step);
  return true;
}

}  // namespace

bool write_dummy(CudaStream& stream, void* to, const DummyValues& values, int64_t count) noexcept {
  if (count == 0) return true;
  if (values.kind != DummyValues::Kind::uniform) {
    if (dtype_bytes(values.dtype) == 4) return write_ramp<uint32_t>(stream, to, values, count);
    if (dtype_bytes(values.dtype) == 2) return write_ramp<uint16_t>(stream, to, values, count);
    return write_ramp<uint8_t>(stream, to, values, count);
  }
  switch (values.dtype) {
    case DType::fp32:
      return write_uniform<float>(stream, to, values, count);
    case DType::bf16:
      return write_uniform<Bf16>(stream, to, values, count);
    case DType::fp8_e4m3:
      return write_uniform<E4M3>(stream, to, values, count);
    case DType::int8:
      return write_uniform<Code>(stream, to, values, count);
    case DType::uint8:
    case DType::uint4x2:
      return write_uniform<Byte>(stream, to, values, count);
    case DType::fp16:
    case DType::int32:
    case DType::int64:
      break;
  }
  return false;
}

}  // namespace veloz::cuda
