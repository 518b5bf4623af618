// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "ops/kernel.h"

namespace veloz::cpu {

/// Matrices for `linear`: panels of 16 output channels, the last one filled up with zeros. Within a
/// panel one fp32 (or a pair of bf16, odd K filled up with a zero) of each channel lies side by
/// side, so that SIMD lanes are channels and one packing serves one token and a thousand.
///   n16_fp32    [ceil(N / 16), K, 16]
///   n16k2_bf16  [ceil(N / 16), ceil(K / 2), 16, 2]
inline constexpr std::string_view kLayoutFp32 = "n16_fp32";
inline constexpr std::string_view kLayoutBf16 = "n16k2_bf16";

/// Weights of 8 bits, four of K of each channel in a step.
///   n16k4_int8  [ceil(N / 16), ceil(K / 4), 16, 4], as code + 128: vpdpbusd multiplies unsigned
///               weights by signed activations
///   n16k4_fp8   [ceil(N / 16), ceil(K / 4), 4, 2, 4, 2]: within each 16 bytes two pairs of K of
///               four channels, so that unpacking bytes to bf16 gives two steps of n16k2_bf16
inline constexpr std::string_view kLayoutInt8 = "n16k4_int8";
inline constexpr std::string_view kLayoutFp8 = "n16k4_fp8";

/// Weights of 4 bits, of Shape [N, K / 2]: eight of K of each channel in four bytes (uint4_tile.h).
///   n16k8_uint4x2  [ceil(N / 16), ceil(K / 8), 16, 4] bytes
inline constexpr std::string_view kLayoutUint4x2 = "n16k8_uint4x2";

/// Scales and zeros [N, G] of quantized weights, the companion of their panels.
///   n16  [ceil(N / 16), G, 16]
inline constexpr std::string_view kLayoutCompanion = "n16";

/// These, and "plain".
std::vector<ops::WeightLayout> weight_layouts();

}  // namespace veloz::cpu
