// SPDX-License-Identifier: Apache-2.0
#include "cuda/activation_value.h"
#include "cuda/chunk.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/row_block.h"
#include "cuda/row_codes.h"
#include "cuda/rows.h"

namespace veloz::cuda {
namespace {

using ops::Activation;

template <typename T>
struct ActRows {
  const T* x;   // or gate
  const T* up;  // null in act
  T* y;         // null where codes stand in its place
  int64_t x_stride;
  int64_t up_stride;
  int64_t y_stride;
  int64_t columns;
  unsigned parts;  // blocks of a row, where each thread has one chunk
  bool is_vector;
  RowCodes codes;
};

template <Activation kActivation, typename T>
__device__ Chunk<T> activate_chunk(const Chunk<T>& chunk) {
  float x[kChunk];
  unpack(chunk, x);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) x[i] = activate<kActivation>(x[i]);
  return pack<T>(x);
}
template <Activation kActivation, typename T>
__device__ Chunk<T> activate_chunk(const Chunk<T>& gate_chunk, const Chunk<T>& up_chunk) {
  float gate[kChunk], up[kChunk];
  unpack(gate_chunk, gate);
  unpack(up_chunk, up);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) gate[i] = activate<kActivation>(gate[i]) * up[i];
  return pack<T>(gate);
}

template <typename T, Activation kActivation>
__global__ void __launch_bounds__(kMaxChunkThreads) act_kernel(ActRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto [row, column, count] = chunk_place(rows.parts, rows.columns);
  if (count <= 0) return;
  const Chunk<T> x = load_chunk(rows.x + row * rows.x_stride + column, count, rows.is_vector);
  Chunk<T> y;
  if (rows.up == nullptr)
    y = activate_chunk<kActivation>(x);
  else
    y = activate_chunk<kActivation>(
        x, load_chunk(rows.up + row * rows.up_stride + column, count, rows.is_vector));
  store_chunk(rows.y + row * rows.y_stride + column, y, count, rows.is_vector);
}

constexpr int max_threads(int chunks_per_thread) {
  return chunks_per_thread == kSpreadChunks ? kMaxSpreadThreads
                                            : max_row_threads(chunks_per_thread);
}
/// Blocks of a multiprocessor that registers must leave room for.
template <typename T, Activation kActivation>
constexpr int min_blocks(int chunks_per_thread) {
  if (chunks_per_thread == kSpreadChunks) return 1;
  const bool is_common = kActivation == Activation::silu || kActivation == Activation::gelu_tanh;
  return is_common || chunks_per_thread == 2 ? min_row_blocks<T>(chunks_per_thread) : 1;
}

/// A row of whole aligned chunks becomes codes in registers.
template <typename T, Activation kActivation, int kChunks>
__global__ void __launch_bounds__(max_threads(kChunks), min_blocks<T, kActivation>(kChunks))
    act_codes_kernel(ActRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto row = static_cast<int64_t>(blockIdx.x);
  const int columns = static_cast<int>(rows.columns);
  const T* const x = rows.x + row * rows.x_stride;
  const T* const up = rows.up + row * rows.up_stride;
  const int first = static_cast<int>(threadIdx.x) * kChunk;
  const int step = static_cast<int>(blockDim.x) * kChunk;
  Chunk<T> y[kChunks];
  if (rows.up == nullptr) {
#pragma unroll
    for (int j = 0; j < kChunks; ++j)
      y[j] = activate_chunk<kActivation>(load_within(x, first + j * step, columns));
  } else {
#pragma unroll
    for (int j = 0; j < kChunks; ++j)
      y[j] = activate_chunk<kActivation>(load_within(x, first + j * step, columns),
                                         load_within(up, first + j * step, columns));
  }
  quantize_in_registers(y, rows.codes, row, columns);
}

/// y of one column.
template <typename T, Activation kActivation>
struct Activated {
  const T* x;
  const T* up;

  __device__ float operator()(int64_t column) const {
    const float y = activate<kActivation>(to_float(x[column]));
    return rounded_to<T>(up == nullptr ? y : y * to_float(up[column]));
  }
};

template <typename T, Activation kActivation>
__global__ void __launch_bounds__(kMaxRowThreads, 2) act_codes_by_loop_kernel(ActRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto row = static_cast<int64_t>(blockIdx.x);
  const T* const up = rows.up == nullptr ? nullptr : rows.up + row * rows.up_stride;
  quantize_by_loop(Activated<T, kActivation>{rows.x + row * rows.x_stride, up}, rows.codes, row,
                   rows.columns);
}

template <typename T, Activation kActivation>
void run_codes(CudaStream& stream, const ops::ActArgs& a, const ActRows<T>& rows) {
  const RowBlock block = spread_row_block(rows.columns, sizeof(T) == 2 ? 10 : 2, a.x.shape[0]);
  void (*kernel)(ActRows<T>) = act_codes_by_loop_kernel<T, kActivation>;
  if (rows.is_vector && block.chunks_per_thread != 0 && rows.columns % kChunk == 0 &&
      rows.codes.fit_registers(rows.columns))
    kernel = for_row_block(block, act_codes_kernel<T, kActivation, 2>,
                           block.chunks_per_thread == kSpreadChunks
                               ? act_codes_kernel<Bf16, kActivation, kSpreadChunks>
                               : act_codes_kernel<Bf16, kActivation, 10>);
  launch(stream, "act", kernel,
         {.grid = dim3(static_cast<unsigned>(a.x.shape[0])), .block = dim3(block.threads)}, rows);
}

template <typename T, Activation kActivation>
void run(CudaStream& stream, const ops::ActArgs& a) {
  const ChunkBlocks blocks = choose_chunk_blocks((a.x.shape[1] + kChunk - 1) / kChunk);
  const auto* const x = a.x.as<const T>();
  const auto* const up = a.up.as<const T>();
  auto* const y = a.y.as<T>();
  const ActRows<T> rows{.x = x,
                        .up = up,
                        .y = y,
                        .x_stride = a.x.row_stride,
                        .up_stride = a.up.row_stride,
                        .y_stride = a.y.row_stride,
                        .columns = a.x.shape[1],
                        .parts = blocks.parts,
                        .is_vector = is_aligned(x, a.x.row_stride) &&
                                     is_aligned(up, a.up.row_stride) &&
                                     is_aligned(y, a.y.row_stride),
                        .codes = a.quantized ? RowCodes::of(*a.quantized) : RowCodes{}};
  if (a.quantized) {
    run_codes<T, kActivation>(stream, a, rows);
    return;
  }
  launch(stream, "act", act_kernel<T, kActivation>,
         {.grid = dim3(static_cast<unsigned>(a.x.shape[0]) * blocks.parts),
          .block = dim3(blocks.threads)},
         rows);
}

template <typename T>
void run_any(CudaStream& stream, const ops::ActArgs& a) {
  switch (a.activation) {
    case Activation::silu:
      return run<T, Activation::silu>(stream, a);
    case Activation::gelu:
      return run<T, Activation::gelu>(stream, a);
    case Activation::gelu_tanh:
      return run<T, Activation::gelu_tanh>(stream, a);
    case Activation::relu:
      return run<T, Activation::relu>(stream, a);
  }
}

}  // namespace

void act(ops::OpContext& context, const ops::ActArgs& a) noexcept {
  if (a.x.shape[0] == 0) return;
  if (a.x.dtype == DType::bf16)
    run_any<Bf16>(stream_of(context), a);
  else
    run_any<float>(stream_of(context), a);
}

}  // namespace veloz::cuda
