// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/alignment.h"
#include "cuda/gpu.h"
#include "cuda/numeric.h"
#include "cuda/ptx/matrix.h"
#include "cuda/ptx/opaque.h"

/// Eight neighbouring numbers of a row, the unit in which row kernels read and write: 16 bytes of
/// bf16, 32 of fp32.
namespace veloz::cuda {

inline constexpr int kChunk = 8;

/// The numbers as they lie in memory, two to a word in bf16.
template <typename T>
struct Chunk {
  uint32_t words[kChunk * sizeof(T) / 4];
};

/// Whether every chunk of a matrix is aligned to 16 bytes.
template <typename T>
bool is_aligned(const T* data, int64_t row_stride) {
  return is_aligned_16(data, row_stride * static_cast<int64_t>(sizeof(T)));
}

/// A thread's chunk where `parts` blocks cover a row (choose_chunk_blocks); `count` numbers of the
/// row are left from `column` on, and none where it is not above 0.
struct ChunkPlace {
  int64_t row;
  int64_t column;
  int64_t count;
};
__device__ inline ChunkPlace chunk_place(unsigned parts, int64_t columns) {
  const int64_t column =
      (static_cast<int64_t>(blockIdx.x % parts) * blockDim.x + threadIdx.x) * kChunk;
  return {static_cast<int64_t>(blockIdx.x / parts), column, columns - column};
}

template <typename T>
__device__ inline Chunk<T> zero_chunk() {
  Chunk<T> chunk;
#pragma unroll
  for (int w = 0; w < kChunk * static_cast<int>(sizeof(T)) / 4; ++w) chunk.words[w] = 0;
  return chunk;
}

/// A whole chunk, aligned to 16 bytes.
template <typename T>
__device__ inline Chunk<T> load_aligned(const T* from) {
  Chunk<T> chunk;
#pragma unroll
  for (int q = 0; q < kChunk * static_cast<int>(sizeof(T)) / 16; ++q) {
    const uint4 four = reinterpret_cast<const uint4*>(from)[q];
    chunk.words[4 * q] = four.x;
    chunk.words[4 * q + 1] = four.y;
    chunk.words[4 * q + 2] = four.z;
    chunk.words[4 * q + 3] = four.w;
  }
  return chunk;
}

/// The aligned chunk at `column` of a row, zeros beyond its end.
template <typename T>
__device__ inline Chunk<T> load_within(const T* row, int column, int columns) {
  Chunk<T> chunk = zero_chunk<T>();
  if (column < columns) chunk = load_aligned(row + column);
  return chunk;
}

template <typename T>
__device__ inline void store_aligned(T* to, const Chunk<T>& chunk) {
#pragma unroll
  for (int q = 0; q < kChunk * static_cast<int>(sizeof(T)) / 16; ++q)
    reinterpret_cast<uint4*>(to)[q] = make_uint4(chunk.words[4 * q], chunk.words[4 * q + 1],
                                                 chunk.words[4 * q + 2], chunk.words[4 * q + 3]);
}

/// The first `count` numbers, the others zero. `count` may be beyond 0 and kChunk.
template <typename T>
__device__ inline Chunk<T> load_some(const T* from, int64_t count) {
  Chunk<T> chunk = zero_chunk<T>();
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    if (i >= count) continue;
    if constexpr (sizeof(T) == 4)
      chunk.words[i] = bit_cast<uint32_t>(from[i]);
    else
      chunk.words[i / 2] |= static_cast<uint32_t>(from[i].bits) << (16 * (i % 2));
  }
  return chunk;
}

template <typename T>
__device__ inline void store_some(T* to, const Chunk<T>& chunk, int64_t count) {
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    if (i >= count) continue;
    if constexpr (sizeof(T) == 4)
      to[i] = bit_cast<T>(chunk.words[i]);
    else
      to[i] = T{static_cast<uint16_t>(chunk.words[i / 2] >> (16 * (i % 2)))};
  }
}

template <typename T>
__device__ inline Chunk<T> load_chunk(const T* from, int64_t count, bool is_vector) {
  return is_vector && count >= kChunk ? load_aligned(from) : load_some(from, count);
}

template <typename T>
__device__ inline void store_chunk(T* to, const Chunk<T>& chunk, int64_t count, bool is_vector) {
  if (is_vector && count >= kChunk)
    store_aligned(to, chunk);
  else
    store_some(to, chunk, count);
}

template <typename T>
__device__ inline void unpack(const Chunk<T>& chunk, float (&values)[kChunk]) {
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    if constexpr (sizeof(T) == 4) {
      values[i] = bit_cast<float>(chunk.words[i]);
    } else {
      const uint32_t word = chunk.words[i / 2];
      values[i] = bit_cast<float>(i % 2 == 0 ? word << 16 : word & 0xffff0000u);
    }
  }
}

/// Rounds to T.
template <typename T>
__device__ inline Chunk<T> pack(const float (&values)[kChunk]) {
  Chunk<T> chunk;
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (int i = 0; i < kChunk; ++i) chunk.words[i] = bit_cast<uint32_t>(values[i]);
  } else {
#pragma unroll
    for (int w = 0; w < kChunk / 2; ++w)
      chunk.words[w] = to_bf16x2(values[2 * w], values[2 * w + 1]);
  }
  return chunk;
}

/// Between two uses of packed numbers, so that they stay packed: they take half the registers.
template <typename T, int kChunks>
__device__ inline void keep_packed(Chunk<T> (&chunks)[kChunks]) {
  if constexpr (sizeof(T) < 4) {
#pragma unroll
    for (int j = 0; j < kChunks; ++j)
#pragma unroll
      for (int w = 0; w < kChunk * static_cast<int>(sizeof(T)) / 4; ++w)
        make_opaque(chunks[j].words[w]);
  }
}

/// `value` as T has it.
template <typename T>
__device__ inline float rounded_to(float value) {
  if constexpr (sizeof(T) == 4)
    return value;
  else
    return bit_cast<float>(to_bf16x2(value, 0.0f) << 16);
}

}  // namespace veloz::cuda
