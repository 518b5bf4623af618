// SPDX-License-Identifier: Apache-2.0
#include "cuda/linear.h"
#include "cuda/ptx/dependent_launch.h"
#include "cuda/simple_linear_parts.h"

/// quantized_linear for every pair of dtypes; sums of integers are exact.
namespace veloz::cuda {
namespace {

using Params = SimpleLinearParams;

/// sum + the four products of int8 in the bytes of a and b.
__device__ inline int dot_int8(uint32_t a, uint32_t b, int sum) {
#if VELOZ_DEVICE_CODE
  return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
#else
  for (int i = 0; i < 32; i += 8)
    sum += static_cast<int8_t>((a >> i) & 0xffu) * static_cast<int8_t>((b >> i) & 0xffu);
  return sum;
#endif
}

/// Bytes 0 and 2 (or 1 and 3) of `low` and then of `high`.
__device__ inline uint32_t every_second_byte(uint32_t low, uint32_t high, bool odd) {
#if VELOZ_DEVICE_CODE
  return __byte_perm(low, high, odd ? 0x7531 : 0x6420);
#else
  const int shift = odd ? 8 : 0;
  low >>= shift;
  high >>= shift;
  return (low & 0xffu) | ((low >> 8) & 0xff00u) | (high & 0xffu) << 16 |
         ((high << 8) & 0xff000000u);
#endif
}

/// int8 by int8: one exact sum over K.
struct Int8ByInt8 {
  static constexpr int kChunk = 16;
  static constexpr int kWeightBytes = 16;
  using Sum = int;
  struct Weight {
    RowChunk<16> codes;
  };
  __device__ static Weight decode(const Params&, int, int, const RowChunk<16>& codes) {
    return {codes};
  }
  __device__ static void add(const Params&, int, int, const Weight& w, const RowChunk<16>& x,
                             Sum& sum) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sum = dot_int8(x.words[i], w.codes.words[i], sum);
  }
  __device__ static float finish(const Params& p, int token, int row, Sum sum) {
    return static_cast<float>(sum) * static_cast<const float*>(p.scales)[row] *
           p.x_scales[token * p.x_scales_stride];
  }
};

/// fp8 by fp8, one group.
struct Fp8ByFp8 {
  static constexpr int kChunk = 16;
  static constexpr int kWeightBytes = 16;
  using Sum = float;
  struct Weight {
    float codes[kChunk];
  };
  __device__ static Weight decode(const Params&, int, int, const RowChunk<16>& codes) {
    Weight w;
#pragma unroll
    for (int i = 0; i < kChunk; ++i) w.codes[i] = chunk_element<E4M3>(codes, i);
    return w;
  }
  __device__ static void add(const Params&, int, int, const Weight& w, const RowChunk<16>& x,
                             Sum& sum) {
#pragma unroll
    for (int i = 0; i < kChunk; ++i) sum = fmaf(chunk_element<E4M3>(x, i), w.codes[i], sum);
  }
  __device__ static float finish(const Params& p, int token, int row, Sum sum) {
    return sum * static_cast<const float*>(p.scales)[row] * p.x_scales[token * p.x_scales_stride];
  }
};

/// fp8 by fp8, groups on both sides.
struct GroupedFp8 {
  static constexpr int kChunk = 16;
  static constexpr int kWeightBytes = 16;
  using Sum = float;
  struct Weight {
    float codes[kChunk];
    float scale;
  };
  __device__ static Weight decode(const Params& p, int row, int column, const RowChunk<16>& codes) {
    Weight w;
#pragma unroll
    for (int i = 0; i < kChunk; ++i) w.codes[i] = chunk_element<E4M3>(codes, i);
    w.scale = static_cast<const float*>(
        p.scales)[static_cast<int64_t>(row) * p.num_groups + column / p.group];
    return w;
  }
  __device__ static void add(const Params& p, int token, int column, const Weight& w,
                             const RowChunk<16>& x, Sum& sum) {
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kChunk; ++i) dot = fmaf(chunk_element<E4M3>(x, i), w.codes[i], dot);
    const float scale = p.x_scales[token * p.x_scales_stride + column / p.group];
    sum = fmaf(dot, scale * w.scale, sum);
  }
  __device__ static float finish(const Params&, int, int, Sum sum) { return sum; }
};

