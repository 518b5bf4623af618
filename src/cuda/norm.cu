// SPDX-License-Identifier: Apache-2.0
#include "cuda/block_reduce.h"
#include "cuda/chunk.h"
#include "cuda/launch.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/ptx/prefetch.h"
#include "cuda/row_block.h"
#include "cuda/row_codes.h"
#include "cuda/rows.h"

namespace veloz::cuda {
namespace {

enum class Norm { rms, layer };

template <typename T>
struct NormRows {
  const T* x;
  const T* delta;  // null without a residual, and then so is sum
  T* sum;
  T* y;  // null where codes stand in its place
  const float* gamma;
  const float* beta;  // of layer_norm
  int64_t x_stride;
  int64_t delta_stride;
  int64_t sum_stride;
  int64_t y_stride;
  int64_t columns;
  float eps;
  RowCodes codes;
};

/// What a row is normalised with.
struct RowStatistics {
  float mean;
  float scale;
};

template <Norm kNorm>
__device__ float normalise(float x, const RowStatistics& row, float gamma, float beta) {
  if constexpr (kNorm == Norm::rms)
    return x * row.scale * gamma;
  else
    return (x - row.mean) * row.scale * gamma + beta;
}

template <typename T>
__device__ Chunk<T> add_chunks(const Chunk<T>& a, const Chunk<T>& b) {
  float x[kChunk], delta[kChunk];
  unpack(a, x);
  unpack(b, delta);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) x[i] += delta[i];
  return pack<T>(x);
}

/// Adds the first `count` numbers of a chunk to `sum`, or their squared distances from `mean`.
template <typename T>
__device__ float add_values(float sum, const Chunk<T>& chunk, int64_t count) {
  float x[kChunk];
  unpack(chunk, x);
#pragma unroll
  for (int i = 0; i < kChunk; ++i)
    if (i < count) sum += x[i];
  return sum;
}
template <typename T>
__device__ float add_squares(float sum, const Chunk<T>& chunk, float mean, int64_t count) {
  float x[kChunk];
  unpack(chunk, x);
#pragma unroll
  for (int i = 0; i < kChunk; ++i)
    if (i < count) sum = fmaf(x[i] - mean, x[i] - mean, sum);
  return sum;
}

template <Norm kNorm, typename T>
__device__ Chunk<T> normalise_chunk(const Chunk<T>& chunk, const RowStatistics& row,
                                    const Chunk<float>& gamma_chunk,
                                    const Chunk<float>& beta_chunk) {
  float x[kChunk], gamma[kChunk], beta[kChunk];
  unpack(chunk, x);
  unpack(gamma_chunk, gamma);
  unpack(beta_chunk, beta);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) x[i] = normalise<kNorm>(x[i], row, gamma[i], beta[i]);
  return pack<T>(x);
}

/// x + delta, kept in place of x and stored: after all loads, which a store might alias.
template <typename T, int kChunks>
__device__ void add_residual(Chunk<T> (&x)[kChunks], const NormRows<T>& rows, int64_t row,
                             int first) {
  const int columns = static_cast<int>(rows.columns);
  const int step = static_cast<int>(blockDim.x) * kChunk;
#pragma unroll
  for (int j = 0; j < kChunks; ++j)
    x[j] = add_chunks(x[j],
                      load_within(rows.delta + row * rows.delta_stride, first + j * step, columns));
#pragma unroll
  for (int j = 0; j < kChunks; ++j)
    if (first + j * step < columns)
      store_aligned(rows.sum + row * rows.sum_stride + first + j * step, x[j]);
}

/// Blocks of a multiprocessor that registers must leave room for.
template <typename T, Norm kNorm>
constexpr int min_blocks(int chunks_per_thread) {
  if (chunks_per_thread > 2) return 1;
  return sizeof(T) == 2 && kNorm == Norm::rms ? 3 : 2;
}

