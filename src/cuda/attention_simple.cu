// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "cuda/attention.h"
#include "cuda/launch.h"
#include "cuda/numeric.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/ptx/matrix.h"
#include "ops/kv_layout.h"

namespace veloz::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kTile = 64;  // positions whose scores are kept at a time
constexpr int kColumnsPerThread = 2;
constexpr int kSlice = kThreads * kColumnsPerThread;  // columns of y of one thread block
constexpr unsigned kFullMask = 0xffffffffu;

struct SimpleParams {
  const void* q;
  const unsigned char* cache;
  void* y;
  const int32_t* q_starts;
  const int32_t* q_lens;
  const int32_t* kv_lens;
  const int32_t* block_tables;
  int64_t q_stride;
  int64_t y_stride;
  int64_t table_stride;
  int64_t row_bytes;   // of the cache
  int64_t half_bytes;  // from a row of K to that of V
  int num_seqs;
  int num_heads;
  int num_kv_heads;
  int head_dim;
  int num_slices;
  int block_size;
  float score_scale;  // to base 2
  float v_scale;
};

__device__ inline float cache_value(float x) { return x; }
__device__ inline float cache_value(Bf16 x) { return to_float(x); }
__device__ inline float cache_value(E4M3 x) { return to_float(x); }
__device__ inline float cache_value(int8_t x) { return static_cast<float>(x); }

/// Of an int8 row; it stands where the codes end, on any byte.
__device__ inline float row_scale(const unsigned char* row, int head_dim) {
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i) bits |= static_cast<uint32_t>(row[head_dim + i]) << (8 * i);
  return bit_cast<float>(bits);
}

template <typename Cache>
struct RowScale {
  __device__ static float of(const unsigned char*, int) { return 1.0f; }
};
template <>
struct RowScale<int8_t> {
  __device__ static float of(const unsigned char* row, int head_dim) {
    return row_scale(row, head_dim);
  }
};

/// One row of q, one head, one slice of its columns.
template <typename T, typename Cache>
__global__ void __launch_bounds__(kThreads) simple_attention_kernel(SimpleParams a) {
  __shared__ int found;
  __shared__ const unsigned char* rows[kTile];
  __shared__ float scores[kTile];
  __shared__ float weights[kTile];
  wait_for_previous_kernel();
  allow_next_kernel();
  const int thread = static_cast<int>(threadIdx.x);
  const int slice = static_cast<int>(blockIdx.x) % a.num_slices;
  const int head = static_cast<int>(blockIdx.x) / a.num_slices % a.num_heads;
  const int token = static_cast<int>(blockIdx.x) / a.num_slices / a.num_heads;

  if (thread == 0) found = -1;
  __syncthreads();
  for (int s = thread; s < a.num_seqs; s += kThreads)
    if (token >= a.q_starts[s] && token < a.q_starts[s] + a.q_lens[s]) found = s;
  __syncthreads();
  const int seq = found;
  if (seq < 0) return;
  const int num_seen = a.kv_lens[seq] - a.q_lens[seq] + (token - a.q_starts[seq]) + 1;

  const T* q =
      static_cast<const T*>(a.q) + token * a.q_stride + static_cast<int64_t>(head) * a.head_dim;
  const int32_t* table = a.block_tables + seq * a.table_stride;
  const int kv_head = head / (a.num_heads / a.num_kv_heads);
  const int warp = thread / 32;
  const int lane = thread % 32;
  const int column = slice * kSlice + thread;

  float largest = -INFINITY;
  float sum = 0;
  float out[kColumnsPerThread] = {};
  for (int begin = 0; begin < num_seen; begin += kTile) {
    const int count = num_seen - begin < kTile ? num_seen - begin : kTile;
    if (thread < count) {
      const int position = begin + thread;
      const int64_t block = table[position / a.block_size];
      rows[thread] = a.cache + ((block * 2 * a.num_kv_heads + kv_head) * a.block_size +
                                position % a.block_size) *
                                   a.row_bytes;
    }
    __syncthreads();
    for (int i = warp; i < count; i += kWarps) {
      const Cache* k = reinterpret_cast<const Cache*>(rows[i]);
      float dot = 0;
      for (int d = lane; d < a.head_dim; d += 32)
        dot = fmaf(to_float(q[d]), cache_value(k[d]), dot);
      for (int distance = 16; distance > 0; distance /= 2)
        dot += __shfl_xor_sync(kFullMask, dot, distance);
      if (lane == 0) scores[i] = dot * RowScale<Cache>::of(rows[i], a.head_dim);
    }
    __syncthreads();
    const float before = largest;
    for (int i = 0; i < count; ++i) largest = fmaxf(largest, scores[i]);
    const float base = largest == -INFINITY ? 0.0f : largest;
    if (thread < count) weights[thread] = exp2_fast((scores[thread] - base) * a.score_scale);
    const float shrink = exp2_fast((before - base) * a.score_scale);
    sum *= shrink;
    for (float& x : out) x *= shrink;
    __syncthreads();
    for (int i = 0; i < count; ++i) {
      const unsigned char* row = rows[i] + a.half_bytes;
      const Cache* v = reinterpret_cast<const Cache*>(row);
      const float weight = weights[i] * RowScale<Cache>::of(row, a.head_dim);
      sum += weights[i];
      for (int c = 0; c < kColumnsPerThread; ++c)
        if (column + c * kThreads < a.head_dim)
          out[c] = fmaf(weight, cache_value(v[column + c * kThreads]), out[c]);
    }
    __syncthreads();
  }
  T* y = static_cast<T*>(a.y) + token * a.y_stride + static_cast<int64_t>(head) * a.head_dim;
  for (int c = 0; c < kColumnsPerThread; ++c)
    if (column + c * kThreads < a.head_dim)
      y[column + c * kThreads] = from_float<T>(out[c] / sum * a.v_scale);
}

