// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "cuda/block_reduce.h"
#include "cuda/chunk.h"
#include "cuda/kv_row.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/rows.h"
#include "ops/kv_layout.h"

namespace veloz::cuda {

KvCache KvCache::of(const ops::KvAppendArgs& args) {
  const int64_t row_extent = args.cache.shape[4];
  const auto row_bytes = row_extent * static_cast<int64_t>(dtype_bytes(args.cache.dtype));
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(args.cache.data) % 16);
  return {
      .data = args.cache.data,
      .num_kv_heads = args.cache.shape[2],
      .block_size = args.cache.shape[3],
      .row_extent = row_extent,
      .head_dim = args.cache.dtype == DType::int8 ? row_extent - ops::kKvScaleBytes : row_extent,
      .alignment = std::gcd(std::gcd(row_bytes, address), int64_t{16}),
      .k_scale = args.k_scale,
      .v_scale = args.v_scale};
}

namespace {

constexpr int kThreads = 256;

template <typename T>
struct AppendRows {
  const T* k;
  const T* v;
  const int64_t* slots;
  int64_t k_stride;
  int64_t v_stride;
  int64_t num_heads;  // heads of k and of v, of all rows
  unsigned lanes;     // that share one head, a power of two
  bool is_vector;
  KvCache cache;
};

/// Heads are dealt to groups of lanes inside a warp.
template <typename T, typename C>
__global__ void __launch_bounds__(kThreads) kv_append_kernel(AppendRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const KvCache& cache = rows.cache;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t index = thread / rows.lanes;
  const bool is_mine = index < rows.num_heads;  // others come along for the shuffles
  const int64_t row = is_mine ? index / (2 * cache.num_kv_heads) : 0;
  const int64_t row_head = is_mine ? index - row * 2 * cache.num_kv_heads : 0;
  const int64_t half = row_head / cache.num_kv_heads;
  const int64_t head = row_head - half * cache.num_kv_heads;
  const T* const x = (half == 0 ? rows.k + row * rows.k_stride : rows.v + row * rows.v_stride) +
                     head * cache.head_dim;
  const int64_t end = is_mine ? cache.head_dim : 0;
  const int64_t first = static_cast<int64_t>(threadIdx.x % rows.lanes) * kChunk;
  const int64_t step = static_cast<int64_t>(rows.lanes) * kChunk;
  C* const to = kv_row<C>(cache, rows.slots[row], half, head);

  float inverse = 1.0f / (half == 0 ? cache.k_scale : cache.v_scale);
  if constexpr (std::is_same_v<C, Int8>) {
    uint32_t amax = 0;
    for (int64_t at = first; at < end; at += step)
      amax = max(amax, largest_magnitude(load_chunk(x + at, end - at, rows.is_vector)));
    const GroupScale scale = int8_scale_of_lanes(amax, rows.lanes);
    inverse = scale.inverse;
    if (is_mine && first == 0) store_row_scale(to, cache, scale.scale);
  }
  for (int64_t at = first; at < end; at += step)
    store_kv(to, cache, load_chunk(x + at, end - at, rows.is_vector), at, end - at, inverse);
}

template <typename T, typename C>
void run(CudaStream& stream, const ops::KvAppendArgs& a) {
  const KvCache cache = KvCache::of(a);
  const unsigned lanes = lanes_of_head((cache.head_dim + kChunk - 1) / kChunk);
  AppendRows<T> rows{.k = a.k.as<const T>(),
                     .v = a.v.as<const T>(),
                     .slots = a.slots.as<const int64_t>(),
                     .k_stride = a.k.row_stride,
                     .v_stride = a.v.row_stride,
                     .num_heads = a.k.shape[0] * 2 * cache.num_kv_heads,
                     .lanes = lanes,
                     .is_vector = false,
                     .cache = cache};
  rows.is_vector = cache.head_dim % kChunk == 0 && is_aligned(rows.k, rows.k_stride) &&
                   is_aligned(rows.v, rows.v_stride);
  const int64_t blocks = (rows.num_heads * lanes + kThreads - 1) / kThreads;
  launch(stream, "kv_append", kv_append_kernel<T, C>,
         {.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kThreads)}, rows);
}

}  // namespace

void kv_append(ops::OpContext& context, const ops::KvAppendArgs& a) noexcept {
  if (a.k.shape[0] == 0) return;
  with_kv_types(a.k.dtype, a.cache.dtype,
                [&](auto t, auto c) { run<decltype(t), decltype(c)>(stream_of(context), a); });
}

}  // namespace veloz::cuda
