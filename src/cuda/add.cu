// SPDX-License-Identifier: Apache-2.0
#include "cuda/chunk.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/row_block.h"
#include "cuda/rows.h"

namespace veloz::cuda {
namespace {

template <typename T>
struct AddRows {
  const T* a;
  const T* b;
  T* y;
  int64_t a_stride;
  int64_t b_stride;
  int64_t y_stride;
  int64_t columns;
  unsigned parts;  // blocks of a row
  bool is_vector;
};

template <typename T>
__global__ void __launch_bounds__(kMaxChunkThreads) add_kernel(AddRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto [row, column, count] = chunk_place(rows.parts, rows.columns);
  if (count <= 0) return;
  float a[kChunk], b[kChunk];
  unpack(load_chunk(rows.a + row * rows.a_stride + column, count, rows.is_vector), a);
  unpack(load_chunk(rows.b + row * rows.b_stride + column, count, rows.is_vector), b);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) a[i] += b[i];
  store_chunk(rows.y + row * rows.y_stride + column, pack<T>(a), count, rows.is_vector);
}

template <typename T>
void run(CudaStream& stream, const ops::AddArgs& args) {
  const int64_t columns = args.y.shape[1];
  const ChunkBlocks blocks = choose_chunk_blocks((columns + kChunk - 1) / kChunk);
  AddRows<T> rows{.a = args.a.as<const T>(),
                  .b = args.b.as<const T>(),
                  .y = args.y.as<T>(),
                  .a_stride = args.a.row_stride,
                  .b_stride = args.b.row_stride,
                  .y_stride = args.y.row_stride,
                  .columns = columns,
                  .parts = blocks.parts,
                  .is_vector = false};
  rows.is_vector = is_aligned(rows.a, rows.a_stride) && is_aligned(rows.b, rows.b_stride) &&
                   is_aligned(rows.y, rows.y_stride);
  launch(stream, "add", add_kernel<T>,
         {.grid = dim3(static_cast<unsigned>(args.y.shape[0]) * blocks.parts),
          .block = dim3(blocks.threads)},
         rows);
}

}  // namespace

void add(ops::OpContext& context, const ops::AddArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  if (args.y.dtype == DType::bf16)
    run<Bf16>(stream_of(context), args);
  else
    run<float>(stream_of(context), args);
}

}  // namespace veloz::cuda
