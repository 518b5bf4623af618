// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/block_reduce.h"
#include "cuda/chunk.h"
#include "cuda/quantize_value.h"
#include "cuda/row_block.h"
#include "ops/quantize.h"

/// Codes and scales of a row, the output of `quantize` and of the ops that quantize their own. The
/// block has the row to itself.
namespace veloz::cuda {

struct RowCodes {
  uint8_t* codes = nullptr;  // null where the row is not quantized
  float* scales = nullptr;
  int64_t codes_stride = 0;
  int64_t scales_stride = 0;
  int64_t group = 0;
  float fixed_scale = 0;  // 0: each group has its own
  bool is_int8 = false;

  static RowCodes of(const ops::QuantizeArgs& args) {
    return {.codes = args.codes.as<uint8_t>(),
            .scales = args.scales.as<float>(),
            .codes_stride = args.codes.row_stride,
            .scales_stride = args.scales.row_stride,
            .group = args.group(),
            .fixed_scale = args.scale.value_or(0.0f),
            .is_int8 = args.codes.dtype == DType::int8};
  }
  /// Whether quantize_in_registers can write them: for rows of whole chunks.
  bool fit_registers(int64_t columns) const {
    constexpr uintptr_t kStore = 8;
    return is_register_group(columns, group) && codes_stride % 8 == 0 &&
           reinterpret_cast<uintptr_t>(codes) % kStore == 0;
  }
};

__device__ inline GroupScale scale_of(const RowCodes& out, uint32_t amax) {
  if (out.fixed_scale != 0) return fixed_group_scale(amax, out.fixed_scale);
  return group_scale(amax, out.is_int8 ? kInt8Limit : kE4M3Limit);
}

template <typename T>
__device__ inline void store_codes(uint8_t* to, const Chunk<T>& chunk, float inverse,
                                   bool is_int8) {
  float values[kChunk];
  unpack(chunk, values);
  uint2 codes = make_uint2(0, 0);
  if (inverse != 0)
    codes = make_uint2(quantize_four(values, inverse, is_int8),
                       quantize_four(values + 4, inverse, is_int8));
  *reinterpret_cast<uint2*>(to) = codes;
}

/// Chunk j of thread i is chunk i + j * threads of the row, zeros beyond its end.
template <typename T, int kChunks>
__device__ inline void quantize_in_registers(Chunk<T> (&y)[kChunks], const RowCodes& out,
                                             int64_t row, int columns) {
  const int first = static_cast<int>(threadIdx.x) * kChunk;
  const int step = static_cast<int>(blockDim.x) * kChunk;
  const int group = static_cast<int>(out.group);
  uint8_t* const codes = out.codes + row * out.codes_stride;
  float* const scales = out.scales + row * out.scales_stride;
  if (group == columns) {
    uint32_t amax = 0;
#pragma unroll
    for (int j = 0; j < kChunks; ++j) amax = max(amax, largest_magnitude(y[j]));
    const GroupScale scale = scale_of(out, block_max<0>(amax));
    if (threadIdx.x == 0) scales[0] = scale.scale;
    keep_packed(y);
#pragma unroll
    for (int j = 0; j < kChunks; ++j)
      if (first + j * step < columns)
        store_codes(codes + first + j * step, y[j], scale.inverse, out.is_int8);
    return;
  }
#pragma unroll
  for (int j = 0; j < kChunks; ++j) {
    const int column = first + j * step;
    uint32_t amax = largest_magnitude(y[j]);
    for (int offset = 1; offset < group / kChunk; offset *= 2)
      amax = max(amax, __shfl_xor_sync(kAllLanes, amax, offset));
    if (column >= columns) continue;
    const GroupScale scale = scale_of(out, amax);
    if ((column & (group - 1)) == 0)  // a power of two
      scales[column >> (__ffs(group) - 1)] = scale.scale;
    store_codes(codes + column, y[j], scale.inverse, out.is_int8);
  }
}

/// Columns [begin, end) of a group, by threads first, first + step, ... of those that share it.
template <typename Y>
__device__ inline uint32_t largest_of(const Y& y, int64_t begin, int64_t end, unsigned step) {
  uint32_t amax = 0;
  for (int64_t i = begin; i < end; i += step) amax = max(amax, magnitude_bits(y(i)));
  return amax;
}
template <typename Y>
__device__ inline void write_codes(const Y& y, const RowCodes& out, int64_t row, int64_t begin,
                                   int64_t end, unsigned step, float inverse) {
  uint8_t* const codes = out.codes + row * out.codes_stride;
  for (int64_t i = begin; i < end; i += step)
    codes[i] = inverse == 0 ? uint8_t{0} : quantize_one(y(i), inverse, out.is_int8);
}

/// Rows of any length, groups of any size: `y(column)` is computed twice. A group is a warp's, or
/// the block's where it is the whole row.
template <typename Y>
__device__ inline void quantize_by_loop(const Y& y, const RowCodes& out, int64_t row,
                                        int64_t columns) {
  float* const scales = out.scales + row * out.scales_stride;
  if (out.group == columns) {
    const GroupScale scale =
        scale_of(out, block_max<1>(largest_of(y, threadIdx.x, columns, blockDim.x)));
    if (threadIdx.x == 0) scales[0] = scale.scale;
    write_codes(y, out, row, threadIdx.x, columns, blockDim.x, scale.inverse);
    return;
  }
  const unsigned lane = threadIdx.x % kWarpSize;
  const unsigned num_warps = blockDim.x / kWarpSize;
  for (int64_t group = threadIdx.x / kWarpSize; group * out.group < columns; group += num_warps) {
    const int64_t begin = group * out.group + lane;
    const int64_t end = (group + 1) * out.group;
    const GroupScale scale =
        scale_of(out, __reduce_max_sync(kAllLanes, largest_of(y, begin, end, kWarpSize)));
    if (lane == 0) scales[group] = scale.scale;
    write_codes(y, out, row, begin, end, kWarpSize, scale.inverse);
  }
}

}  // namespace veloz::cuda
