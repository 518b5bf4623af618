// SPDX-License-Identifier: Apache-2.0
#include "cuda/chunk.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/row_block.h"
#include "cuda/row_codes.h"
#include "cuda/rows.h"

namespace veloz::cuda {
namespace {

template <typename T>
struct QuantizeRows {
  const T* x;
  int64_t x_stride;
  int64_t columns;
  RowCodes codes;
};

/// A row of whole aligned chunks, read once.
template <typename T, int kChunks>
__global__ void __launch_bounds__(max_row_threads(kChunks), min_row_blocks<T>(kChunks))
    quantize_kernel(QuantizeRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto row = static_cast<int64_t>(blockIdx.x);
  const int columns = static_cast<int>(rows.columns);
  Chunk<T> x[kChunks];
#pragma unroll
  for (int j = 0; j < kChunks; ++j)
    x[j] = load_within(
        rows.x + row * rows.x_stride,
        static_cast<int>(threadIdx.x + static_cast<unsigned>(j) * blockDim.x) * kChunk, columns);
  quantize_in_registers(x, rows.codes, row, columns);
}

template <typename T>
struct Loaded {
  const T* x;
  __device__ float operator()(int64_t column) const { return to_float(x[column]); }
};

template <typename T>
__global__ void __launch_bounds__(kMaxRowThreads, 2) quantize_by_loop_kernel(QuantizeRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto row = static_cast<int64_t>(blockIdx.x);
  quantize_by_loop(Loaded<T>{rows.x + row * rows.x_stride}, rows.codes, row, rows.columns);
}

template <typename T>
void run(CudaStream& stream, const ops::QuantizeArgs& a) {
  const QuantizeRows<T> rows{.x = a.x.as<const T>(),
                             .x_stride = a.x.row_stride,
                             .columns = a.x.shape[1],
                             .codes = RowCodes::of(a)};
  const RowBlock block = choose_row_block(rows.columns, sizeof(T) == 2 ? 10 : 2);
  void (*kernel)(QuantizeRows<T>) = quantize_by_loop_kernel<T>;
  if (is_aligned(rows.x, rows.x_stride) && block.chunks_per_thread != 0 &&
      rows.columns % kChunk == 0 && rows.codes.fit_registers(rows.columns))
    kernel = for_row_block(block, quantize_kernel<T, 2>, quantize_kernel<Bf16, 10>);
  launch(stream, "quantize", kernel,
         {.grid = dim3(static_cast<unsigned>(a.x.shape[0])), .block = dim3(block.threads)}, rows);
}

}  // namespace

void quantize(ops::OpContext& context, const ops::QuantizeArgs& a) noexcept {
  if (a.x.shape[0] == 0) return;
  if (a.x.dtype == DType::bf16)
    run<Bf16>(stream_of(context), a);
  else
    run<float>(stream_of(context), a);
}

}  // namespace veloz::cuda
