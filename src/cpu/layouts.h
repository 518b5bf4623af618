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

/// These two, and "plain".
std::vector<ops::WeightLayout> weight_layouts();

}  // namespace veloz::cpu
