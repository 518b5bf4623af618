// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cuda/alignment.h"
#include "cuda/gemm.h"
#include "cuda/gemm_kernel.h"
#include "cuda/launch.h"

/// From a call to a kernel, for one kind of numbers; each kind is a file of its own, as its tiles
/// take long to compile.
namespace veloz::cuda {

inline bool encode_operand(const TensorView& matrix, int tile_rows, TensorMap& map) noexcept {
  return encode_tensor_map(
      {.data = matrix.data,
       .dtype = matrix.dtype,
       .rows = matrix.shape[0],
       .columns = matrix.shape[1],
       .row_bytes = matrix.row_stride * static_cast<int64_t>(dtype_bytes(matrix.dtype)),
       .tile_rows = tile_rows},
      map);
}

template <typename Math, int kRows, int kTokens>
bool launch_gemm_tile(CudaStream& stream, const GemmCall& call) noexcept {
  using Shape = GemmShape<kRows, kTokens>;
  const int64_t num_tokens = call.y.shape[0], num_rows = call.y.shape[1];
  // Where there are fewer tokens than a tile has, the products' other columns are of what the ring
  // held before: nobody reads them, and rows that are not there cost a copy as those that are.
  const int num_copied_tokens = static_cast<int>(std::min<int64_t>(num_tokens, kTokens));
  TensorMap w_map, x_map;
  if (!encode_operand(call.w, kRows, w_map) || !encode_operand(call.x, num_copied_tokens, x_map))
    return false;
  const int64_t y_row_bytes = call.y.row_stride * static_cast<int64_t>(dtype_bytes(call.y.dtype));
  const GemmParams params{
      .y = call.y.data,
      .x_scales = call.x_scales.as<const float>(),
      .w_scales = call.w_scales.as<const float>(),
      .bias = call.bias.as<const float>(),
      .y_stride = call.y.row_stride,
      .x_scales_stride = call.x_scales.row_stride,
      .num_tokens = static_cast<int>(num_tokens),
      .num_rows = static_cast<int>(num_rows),
      .num_slices =
          static_cast<int>((call.x.shape[1] + Math::kSliceElements - 1) / Math::kSliceElements),
      .num_groups = Math::kIsGrouped ? static_cast<int>(call.w_scales.shape[1]) : 1,
      .num_copied_tokens = num_copied_tokens,
      .is_fp32 = call.y.dtype == DType::fp32,
      .is_y_aligned_16 = is_aligned_16(call.y.data, y_row_bytes)};
  const int64_t num_tiles =
      ((num_rows + kRows - 1) / kRows) * ((num_tokens + kTokens - 1) / kTokens);
  const int64_t num_blocks = std::min<int64_t>(
      num_tiles, int64_t{stream.num_multiprocessors()} * Shape::kBlocksPerMultiprocessor);
  launch(stream, "gemm", gemm_kernel<Math, kRows, kTokens>,
         {.grid = dim3(static_cast<unsigned>(num_blocks)),
          .block = dim3(Shape::kThreads),
          .shared_bytes = Shape::kSharedBytes},
         w_map, x_map, params);
  return true;
}

template <typename Math, size_t i>
bool launch_if_tile(CudaStream& stream, const GemmTile& tile, const GemmCall& call,
                    bool& is_launched) noexcept {
  constexpr GemmTile kTile = kGemmTiles[i];
  if constexpr (has_gemm_tile(kTile, Math::kIsGrouped)) {
    if (tile == kTile) {
      is_launched = launch_gemm_tile<Math, kTile.rows, kTile.tokens>(stream, call);
      return true;
    }
  }
  return false;
}

template <typename Math>
bool launch_gemm(CudaStream& stream, const GemmTile& tile, const GemmCall& call) noexcept {
  bool is_launched = false;
  [&]<size_t... i>(std::index_sequence<i...>) {
    (launch_if_tile<Math, i>(stream, tile, call, is_launched) || ...);
  }
  (std::make_index_sequence<std::size(kGemmTiles)>());
  return is_launched;
}

}  // namespace veloz::cuda
