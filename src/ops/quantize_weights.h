// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/tensor_view.h"

namespace veloz::ops {

/// Round to nearest, with one scale per group of columns of each row: what `quantize` does to
/// activations, for weights. Codes are what quantized_linear and weight_only_linear read.
///
/// w       [N, K] fp32, or bf16
/// codes   [N, K] int8 or fp8_e4m3, or [N, K / 2] uint4x2
/// scales  [N, G] fp32, bf16 or fp16; rounded first, codes are made with the rounded scale
/// zeros   [N, G] uint8 for asymmetric uint4x2; data null: symmetric
///
/// 8-bit: scale = amax / 127 or amax / 448. uint4x2, symmetric: scale = amax / 7, codes 8 + -7 ...
/// 7
/// (-8 is left out, so that a weight and its negative have mirrored codes). Asymmetric: scale =
/// (max(0, largest) - min(0, smallest)) / 15, zero = round(-min / scale). A group of zeros has
/// scale 0. Values that are not finite: the group's scale is NaN.
void quantize_weights(const TensorView& w, const TensorView& codes, const TensorView& scales,
                      const TensorView& zeros);

/// The two halves of it. The scales and zeros of `w` for codes of a dtype:
void choose_scales(const TensorView& w, DType codes, const TensorView& scales,
                   const TensorView& zeros);
/// The codes of `w` under scales and zeros that are given; a scale that is not above zero gives the
/// code of zero.
void encode_weights(const TensorView& w, const TensorView& scales, const TensorView& zeros,
                    const TensorView& codes);

/// The symmetric scale of weights up to `amax`.
float symmetric_scale(float amax, DType codes);
/// Stores a scale, rounded to the dtype of `scales` (fp32, bf16 or fp16), and returns what is
/// stored.
float store_scale(const TensorView& scales, int64_t row, int64_t group, float scale);

/// The inverse, in fp32: w[n, k] = (code - zero) * scale. w is [N, K] fp32.
void dequantize_weights(const TensorView& codes, const TensorView& scales, const TensorView& zeros,
                        const TensorView& w);

}  // namespace veloz::ops
