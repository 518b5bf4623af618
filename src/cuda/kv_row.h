// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/block_reduce.h"
#include "cuda/chunk.h"
#include "cuda/quantize_value.h"
#include "ops/attention.h"

/// One head of one token's k or v on its way into a cache whose rows lie plain: [num_blocks, 2 (k,
/// v), num_kv_heads, block_size, row extent].
namespace veloz::cuda {

struct KvCache {
  void* data;
  int64_t num_kv_heads;
  int64_t block_size;
  int64_t row_extent;  // elements of a row; of int8, its last four hold the scale
  int64_t head_dim;
  int64_t alignment;  // bytes to which the memory of every row is aligned, up to 16
  float k_scale;
  float v_scale;

  static KvCache of(const ops::KvAppendArgs& args);
};

/// Marks the cache's dtype where the codes of int8 and of fp8 are both bytes.
struct Int8 {
  int8_t code;
};

/// First element of the row of k (`half` 0) or v (1) in `slot`.
template <typename C>
__device__ inline C* kv_row(const KvCache& cache, int64_t slot, int64_t half, int64_t head) {
  const int64_t block = slot / cache.block_size;
  const int64_t position = slot - block * cache.block_size;
  const int64_t row =
      ((block * 2 + half) * cache.num_kv_heads + head) * cache.block_size + position;
  return static_cast<C*>(cache.data) + row * cache.row_extent;
}

/// The first `count` of eight codes.
__device__ inline void store_codes(uint8_t* to, uint32_t low, uint32_t high, int64_t count,
                                   int64_t alignment) {
  if (count >= kChunk && alignment % 8 == 0) {
    *reinterpret_cast<uint2*>(to) = make_uint2(low, high);
  } else if (count >= kChunk && alignment % 4 == 0) {
    reinterpret_cast<uint32_t*>(to)[0] = low;
    reinterpret_cast<uint32_t*>(to)[1] = high;
  } else {
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
      if (i < count) to[i] = static_cast<uint8_t>((i < 4 ? low : high) >> (8 * (i % 4)));
  }
}

/// Channels [at, at + 8) of a row, `count` of them there. `inverse` is what codes are made with.
template <typename C, typename T>
__device__ inline void store_kv(C* row, const KvCache& cache, const Chunk<T>& chunk, int64_t at,
                                int64_t count, float inverse) {
  const bool is_vector = cache.alignment % 16 == 0;
  float values[kChunk];
  unpack(chunk, values);
  if constexpr (std::is_same_v<C, T>) {
    store_chunk(row + at, chunk, count, is_vector);
  } else if constexpr (std::is_same_v<C, Int8> || std::is_same_v<C, E4M3>) {
    constexpr bool kIsInt8 = std::is_same_v<C, Int8>;
    uint32_t low = 0, high = 0;
    if (inverse != 0) {
      low = quantize_four(values, inverse, kIsInt8);
      high = quantize_four(values + 4, inverse, kIsInt8);
    }
    store_codes(reinterpret_cast<uint8_t*>(row + at), low, high, count, cache.alignment);
  } else {
    store_chunk(row + at, pack<C>(values), count, is_vector);
  }
}

/// Of a group that `lanes` neighbours in a warp share, a power of two, each with the largest
/// magnitude of its part. All lanes of the warp must call.
__device__ inline GroupScale int8_scale_of_lanes(uint32_t amax, unsigned lanes) {
  for (int offset = 1; offset < static_cast<int>(lanes); offset *= 2)
    amax = max(amax, __shfl_xor_sync(kAllLanes, amax, offset));
  return group_scale(amax, kInt8Limit);
}

/// Lanes that share the `num_items` of one head.
inline unsigned lanes_of_head(int64_t num_items) {
  unsigned lanes = 1;
  while (lanes < kWarpSize && lanes < num_items) lanes *= 2;
  return lanes;
}

/// Calls run(T(), C()) with the types of activations and cache.
template <typename Run>
void with_kv_types(DType x, DType cache, const Run& run) {
  const auto with_cache_type = [&](auto t) {
    if (cache == DType::fp32) return run(t, float());
    if (cache == DType::bf16) return run(t, Bf16());
    if (cache == DType::int8) return run(t, Int8());
    return run(t, E4M3());
  };
  return x == DType::bf16 ? with_cache_type(Bf16()) : with_cache_type(float());
}

/// The scale of an int8 row, behind its codes.
__device__ inline void store_row_scale(Int8* row, const KvCache& cache, float scale) {
  auto* const to = reinterpret_cast<uint8_t*>(row + cache.head_dim);
  const auto bits = bit_cast<uint32_t>(scale);
  if (cache.alignment % 4 == 0) {
    *reinterpret_cast<uint32_t*>(to) = bits;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = static_cast<uint8_t>(bits >> (8 * i));
}

}  // namespace veloz::cuda
