// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/tensor_view.h"
#include "cuda/alignment.h"
#include "cuda/gpu.h"
#include "cuda/launch.h"
#include "cuda/numeric.h"
#include "cuda/row_chunks.h"

/// What the simple linears have in common, of plain and of quantized operands: a warp has a few
/// rows of w, each lane every 32nd chunk of their columns, in registers, and goes with them over a
/// few rows of x.
namespace veloz::cuda {

constexpr int kSimpleWarps = 8;
constexpr int kSimpleRowsPerWarp = 2;
constexpr int kSimpleThreads = kSimpleWarps * kLanes;
constexpr int kSimpleManyTokens = 8;  // of a block, where there are several

struct SimpleLinearParams {
  const unsigned char* x;
  const float* x_scales;
  const unsigned char* w;
  const void* scales;  // of w
  const void* zeros;
  const float* bias;
  void* y;
  int64_t x_row_bytes;
  int64_t x_scales_stride;
  int64_t w_row_bytes;
  int64_t y_stride;
  int num_tokens;
  int num_rows;  // of w
  int num_columns;
  int num_groups;
  int group;
  DType scale_dtype;
  bool x_aligned;
  bool w_aligned;
  bool is_fp32;  // y
};

/// Of operands without scales.
inline SimpleLinearParams simple_linear_params(const TensorView& x, const TensorView& w,
                                               const TensorView& bias, const TensorView& y) {
  const int64_t x_row_bytes = x.row_stride * static_cast<int64_t>(dtype_bytes(x.dtype));
  const int64_t w_row_bytes = w.row_stride * static_cast<int64_t>(dtype_bytes(w.dtype));
  return {.x = x.as<const unsigned char>(),
          .x_scales = nullptr,
          .w = w.as<const unsigned char>(),
          .scales = nullptr,
          .zeros = nullptr,
          .bias = bias.as<const float>(),
          .y = y.data,
          .x_row_bytes = x_row_bytes,
          .x_scales_stride = 0,
          .w_row_bytes = w_row_bytes,
          .y_stride = y.row_stride,
          .num_tokens = static_cast<int>(y.shape[0]),
          .num_rows = static_cast<int>(y.shape[1]),
          .num_columns = static_cast<int>(x.shape[1]),
          .num_groups = 1,
          .group = static_cast<int>(x.shape[1]),
          .scale_dtype = DType::fp32,
          .x_aligned = is_aligned_16(x.data, x_row_bytes),
          .w_aligned = is_aligned_16(w.data, w_row_bytes),
          .is_fp32 = y.dtype == DType::fp32};
}

/// The same with the weight's scales and zeros, of an op's arguments.
template <typename Args>
SimpleLinearParams scaled_linear_params(const Args& args) {
  SimpleLinearParams params = simple_linear_params(args.x, args.w, args.bias, args.y);
  params.scales = args.w_scales.data;
  params.zeros = args.w_zeros.data;
  params.num_groups = static_cast<int>(args.num_groups());
  params.group = static_cast<int>(args.group());
  params.scale_dtype = args.w_scales.dtype;
  return params;
}

/// Which token and row a warp begins with.
template <int kTokens>
__device__ inline int simple_first_token() {
  return static_cast<int>(blockIdx.x) * kTokens;
}
__device__ inline int simple_first_row() {
  return (static_cast<int>(blockIdx.y) * kSimpleWarps + static_cast<int>(threadIdx.x) / kLanes) *
         kSimpleRowsPerWarp;
}

/// Adds the bias, rounds once.
__device__ inline void store_linear(const SimpleLinearParams& p, int token, int row, float y) {
  if (p.bias != nullptr) y += p.bias[row];
  const int64_t to = token * p.y_stride + row;
  if (p.is_fp32)
    static_cast<float*>(p.y)[to] = y;
  else
    static_cast<Bf16*>(p.y)[to] = to_bf16(y);
}

/// `one` is the kernel of one token a block, `many` of kSimpleManyTokens.
inline void launch_simple_linear(CudaStream& stream, const char* name,
                                 void (*one)(SimpleLinearParams), void (*many)(SimpleLinearParams),
                                 const SimpleLinearParams& params) noexcept {
  constexpr int kRowsPerBlock = kSimpleWarps * kSimpleRowsPerWarp;
  const bool is_one = params.num_tokens == 1;
  const int per_block = is_one ? 1 : kSimpleManyTokens;
  // Blocks of the same rows of w are neighbours, so that it is read from memory once.
  const dim3 grid(static_cast<unsigned>((params.num_tokens + per_block - 1) / per_block),
                  static_cast<unsigned>((params.num_rows + kRowsPerBlock - 1) / kRowsPerBlock));
  launch(stream, name, is_one ? one : many, {.grid = grid, .block = dim3(kSimpleThreads)}, params);
}

}  // namespace veloz::cuda
