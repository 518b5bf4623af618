// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "cuda/gpu.h"
#include "cuda/numeric.h"

/// Rows of K elements read in chunks of a few elements, chunk c by lane c % 32 of a warp: what the
/// simple linears are made of. Which lane sums which element depends on K alone.
namespace veloz::cuda {

constexpr int kLanes = 32;

/// A few elements as they lie in memory; those past the end of the row are zero.
template <int kBytes>
struct RowChunk {
  uint32_t words[kBytes / 4];
};

/// `kElementBytes` is what `from` is aligned to at least, `is_aligned` whether it is to 16 bytes.
template <int kBytes, int kElementBytes>
__device__ inline RowChunk<kBytes> load_row_chunk(const void* from, int valid_bytes,
                                                  bool is_aligned) {
  static_assert(kBytes % 16 == 0, "chunks are loaded 16 bytes at a time");
  RowChunk<kBytes> chunk;
  if (is_aligned && valid_bytes >= kBytes) {
#pragma unroll
    for (int i = 0; i < kBytes / 16; ++i) {
      const uint4 four = static_cast<const uint4*>(from)[i];
      chunk.words[4 * i] = four.x;
      chunk.words[4 * i + 1] = four.y;
      chunk.words[4 * i + 2] = four.z;
      chunk.words[4 * i + 3] = four.w;
    }
    return chunk;
  }
#pragma unroll
  for (int i = 0; i < kBytes / 4; ++i) {
    uint32_t word = 0;
#pragma unroll
    for (int j = 0; j < 4; j += kElementBytes) {
      const int at = 4 * i + j;
      if (at >= valid_bytes) continue;
      uint32_t element;
      if constexpr (kElementBytes == 4)
        element = static_cast<const uint32_t*>(from)[at / 4];
      else if constexpr (kElementBytes == 2)
        element = static_cast<const uint16_t*>(from)[at / 2];
      else
        element = static_cast<const uint8_t*>(from)[at];
      word |= element << (8 * j);
    }
    chunk.words[i] = word;
  }
  return chunk;
}

/// E4M3 without a branch: its bits, moved to where an fp32 has them, are the number times 2^-120.
__device__ inline float e4m3_to_float(uint32_t code) {
  const uint32_t magnitude = code & 0x7fu;
  const float value = bit_cast<float>((magnitude << 20) | ((code & 0x80u) << 24)) * 0x1p120f;
  return magnitude == 0x7fu ? bit_cast<float>(0x7fc00000u) : value;
}

__device__ inline float fp16_bits_to_float(uint32_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t magnitude = (half & 0x7fffu) << 13;
  if (magnitude >= 0x0f800000u) return bit_cast<float>(sign | 0x70000000u | magnitude);
  return bit_cast<float>(sign | magnitude) * 0x1p112f;
}

/// Element `i` of a chunk, which the compiler knows, as fp32.
template <typename T, int kBytes>
__device__ inline float chunk_element(const RowChunk<kBytes>& chunk, int i) {
  if constexpr (sizeof(T) == 4)
    return bit_cast<float>(chunk.words[i]);
  else if constexpr (sizeof(T) == 2)
    return bit_cast<float>(i % 2 == 0 ? chunk.words[i / 2] << 16
                                      : chunk.words[i / 2] & 0xffff0000u);
  else
    return e4m3_to_float((chunk.words[i / 4] >> (8 * (i % 4))) & 0xffu);
}

/// A scale of a weight: fp32, bf16 or fp16.
__device__ inline float load_scale(const void* scales, DType dtype, int64_t index) {
  if (dtype == DType::fp32) return static_cast<const float*>(scales)[index];
  const uint32_t bits = static_cast<const uint16_t*>(scales)[index];
  return dtype == DType::bf16 ? bit_cast<float>(bits << 16) : fp16_bits_to_float(bits);
}

/// The sum over the warp, the same in every lane.
__device__ inline float sum_lanes(float value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}
__device__ inline int sum_lanes(int value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  return value;
}

}  // namespace veloz::cuda
