// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/scale_type.h"

namespace veloz::cpu {
namespace {

/// The 16 scales of a panel for one group; `Simd` is the Lanes of an instruction set.
template <typename Simd>
typename Simd::F load_scales(const char* scales, ScaleType type) {
  if (type == ScaleType::fp32) return Simd::load(reinterpret_cast<const float*>(scales));
  return type == ScaleType::bf16 ? Simd::load_bf16(scales) : Simd::load_fp16(scales);
}

}  // namespace
}  // namespace veloz::cpu