/// int8 by uint4, groups of the weight; the sum of a chunk is exact.
struct Int8ByUint4 {
  static constexpr int kChunk = 32;
  static constexpr int kWeightBytes = 16;
  using Sum = float;
  struct Weight {
    RowChunk<16> codes;
    int zero;
    float scale;
  };
  __device__ static Weight decode(const Params& p, int row, int column, const RowChunk<16>& codes) {
    const int64_t index = static_cast<int64_t>(row) * p.num_groups + column / p.group;
    return {codes, p.zeros == nullptr ? 8 : static_cast<const uint8_t*>(p.zeros)[index],
            load_scale(p.scales, p.scale_dtype, index)};
  }
  __device__ static void add(const Params&, int, int, const Weight& w, const RowChunk<32>& x,
                             Sum& sum) {
    constexpr uint32_t kNibbles = 0x0f0f0f0fu;
    int dot = 0, total = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t even = every_second_byte(x.words[2 * i], x.words[2 * i + 1], false);
      const uint32_t odd = every_second_byte(x.words[2 * i], x.words[2 * i + 1], true);
      dot = dot_int8(even, w.codes.words[i] & kNibbles, dot);
      dot = dot_int8(odd, (w.codes.words[i] >> 4) & kNibbles, dot);
      total = dot_int8(even, 0x01010101u, total);
      total = dot_int8(odd, 0x01010101u, total);
    }
    sum = fmaf(static_cast<float>(dot - w.zero * total), w.scale, sum);
  }
  __device__ static float finish(const Params& p, int token, int, Sum sum) {
    return sum * p.x_scales[token * p.x_scales_stride];
  }
};

template <typename Math, int kTokens>
__global__ void __launch_bounds__(kSimpleThreads) simple_quantized_linear_kernel(const Params p) {
  constexpr int kChunk = Math::kChunk;
  wait_for_previous_kernel();
  allow_next_kernel();
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int token = simple_first_token<kTokens>();
  const int row = simple_first_row();
  if (row >= p.num_rows) return;

  typename Math::Sum sums[kSimpleRowsPerWarp][kTokens] = {};
  for (int column = lane * kChunk; column < p.num_columns; column += kLanes * kChunk) {
    typename Math::Weight w[kSimpleRowsPerWarp];
#pragma unroll
    for (int r = 0; r < kSimpleRowsPerWarp; ++r) {
      constexpr int kPerByte = kChunk / Math::kWeightBytes;
      const int from_row = min(row + r, p.num_rows - 1);
      const auto codes =
          load_row_chunk<Math::kWeightBytes, 1>(p.w + from_row * p.w_row_bytes + column / kPerByte,
                                                (p.num_columns - column) / kPerByte, p.w_aligned);
      w[r] = Math::decode(p, from_row, column, codes);
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const int from_token = min(token + t, p.num_tokens - 1);
      const auto x = load_row_chunk<kChunk, 1>(p.x + from_token * p.x_row_bytes + column,
                                               p.num_columns - column, p.x_aligned);
#pragma unroll
      for (int r = 0; r < kSimpleRowsPerWarp; ++r)
        Math::add(p, from_token, column, w[r], x, sums[r][t]);
    }
  }
#pragma unroll
  for (int r = 0; r < kSimpleRowsPerWarp; ++r) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const auto sum = sum_lanes(sums[r][t]);
      if (lane != 0 || token + t >= p.num_tokens || row + r >= p.num_rows) continue;
      store_linear(p, token + t, row + r, Math::finish(p, token + t, row + r, sum));
    }
  }
}

template <typename Math>
void run(CudaStream& stream, const Params& params) {
  launch_simple_linear(stream, "quantized_linear", simple_quantized_linear_kernel<Math, 1>,
                       simple_quantized_linear_kernel<Math, kSimpleManyTokens>, params);
}

}  // namespace

void simple_quantized_linear(ops::OpContext& context,
                             const ops::QuantizedLinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  Params params = scaled_linear_params(args);
  params.x_scales = args.x_scales.as<const float>();
  params.x_scales_stride = args.x_scales.row_stride;
  if (args.w.dtype == DType::uint4x2)
    run<Int8ByUint4>(stream_of(context), params);
  else if (args.w.dtype == DType::int8)
    run<Int8ByInt8>(stream_of(context), params);
  else if (params.num_groups == 1)
    run<Fp8ByFp8>(stream_of(context), params);
  else
    run<GroupedFp8>(stream_of(context), params);
}

}  // namespace veloz::cuda
