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

/// How the channels of a head are dealt to threads, in items of their own: eight pairs that rotate,
/// of which come the first, or eight channels that are copied.
struct HeadItems {
  int64_t head_dim;
  int64_t half;  // of the channels that rotate
  unsigned num_rotated;
  unsigned count;
  ops::RopeStyle style;

  static HeadItems of(int64_t head_dim, int64_t rotary_dim, ops::RopeStyle style) {
    const auto num_chunks = [](int64_t extent) {
      return static_cast<unsigned>((extent + kChunk - 1) / kChunk);
    };
    const unsigned num_rotated = num_chunks(rotary_dim / 2);
    return {.head_dim = head_dim,
            .half = rotary_dim / 2,
            .num_rotated = num_rotated,
            .count = num_rotated + num_chunks(head_dim - rotary_dim),
            .style = style};
  }
  /// Whether chunks lie at multiples of eight channels of the head.
  bool are_whole_chunks() const { return half % kChunk == 0 && head_dim % kChunk == 0; }
};

template <typename T>
struct HeadItem {
  PairChunks at;  // a second chunk of no numbers where channels are copied
  Chunk<T> first;
  Chunk<T> second;
};

/// An item of the head at `x`, as it is after `rope` with the angles of its row.
template <typename T>
__device__ inline HeadItem<T> rotated_item(const HeadItems& items, unsigned item, const T* x,
                                           const float* angles, bool is_vector) {
  if (item >= items.num_rotated) {
    const int64_t at = 2 * items.half + static_cast<int64_t>(item - items.num_rotated) * kChunk;
    const int64_t count = items.head_dim - at;
    return {{at, at, count, 0}, load_chunk(x + at, count, is_vector), zero_chunk<T>()};
  }
  const int64_t pair = static_cast<int64_t>(item) * kChunk;
  const float* const cosines = angles + pair;
  HeadItem<T> rotated;
  rotated.at = pair_chunks(items.style, pair, items.half);
  rotated.first = load_chunk(x + rotated.at.first, rotated.at.first_count, is_vector);
  rotated.second = load_chunk(x + rotated.at.second, rotated.at.second_count, is_vector);
  rotate_chunks(items.style, rotated.first, rotated.second,
                load_chunk(cosines, items.half - pair, is_vector),
                load_chunk(cosines + items.half, items.half - pair, is_vector));
  return rotated;
}

template <typename T>
__device__ inline void store_item(T* y, const HeadItem<T>& item, bool is_vector) {
  store_chunk(y + item.at.first, item.first, item.at.first_count, is_vector);
  if (item.at.second_count > 0)
    store_chunk(y + item.at.second, item.second, item.at.second_count, is_vector);
}

}  // namespace veloz::cuda