template <typename T, typename Cache>
void run(CudaStream& stream, const ops::PagedAttentionArgs& args) {
  constexpr double kLog2E = 1.4426950408889634;
  const int64_t num_slices = (args.head_dim + kSlice - 1) / kSlice;
  const int64_t row_bytes = args.cache.shape[4] * static_cast<int64_t>(sizeof(Cache));
  const SimpleParams params{
      .q = args.q.data,
      .cache = args.cache.as<const unsigned char>(),
      .y = args.y.data,
      .q_starts = args.q_starts.as<const int32_t>(),
      .q_lens = args.q_lens.as<const int32_t>(),
      .kv_lens = args.kv_lens.as<const int32_t>(),
      .block_tables = args.block_tables.as<const int32_t>(),
      .q_stride = args.q.row_stride,
      .y_stride = args.y.row_stride,
      .table_stride = args.block_tables.row_stride,
      .row_bytes = row_bytes,
      .half_bytes = args.num_kv_heads * args.cache.shape[3] * row_bytes,
      .num_seqs = static_cast<int>(args.q_starts.shape[0]),
      .num_heads = static_cast<int>(args.num_heads),
      .num_kv_heads = static_cast<int>(args.num_kv_heads),
      .head_dim = static_cast<int>(args.head_dim),
      .num_slices = static_cast<int>(num_slices),
      .block_size = static_cast<int>(args.cache.shape[3]),
      .score_scale = static_cast<float>(static_cast<double>(args.scale) * args.k_scale * kLog2E),
      .v_scale = args.v_scale};
  const int64_t num_blocks = args.q.shape[0] * args.num_heads * num_slices;
  launch(stream, "paged_attention/simple", simple_attention_kernel<T, Cache>,
         {.grid = dim3(static_cast<unsigned>(num_blocks)), .block = dim3(kThreads)}, params);
}

template <typename T>
void run_on_cache(CudaStream& stream, const ops::PagedAttentionArgs& args) {
  switch (args.cache.dtype) {
    case DType::fp32:
      return run<T, float>(stream, args);
    case DType::bf16:
      return run<T, Bf16>(stream, args);
    case DType::int8:
      return run<T, int8_t>(stream, args);
    default:
      return run<T, E4M3>(stream, args);
  }
}

}  // namespace

void paged_attention_simple(ops::OpContext& context, const ops::PagedAttentionArgs& args) noexcept {
  if (args.q.shape[0] == 0) return;
  if (args.q.dtype == DType::bf16)
    run_on_cache<Bf16>(stream_of(context), args);
  else
    run_on_cache<float>(stream_of(context), args);
}

}  // namespace veloz::cuda
