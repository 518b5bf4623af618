// SPDX-License-Identifier: Apache-2.0
#include "cuda/linear.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/simple_linear_parts.h"

/// linear and weight_only_linear for every dtype.
namespace veloz::cuda {
namespace {

using Params = SimpleLinearParams;

/// Weights as they are.
template <typename X>
struct PlainWeights {
  static constexpr int kChunk = 8;  // elements
  __device__ static void load(const Params& p, int row, int column, float (&w)[kChunk]) {
    constexpr int kBytes = kChunk * static_cast<int>(sizeof(X));
    const auto chunk = load_row_chunk<kBytes, static_cast<int>(sizeof(X))>(
        p.w + row * p.w_row_bytes + column * static_cast<int64_t>(sizeof(X)),
        (p.num_columns - column) * static_cast<int>(sizeof(X)), p.w_aligned);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) w[i] = chunk_element<X>(chunk, i);
  }
};

/// Codes, dequantized to the dtype of x.
template <typename X, DType kCode>
struct QuantizedWeights {
  static constexpr bool kIsPacked = kCode == DType::uint4x2;
  static constexpr int kChunk = kIsPacked ? 32 : 16;  // elements in 16 bytes

  __device__ static float code(const RowChunk<16>& chunk, int i) {
    if constexpr (kIsPacked) {
      return static_cast<float>((chunk.words[i / 8] >> (4 * (i % 8))) & 15u);
    } else if constexpr (kCode == DType::int8) {
      return static_cast<float>(static_cast<int8_t>((chunk.words[i / 4] >> (8 * (i % 4))) & 0xffu));
    } else {
      return chunk_element<E4M3>(chunk, i);
    }
  }
  __device__ static float zero(const Params& p, int64_t index) {
    if constexpr (kIsPacked)
      return p.zeros == nullptr ? 8.0f
                                : static_cast<float>(static_cast<const uint8_t*>(p.zeros)[index]);
    else
      return p.zeros == nullptr ? 0.0f
                                : static_cast<float>(static_cast<const int8_t*>(p.zeros)[index]);
  }
  __device__ static float round_to_x(float weight) { return to_float(from_float<X>(weight)); }
  __device__ static void load(const Params& p, int row, int column, float (&w)[kChunk]) {
    constexpr int kPerByte = kIsPacked ? 2 : 1;
    const auto chunk = load_row_chunk<16, 1>(p.w + row * p.w_row_bytes + column / kPerByte,
                                             (p.num_columns - column) / kPerByte, p.w_aligned);
    const int64_t first = static_cast<int64_t>(row) * p.num_groups;
    if (p.group % kChunk == 0) {
      const int64_t index = first + column / p.group;
      const float scale = load_scale(p.scales, p.scale_dtype, index);
      const float subtracted = zero(p, index);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) w[i] = round_to_x((code(chunk, i) - subtracted) * scale);
      return;
    }
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      // Past the last column x is zero: any finite weight will do.
      const int64_t index = first + min(column + i, p.num_columns - 1) / p.group;
      w[i] = column + i < p.num_columns ? round_to_x((code(chunk, i) - zero(p, index)) *
                                                     load_scale(p.scales, p.scale_dtype, index))
                                        : 0.0f;
    }
  }
};

template <typename X, typename Weights, int kTokens>
__global__ void __launch_bounds__(kSimpleThreads) simple_linear_kernel(const Params p) {
  constexpr int kChunk = Weights::kChunk;
  constexpr int kChunkBytes = kChunk * static_cast<int>(sizeof(X));
  wait_for_previous_kernel();
  allow_next_kernel();
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int token = simple_first_token<kTokens>();
  const int row = simple_first_row();
  if (row >= p.num_rows) return;

  float sums[kSimpleRowsPerWarp][kTokens] = {};
  for (int column = lane * kChunk; column < p.num_columns; column += kLanes * kChunk) {
    float w[kSimpleRowsPerWarp][kChunk];
#pragma unroll
    for (int r = 0; r < kSimpleRowsPerWarp; ++r)
      Weights::load(p, min(row + r, p.num_rows - 1), column, w[r]);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const int64_t from = min(token + t, p.num_tokens - 1) * p.x_row_bytes +
                           column * static_cast<int64_t>(sizeof(X));
      const auto x = load_row_chunk<kChunkBytes, static_cast<int>(sizeof(X))>(
          p.x + from, (p.num_columns - column) * static_cast<int>(sizeof(X)), p.x_aligned);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        const float element = chunk_element<X>(x, i);
#pragma unroll
        for (int r = 0; r < kSimpleRowsPerWarp; ++r)
          sums[r][t] = fmaf(element, w[r][i], sums[r][t]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kSimpleRowsPerWarp; ++r) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const float sum = sum_lanes(sums[r][t]);
      if (lane != 0 || token + t >= p.num_tokens || row + r >= p.num_rows) continue;
      store_linear(p, token + t, row + r, sum);
    }
  }
}

template <typename X, typename Weights>
void run(CudaStream& stream, const char* name, const Params& params) {
  launch_simple_linear(stream, name, simple_linear_kernel<X, Weights, 1>,
                       simple_linear_kernel<X, Weights, kSimpleManyTokens>, params);
}

template <typename X>
void run_weight_only(CudaStream& stream, DType code, const Params& params) {
  constexpr const char* kName = "weight_only_linear";
  if (code == DType::uint4x2)
    run<X, QuantizedWeights<X, DType::uint4x2>>(stream, kName, params);
  else if (code == DType::int8)
    run<X, QuantizedWeights<X, DType::int8>>(stream, kName, params);
  else
    run<X, QuantizedWeights<X, DType::fp8_e4m3>>(stream, kName, params);
}

}  // namespace

void simple_linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  const Params params = simple_linear_params(args.x, args.w, args.bias, args.y);
  if (args.x.dtype == DType::bf16)
    run<Bf16, PlainWeights<Bf16>>(stream_of(context), "linear", params);
  else
    run<float, PlainWeights<float>>(stream_of(context), "linear", params);
}

void simple_weight_only_linear(ops::OpContext& context,
                               const ops::WeightOnlyLinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  const Params params = scaled_linear_params(args);
  if (args.x.dtype == DType::bf16)
    run_weight_only<Bf16>(stream_of(context), args.w.dtype, params);
  else
    run_weight_only<float>(stream_of(context), args.w.dtype, params);
}

}  // namespace veloz::cuda