/// A row of whole aligned chunks, held in registers from its one reading to its one writing.
template <typename T, Norm kNorm, int kChunks>
__global__ void __launch_bounds__(kMaxRowThreads, min_blocks<T, kNorm>(kChunks))
    norm_kernel(NormRows<T> rows) {
  const int columns = static_cast<int>(rows.columns);
  const int first = static_cast<int>(threadIdx.x) * kChunk;
  const int step = static_cast<int>(blockDim.x) * kChunk;
#pragma unroll
  for (int j = 0; j < kChunks; ++j)
    if (first + j * step < columns) {
      prefetch_to_l2(rows.gamma + first + j * step);
      if (kNorm == Norm::layer) prefetch_to_l2(rows.beta + first + j * step);
    }
  wait_for_previous_kernel();
  allow_next_kernel();

  const auto row = static_cast<int64_t>(blockIdx.x);
  Chunk<T> x[kChunks];
#pragma unroll
  for (int j = 0; j < kChunks; ++j)
    x[j] = load_within(rows.x + row * rows.x_stride, first + j * step, columns);
  if (rows.delta != nullptr) add_residual(x, rows, row, first);

  RowStatistics statistics{0, 0};
  const auto width = static_cast<float>(columns);
  if constexpr (kNorm == Norm::layer) {
    float sum = 0;
#pragma unroll
    for (int j = 0; j < kChunks; ++j) sum = add_values(sum, x[j], columns - (first + j * step));
    statistics.mean = block_sum<0>(sum) / width;
    keep_packed(x);
  }
  float squares = 0;
#pragma unroll
  for (int j = 0; j < kChunks; ++j)
    squares = add_squares(squares, x[j], statistics.mean, columns - (first + j * step));
  statistics.scale = 1.0f / sqrtf(block_sum<1>(squares) / width + rows.eps);
  keep_packed(x);

#pragma unroll
  for (int j = 0; j < kChunks; ++j) {
    const int column = first + j * step;
    x[j] =
        normalise_chunk<kNorm>(x[j], statistics, load_within(rows.gamma, column, columns),
                               load_within(rows.beta, column, kNorm == Norm::layer ? columns : 0));
  }
  if (rows.codes.codes != nullptr) {
    quantize_in_registers(x, rows.codes, row, columns);
    return;
  }
#pragma unroll
  for (int j = 0; j < kChunks; ++j) {
    const int column = first + j * step;
    if (column < columns) store_aligned(rows.y + row * rows.y_stride + column, x[j]);
  }
}

/// y of one column.
template <typename T, Norm kNorm>
struct Normalised {
  const T* x;
  const float* gamma;
  const float* beta;
  RowStatistics statistics;

  __device__ float operator()(int64_t column) const {
    return rounded_to<T>(normalise<kNorm>(to_float(x[column]), statistics, gamma[column],
                                          kNorm == Norm::layer ? beta[column] : 0.0f));
  }
};

