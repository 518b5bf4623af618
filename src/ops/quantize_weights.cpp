// SPDX-License-Identifier: Apache-2.0
#include "ops/quantize_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/fp8.h"
#include "ops/element.h"
#include "ops/quantize.h"
#include "ops/quantized_linear.h"

namespace veloz::ops {
namespace {

constexpr float kUint4Max = 15;
constexpr float kSymmetricUint4Limit = 7;
constexpr float kNoNumber = std::numeric_limits<float>::quiet_NaN();

/// Smallest and largest value of a group, zero included; NaN where a value is not finite.
struct Range {
  float low = 0;
  float high = 0;
  float amax() const { return std::max(-low, high); }
};

Range range_of(const TensorView& w, int64_t row, int64_t begin, int64_t end) {
  Range range;
  for (int64_t k = begin; k < end; ++k) {
    const float value = load_element(w, row, k);
    if (!std::isfinite(value)) return {kNoNumber, kNoNumber};
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  return range;
}

float choose_scale(const Range& range, DType dtype, bool has_zeros) {
  if (std::isnan(range.low)) return kNoNumber;
  if (has_zeros) return (range.high - range.low) / kUint4Max;
  return symmetric_scale(range.amax(), dtype);
}

void store_code(const TensorView& codes, int64_t row, int64_t k, float scaled, float zero) {
  switch (codes.dtype) {
    case DType::int8:
      codes.row<int8_t>(row)[k] =
          static_cast<int8_t>(std::nearbyint(std::clamp(scaled, -kInt8Limit, kInt8Limit)));
      return;
    case DType::fp8_e4m3:
      codes.row<Fp8E4M3>(row)[k] = Fp8E4M3(scaled);
      return;
    default: {
      const float code = std::clamp(std::nearbyint(scaled) + zero, 0.0f, kUint4Max);
      const auto bits = static_cast<uint8_t>(code);
      uint8_t& pair = codes.row<uint8_t>(row)[k / 2];
      pair = k % 2 == 0 ? static_cast<uint8_t>((pair & 0xf0) | bits)
                        : static_cast<uint8_t>((pair & 0x0f) | (bits << 4));
    }
  }
}

}  // namespace

void quantize_weights(const TensorView& w, const TensorView& codes, const TensorView& scales,
                      const TensorView& zeros) {
  choose_scales(w, codes.dtype, scales, zeros);
  encode_weights(w, scales, zeros, codes);
}

void choose_scales(const TensorView& w, DType codes, const TensorView& scales,
                   const TensorView& zeros) {
  VELOZ_CHECK(w.shape[1] % scales.shape[1] == 0, "{} columns in {} groups", w.shape[1],
              scales.shape[1]);
  const bool has_zeros = zeros.data != nullptr;
  const int64_t group = w.shape[1] / scales.shape[1];
  for (int64_t n = 0; n < w.shape[0]; ++n) {
    for (int64_t g = 0; g < scales.shape[1]; ++g) {
      const Range range = range_of(w, n, g * group, (g + 1) * group);
      const float scale = store_scale(scales, n, g, choose_scale(range, codes, has_zeros));
      if (!has_zeros) continue;
      const float zero =
          scale > 0 ? std::clamp(std::nearbyint(-range.low / scale), 0.0f, kUint4Max) : 0;
      zeros.row<uint8_t>(n)[g] = static_cast<uint8_t>(zero);
    }
  }
}

void encode_weights(const TensorView& w, const TensorView& scales, const TensorView& zeros,
                    const TensorView& codes) {
  const int64_t group = w.shape[1] / scales.shape[1];
  for (int64_t n = 0; n < w.shape[0]; ++n) {
    for (int64_t g = 0; g < scales.shape[1]; ++g) {
      const float scale = scale_element(scales, n, g);
      const float zero = zero_element(codes, zeros, n, g);
      const bool is_usable = scale > 0;  // neither zero nor NaN
      for (int64_t k = g * group; k < (g + 1) * group; ++k)
        store_code(codes, n, k, is_usable ? load_element(w, n, k) / scale : 0, zero);
    }
  }
}

float symmetric_scale(float amax, DType codes) {
  switch (codes) {
    case DType::int8:
      return amax / kInt8Limit;
    case DType::fp8_e4m3:
      return amax / Fp8E4M3::kMax;
    default:
      return amax / kSymmetricUint4Limit;
  }
}

float store_scale(const TensorView& scales, int64_t row, int64_t group, float scale) {
  if (scales.dtype == DType::fp16)
    scales.row<uint16_t>(row)[group] = fp32_to_fp16(scale);
  else
    store_element(scales, row, group, scale);
  return scale_element(scales, row, group);
}

void dequantize_weights(const TensorView& codes, const TensorView& scales, const TensorView& zeros,
                        const TensorView& w) {
  const int64_t group = w.shape[1] / scales.shape[1];
  for (int64_t n = 0; n < w.shape[0]; ++n)
    for (int64_t k = 0; k < w.shape[1]; ++k)
      w.row<float>(n)[k] = (weight_code(codes, n, k) - zero_element(codes, zeros, n, k / group)) *
                           scale_element(scales, n, k / group);
}

}  // namespace veloz::ops
