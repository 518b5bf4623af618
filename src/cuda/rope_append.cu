// SPDX-License-Identifier: Apache-2.0
#include <numeric>
#include <type_traits>

#include "cuda/chunk.h"
#include "cuda/kv_row.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/rope_value.h"
#include "cuda/row_block.h"
#include "cuda/rows.h"

namespace veloz::cuda {
namespace {

template <typename T>
struct RopeAppendRows {
  const T* qkv;
  T* q;
  const float* angles;
  const int64_t* slots;
  int64_t qkv_stride;
  int64_t q_stride;
  int64_t angles_stride;
  HeadItems rotated;   // heads of q and k
  HeadItems copied;    // heads of v
  unsigned num_heads;  // of q
  unsigned lanes;      // that share one head, a power of two
  unsigned parts;      // blocks of a row
  bool is_vector;
  KvCache cache;
};

/// Heads of q, k and v are dealt to groups of lanes inside a warp.
template <typename T, typename C>
__global__ void __launch_bounds__(kMaxChunkThreads) rope_append_kernel(RopeAppendRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const KvCache& cache = rows.cache;
  const auto num_kv_heads = static_cast<unsigned>(cache.num_kv_heads);
  const auto row = static_cast<int64_t>(blockIdx.x / rows.parts);
  const unsigned index = blockIdx.x % rows.parts * blockDim.x + threadIdx.x;
  const unsigned head = index / rows.lanes;
  const bool is_q = head < rows.num_heads;
  const bool is_k = !is_q && head < rows.num_heads + num_kv_heads;
  const bool is_mine = head < rows.num_heads + 2 * num_kv_heads;  // others come along to shuffle

  const HeadItems items = is_q || is_k ? rows.rotated : rows.copied;
  const unsigned count = is_mine ? items.count : 0;
  const unsigned first = index % rows.lanes;
  const T* const x = rows.qkv + row * rows.qkv_stride + head * items.head_dim;
  const float* const angles = rows.angles + row * rows.angles_stride;
  const auto item_at = [&](unsigned item) {
    return rotated_item(items, item, x, angles, rows.is_vector);
  };

  float inverse = 1.0f / (is_k ? cache.k_scale : cache.v_scale);
  C* to = nullptr;
  if (is_mine && !is_q) {
    const unsigned kv_head = head - rows.num_heads;
    to = kv_row<C>(cache, rows.slots[row], is_k ? 0 : 1, is_k ? kv_head : kv_head - num_kv_heads);
  }
  if constexpr (std::is_same_v<C, Int8>) {
    uint32_t amax = 0;
    for (unsigned item = first; !is_q && item < count; item += rows.lanes) {
      const HeadItem<T> numbers = item_at(item);
      amax = max(amax, max(largest_magnitude(numbers.first), largest_magnitude(numbers.second)));
    }
    const GroupScale scale = int8_scale_of_lanes(amax, rows.lanes);
    inverse = scale.inverse;
    if (to != nullptr && first == 0) store_row_scale(to, cache, scale.scale);
  }
  for (unsigned item = first; item < count; item += rows.lanes) {
    const HeadItem<T> numbers = item_at(item);
    if (is_q) {
      store_item(rows.q + row * rows.q_stride + head * items.head_dim, numbers, rows.is_vector);
      continue;
    }
    const PairChunks& at = numbers.at;
    store_kv(to, cache, numbers.first, at.first, at.first_count, inverse);
    if (at.second_count > 0)
      store_kv(to, cache, numbers.second, at.second, at.second_count, inverse);
  }
}

template <typename T, typename C>
void run(CudaStream& stream, const ops::RopeAppendArgs& a) {
  const int64_t head_dim = a.q.head_dim;
  const int64_t num_rows = a.q.y.shape[0];
  const HeadItems rotated = HeadItems::of(head_dim, a.q.angles.shape[1], a.q.style);
  const unsigned lanes = lanes_of_head(rotated.count);
  const ChunkBlocks blocks =
      spread_chunk_blocks((a.q.num_heads + 2 * a.k.num_heads) * lanes, num_rows);
  RopeAppendRows<T> rows{.qkv = a.q.x.as<const T>(),
                         .q = a.q.y.as<T>(),
                         .angles = a.q.angles.as<const float>(),
                         .slots = a.append.slots.as<const int64_t>(),
                         .qkv_stride = a.q.x.row_stride,
                         .q_stride = a.q.y.row_stride,
                         .angles_stride = a.q.angles.row_stride,
                         .rotated = rotated,
                         .copied = HeadItems::of(head_dim, 0, a.q.style),
                         .num_heads = static_cast<unsigned>(a.q.num_heads),
                         .lanes = lanes,
                         .parts = blocks.parts,
                         .is_vector = false,
                         .cache = KvCache::of(a.append)};
  rows.is_vector = rotated.are_whole_chunks() && is_aligned(rows.qkv, rows.qkv_stride) &&
                   is_aligned(rows.q, rows.q_stride) && is_aligned(rows.angles, rows.angles_stride);
  // Chunks of a row begin at half the channels that rotate, too.
  rows.cache.alignment =
      std::gcd(rows.cache.alignment, rotated.half * static_cast<int64_t>(sizeof(C)));
  launch(
      stream, "rope_append", rope_append_kernel<T, C>,
      {.grid = dim3(static_cast<unsigned>(num_rows) * blocks.parts), .block = dim3(blocks.threads)},
      rows);
}

}  // namespace

void rope_append(ops::OpContext& context, const ops::RopeAppendArgs& a) noexcept {
  if (a.q.y.shape[0] == 0) return;
  with_kv_types(a.q.x.dtype, a.append.cache.dtype,
                [&](auto t, auto c) { run<decltype(t), decltype(c)>(stream_of(context), a); });
}

}  // namespace veloz::cuda
