// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/weight_grid.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/fp8.h"
#include "ops/quantize.h"

namespace veloz::compress {
namespace {

constexpr float kUint4Max = 15;
constexpr float kUint4Middle = 8;
constexpr float kUint4Limit = 7;  // symmetric: both signs reach it

/// To nearest even for magnitudes below 2^22, without a call into the library.
float round_even(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: the last place is 1
  return (x + kShift) - kShift;
}

float round_scale(float scale, DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return static_cast<float>(BFloat16(scale));
    case DType::fp16:
      return fp16_to_fp32(fp32_to_fp16(scale));
    default:
      return scale;
  }
}

/// Code of value / scale as a number, of integers.
float integer_code(float scaled, float zero, const WeightFormat& format) {
  if (format.dtype == DType::int8)
    return round_even(std::clamp(scaled, -ops::kInt8Limit, ops::kInt8Limit));
  // Clamped first, so that the sum stays where round_even is exact.
  return std::clamp(round_even(std::clamp(scaled, -kUint4Max, kUint4Max)) + zero, 0.0f, kUint4Max);
}

struct Range {
  float low = 0;
  float high = 0;
  void add(float value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

Range range_of(const float* values, int64_t count) {
  Range range;
  for (int64_t k = 0; k < count; ++k) range.add(values[k]);
  return range;
}

double squared_error(const float* values, int64_t count, const Grid& grid,
                     const WeightFormat& format) {
  double sum = 0;
  for (int64_t k = 0; k < count; ++k) {
    const double error = static_cast<double>(values[k]) -
                         static_cast<double>(round_to_grid(values[k], grid, format));
    sum += error * error;
  }
  return sum;
}

Grid choose_grid(const float* values, int64_t count, const WeightFormat& format,
                 RangeMethod method) {
  const Range range = range_of(values, count);
  Grid best = grid_of(range.low, range.high, format);
  if (method == RangeMethod::amax) return best;
  double best_error = squared_error(values, count, best, format);
  for (int i = 1; i < kRangeParts; ++i) {
    const float part = range_part(i);
    const Grid grid = grid_of(range.low * part, range.high * part, format);
    const double error = squared_error(values, count, grid, format);
    if (error >= best_error) continue;
    best_error = error;
    best = grid;
  }
  return best;
}

}  // namespace

Grid grid_of(float low, float high, const WeightFormat& format) {
  const float amax = std::max(-low, high);
  if (format.dtype == DType::int8)
    return {round_scale(amax / ops::kInt8Limit, format.scale_dtype), 0};
  if (format.dtype == DType::fp8_e4m3)
    return {round_scale(amax / Fp8E4M3::kMax, format.scale_dtype), 0};
  if (!format.has_zeros) return {round_scale(amax / kUint4Limit, format.scale_dtype), kUint4Middle};
  const float scale = round_scale((high - low) / kUint4Max, format.scale_dtype);
  if (scale == 0) return {0, 0};
  return {scale, std::clamp(round_even(std::min(-low / scale, kUint4Max)), 0.0f, kUint4Max)};
}

uint8_t encode(float value, const Grid& grid, const WeightFormat& format) {
  const float scaled = grid.scale > 0 ? value / grid.scale : 0;
  if (format.dtype == DType::fp8_e4m3) return Fp8E4M3(scaled).bits;
  const float code = integer_code(scaled, grid.zero, format);
  if (format.dtype == DType::int8) return static_cast<uint8_t>(static_cast<int8_t>(code));
  return static_cast<uint8_t>(code);
}

float round_to_grid(float value, const Grid& grid, const WeightFormat& format) {
  if (!(grid.scale > 0)) return 0;
  const float scaled = value / grid.scale;
  if (format.dtype == DType::fp8_e4m3) return static_cast<float>(Fp8E4M3(scaled)) * grid.scale;
  return (integer_code(scaled, grid.zero, format) - grid.zero) * grid.scale;
}

void round_to_grids(const float* values, int64_t begin, int64_t count, const Grid* grids,
                    const WeightFormat& format, float* rounded) {
  const int64_t group = format.group == 0 ? begin + count : format.group;
  for (int64_t k = 0; k < count; ++k)
    rounded[k] = round_to_grid(values[k], grids[(begin + k) / group], format);
}

Matrix round_to_grids(const Matrix& w, const WeightGrids& grids, const WeightFormat& format,
                      ThreadPool& pool) {
  Matrix rounded(w.rows, w.columns);
  pool.for_range(w.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      round_to_grids(w.row(n), 0, w.columns, grids.row(n), format, rounded.row(n));
  });
  return rounded;
}

WeightGrids choose_grids(const Matrix& w, const WeightFormat& format, RangeMethod method,
                         ThreadPool& pool) {
  VELOZ_CHECK(method != RangeMethod::percentile, "percentiles are of activations");
  WeightGrids grids{format.num_groups(w.columns), {}};
  grids.grids.resize(static_cast<size_t>(w.rows * grids.groups));
  if (format.is_per_tensor) {
    const Grid grid = choose_grid(w.values.data(), w.rows * w.columns, format, method);
    std::ranges::fill(grids.grids, grid);
    return grids;
  }
  const int64_t group = w.columns / grids.groups;
  pool.for_range(w.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t g = 0; g < grids.groups; ++g)
        grids.row(n)[g] = choose_grid(w.row(n) + g * group, group, format, method);
  });
  return grids;
}

QuantizedWeight encode(const Matrix& w, WeightGrids grids, const WeightFormat& format,
                       ThreadPool& pool) {
  const bool is_paired = format.dtype == DType::uint4x2;
  const int64_t row_bytes = is_paired ? w.columns / 2 : w.columns;
  const int64_t group = w.columns / grids.groups;
  QuantizedWeight quantized{format, w.rows, w.columns, {}, std::move(grids)};
  quantized.codes.resize(static_cast<size_t>(w.rows * row_bytes));
  pool.for_range(w.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      uint8_t* const codes = quantized.codes.data() + n * row_bytes;
      const Grid* const row = quantized.grids.row(n);
      for (int64_t k = 0; k < w.columns; ++k) {
        const uint8_t code = encode(w.row(n)[k], row[k / group], format);
        if (!is_paired)
          codes[k] = code;
        else if (k % 2 == 0)
          codes[k / 2] = code;
        else
          codes[k / 2] = static_cast<uint8_t>(codes[k / 2] | (code << 4));
      }
    }
  });
  return quantized;
}

Matrix decode(const QuantizedWeight& weight, ThreadPool& pool) {
  const WeightFormat& format = weight.format;
  const int64_t group = weight.columns / weight.grids.groups;
  const auto number = [&](int64_t n, int64_t k) {
    const int64_t at = n * weight.columns + k;
    if (format.dtype == DType::uint4x2) {
      const uint8_t pair = weight.codes[static_cast<size_t>(at / 2)];
      return static_cast<float>(k % 2 == 0 ? pair & 15 : pair >> 4);
    }
    const uint8_t code = weight.codes[static_cast<size_t>(at)];
    if (format.dtype == DType::int8) return static_cast<float>(static_cast<int8_t>(code));
    Fp8E4M3 value;
    value.bits = code;
    return static_cast<float>(value);
  };
  Matrix w(weight.rows, weight.columns);
  pool.for_range(w.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t k = 0; k < w.columns; ++k) {
        const Grid& grid = weight.grids.row(n)[k / group];
        w.row(n)[k] = (number(n, k) - grid.zero) * grid.scale;
      }
  });
  return w;
}

}  // namespace veloz::compress
