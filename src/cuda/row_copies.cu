// SPDX-License-Identifier: Apache-2.0
#include "cuda/row_copies.h"

#include "cuda/chunk.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/row_block.h"

namespace veloz::cuda {
namespace {

template <typename T>
struct CopyRows {
  const T* x;
  const int32_t* indices;  // of rows, or of columns
  T* y;
  int64_t x_stride;
  int64_t y_stride;
  int64_t columns;
  unsigned parts;  // blocks of a row
  bool is_vector;
};

/// y[r] = x[indices[r]]
template <typename T>
__global__ void __launch_bounds__(kMaxChunkThreads) copy_rows_kernel(CopyRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto [row, column, count] = chunk_place(rows.parts, rows.columns);
  if (count <= 0) return;
  const T* const from = rows.x + rows.indices[row] * rows.x_stride + column;
  store_chunk(rows.y + row * rows.y_stride + column, load_chunk(from, count, rows.is_vector), count,
              rows.is_vector);
}

/// y[r, k] = x[r, indices[k]], NaN where x has no such column.
template <typename T>
__global__ void __launch_bounds__(kMaxChunkThreads) permute_columns_kernel(CopyRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto [row, column, count] = chunk_place(rows.parts, rows.columns);
  if (count <= 0) return;
  const T* const x = rows.x + row * rows.x_stride;
  float values[kChunk];
#pragma unroll
  for (int i = 0; i < kChunk; ++i) {
    values[i] = bit_cast<float>(0x7fc00000u);
    if (i >= count) continue;
    const int64_t from = rows.indices[column + i];
    if (from >= 0 && from < rows.columns) values[i] = to_float(x[from]);
  }
  store_chunk(rows.y + row * rows.y_stride + column, pack<T>(values), count, rows.is_vector);
}

constexpr int kFeedThreads = 256;

struct Feeds {
  int32_t* tokens;
  const int32_t* sampled;
  const int32_t* pairs;  // of an index of tokens and one of sampled
  int64_t stride;
  int count;
};

__global__ void __launch_bounds__(kFeedThreads) feed_tokens_kernel(Feeds feeds) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const int i = static_cast<int>(blockIdx.x) * kFeedThreads + static_cast<int>(threadIdx.x);
  if (i >= feeds.count) return;
  const int32_t* const pair = feeds.pairs + i * feeds.stride;
  feeds.tokens[pair[0]] = feeds.sampled[pair[1]];
}

template <typename T>
CopyRows<T> copy_of(const TensorView& x, const TensorView& indices, const TensorView& y) {
  CopyRows<T> rows{.x = x.as<const T>(),
                   .indices = indices.as<const int32_t>(),
                   .y = y.as<T>(),
                   .x_stride = x.row_stride,
                   .y_stride = y.row_stride,
                   .columns = y.shape[1],
                   .parts = 0,
                   .is_vector = false};
  rows.is_vector = is_aligned(rows.x, rows.x_stride) && is_aligned(rows.y, rows.y_stride);
  return rows;
}

template <typename T>
void run(CudaStream& stream, const char* name, void (*kernel)(CopyRows<T>), CopyRows<T> rows,
         int64_t num_rows) {
  if (num_rows == 0) return;
  const ChunkBlocks blocks = choose_chunk_blocks((rows.columns + kChunk - 1) / kChunk);
  rows.parts = blocks.parts;
  launch(
      stream, name, kernel,
      {.grid = dim3(static_cast<unsigned>(num_rows) * blocks.parts), .block = dim3(blocks.threads)},
      rows);
}

void copy_rows(ops::OpContext& context, const char* name, const TensorView& x,
               const TensorView& indices, const TensorView& y) {
  if (y.dtype == DType::bf16)
    run(stream_of(context), name, copy_rows_kernel<Bf16>, copy_of<Bf16>(x, indices, y), y.shape[0]);
  else
    run(stream_of(context), name, copy_rows_kernel<float>, copy_of<float>(x, indices, y),
        y.shape[0]);
}

}  // namespace

void embedding(ops::OpContext& context, const ops::EmbeddingArgs& a) noexcept {
  copy_rows(context, "embedding", a.table, a.tokens, a.y);
}

void feed_tokens(ops::OpContext& context, const ops::FeedTokensArgs& a) noexcept {
  if (a.feeds.shape[0] == 0) return;
  const Feeds feeds{.tokens = a.tokens.as<int32_t>(),
                    .sampled = a.sampled.as<const int32_t>(),
                    .pairs = a.feeds.as<const int32_t>(),
                    .stride = a.feeds.row_stride,
                    .count = static_cast<int>(a.feeds.shape[0])};
  const auto blocks = static_cast<unsigned>((feeds.count + kFeedThreads - 1) / kFeedThreads);
  launch(stream_of(context), "feed_tokens", feed_tokens_kernel,
         {.grid = dim3(blocks), .block = dim3(kFeedThreads)}, feeds);
}

void gather_rows(ops::OpContext& context, const ops::GatherRowsArgs& a) noexcept {
  copy_rows(context, "gather_rows", a.x, a.rows, a.y);
}

void permute_columns(ops::OpContext& context, const ops::PermuteColumnsArgs& a) noexcept {
  if (a.y.dtype == DType::bf16)
    run(stream_of(context), "permute_columns", permute_columns_kernel<Bf16>,
        copy_of<Bf16>(a.x, a.p, a.y), a.y.shape[0]);
  else
    run(stream_of(context), "permute_columns", permute_columns_kernel<float>,
        copy_of<float>(a.x, a.p, a.y), a.y.shape[0]);
}

}  // namespace veloz::cuda
