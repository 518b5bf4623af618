// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda/chunk.h"
#include "ops/rope.h"

/// The arithmetic of `rope` (ops/rope.h).
namespace veloz::cuda {

/// Two channels that rotate together.
__host__ __device__ inline void rotate(float& first, float& second, float cosine, float sine) {
  const float x1 = first, x2 = second;
  first = fmaf(x1, cosine, -(x2 * sine));
  second = fmaf(x2, cosine, x1 * sine);
}

/// Where the chunks of a head's eight pairs begin, and how many numbers of each there are.
struct PairChunks {
  int64_t first;
  int64_t second;
  int64_t first_count;
  int64_t second_count;
};

/// Of pairs [pair, pair + 8) of a head whose first `2 * half` channels rotate.
__host__ __device__ inline PairChunks pair_chunks(ops::RopeStyle style, int64_t pair,
                                                  int64_t half) {
  const int64_t count = half - pair;
  if (style == ops::RopeStyle::neox) return {pair, half + pair, count, count};
  return {2 * pair, 2 * pair + kChunk, 2 * count, 2 * count - kChunk};
}

/// Rotates the eight pairs of two chunks.
template <typename T>
__device__ inline void rotate_chunks(ops::RopeStyle style, Chunk<T>& first, Chunk<T>& second,
                                     const Chunk<float>& cosine_chunk,
                                     const Chunk<float>& sine_chunk) {
  float a[kChunk], b[kChunk], cosines[kChunk], sines[kChunk];
  unpack(first, a);
  unpack(second, b);
  unpack(cosine_chunk, cosines);
  unpack(sine_chunk, sines);
  if (style == ops::RopeStyle::neox) {
#pragma unroll
    for (int i = 0; i < kChunk; ++i) rotate(a[i], b[i], cosines[i], sines[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kChunk / 2; ++i) {
      rotate(a[2 * i], a[2 * i + 1], cosines[i], sines[i]);
      rotate(b[2 * i], b[2 * i + 1], cosines[kChunk / 2 + i], sines[kChunk / 2 + i]);
    }
  }
  first = pack<T>(a);
  second = pack<T>(b);
}

}  // namespace veloz::cuda