/// Any row: it is read again for each use. Sums are ordered as in norm_kernel.
template <typename T, Norm kNorm>
__global__ void __launch_bounds__(kMaxRowThreads, 2) norm_by_loop_kernel(NormRows<T> rows) {
  wait_for_previous_kernel();
  allow_next_kernel();
  const auto row = static_cast<int64_t>(blockIdx.x);
  const int64_t columns = rows.columns;
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kChunk;
  const int64_t step = static_cast<int64_t>(blockDim.x) * kChunk;
  const T* x = rows.x + row * rows.x_stride;
  if (rows.delta != nullptr) {
    const T* const delta = rows.delta + row * rows.delta_stride;
    T* const sum = rows.sum + row * rows.sum_stride;
    for (int64_t c = first; c < columns; c += step)
      store_some(sum + c,
                 add_chunks(load_some(x + c, columns - c), load_some(delta + c, columns - c)),
                 columns - c);
    x = sum;
  }
  RowStatistics statistics{0, 0};
  const auto width = static_cast<float>(columns);
  if constexpr (kNorm == Norm::layer) {
    float sum = 0;
    for (int64_t c = first; c < columns; c += step)
      sum = add_values(sum, load_some(x + c, columns - c), columns - c);
    statistics.mean = block_sum<2>(sum) / width;
  }
  float squares = 0;
  for (int64_t c = first; c < columns; c += step)
    squares = add_squares(squares, load_some(x + c, columns - c), statistics.mean, columns - c);
  statistics.scale = 1.0f / sqrtf(block_sum<3>(squares) / width + rows.eps);

  const Normalised<T, kNorm> y{x, rows.gamma, rows.beta, statistics};
  if (rows.codes.codes != nullptr) {
    __syncthreads();  // sums of other threads are read
    quantize_by_loop(y, rows.codes, row, columns);
    return;
  }
  T* const to = rows.y + row * rows.y_stride;
  for (int64_t c = first; c < columns; c += step)
    for (int64_t i = c; i < columns && i < c + kChunk; ++i) to[i] = from_float<T>(y(i));
}

template <typename T>
bool fits_registers(const NormRows<T>& rows, const RowBlock& block) {
  const bool is_output_aligned = rows.codes.codes == nullptr
                                     ? is_aligned(rows.y, rows.y_stride)
                                     : rows.codes.fit_registers(rows.columns);
  return block.chunks_per_thread != 0 && rows.columns % kChunk == 0 &&
         is_aligned(rows.x, rows.x_stride) && is_aligned(rows.delta, rows.delta_stride) &&
         is_aligned(rows.sum, rows.sum_stride) && is_aligned(rows.gamma, 0) &&
         is_aligned(rows.beta, 0) && is_output_aligned;
}

template <typename T, Norm kNorm, typename Args>
void run(CudaStream& stream, const char* name, const Args& a, const float* beta) {
  const NormRows<T> rows{.x = a.x.template as<const T>(),
                         .delta = a.delta.template as<const T>(),
                         .sum = a.sum.template as<T>(),
                         .y = a.y.template as<T>(),
                         .gamma = a.gamma.template as<const float>(),
                         .beta = beta,
                         .x_stride = a.x.row_stride,
                         .delta_stride = a.delta.row_stride,
                         .sum_stride = a.sum.row_stride,
                         .y_stride = a.y.row_stride,
                         .columns = a.x.shape[1],
                         .eps = a.eps,
                         .codes = a.quantized ? RowCodes::of(*a.quantized) : RowCodes{}};
  const RowBlock block = choose_row_block(rows.columns, sizeof(T) == 2 ? 4 : 2);
  void (*kernel)(NormRows<T>) = norm_by_loop_kernel<T, kNorm>;
  if (fits_registers(rows, block))
    kernel = for_row_block(block, norm_kernel<T, kNorm, 2>, norm_kernel<Bf16, kNorm, 4>);
  launch(stream, name, kernel,
         {.grid = dim3(static_cast<unsigned>(a.x.shape[0])), .block = dim3(block.threads)}, rows);
}

template <Norm kNorm, typename Args>
void run_any(ops::OpContext& context, const char* name, const Args& a, const float* beta) {
  if (a.x.shape[0] == 0) return;
  if (a.x.dtype == DType::bf16)
    run<Bf16, kNorm>(stream_of(context), name, a, beta);
  else
    run<float, kNorm>(stream_of(context), name, a, beta);
}

}  // namespace

void rms_norm(ops::OpContext& context, const ops::RmsNormArgs& a) noexcept {
  run_any<Norm::rms>(context, "rms_norm", a, nullptr);
}

void layer_norm(ops::OpContext& context, const ops::LayerNormArgs& a) noexcept {
  run_any<Norm::layer>(context, "layer_norm", a, a.beta.as<const float>());
}

}  // namespace veloz::cuda
