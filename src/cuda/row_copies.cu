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
