// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cpu/bf16_by_fp32.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

/// 64 codes in order become as many fp32, of each pair the odd one first.
template <typename Decoder>
void widen_fp8_step_to_fp32(const void* codes, char* to) {
  char bf16[2 * kStepBytes];
  widen_fp8_step<Decoder>(codes, bf16);
  for (int64_t i = 0; i < 4; ++i)
    widen_bf16_register(bf16 + i * kStepBytes / 2, to + i * kStepBytes);
}

template <typename Decoder>
void widen_fp8_row_to_fp32(const void* codes, int64_t count, void* to) {
  widen_row<kStepBytes, 4>(codes, count, to, widen_fp8_step_to_fp32<Decoder>);
}

/// A step of codes becomes four of fp32, in the order of their products.
template <typename Decoder>
void expand_fp8_to_fp32(const GemmExpand& expand) {
  for (int64_t i = 0; i < expand.num_steps; ++i) {
    const Fp8Step step = Decoder::decode(Lanes::load_int(expand.w + i * kStepBytes));
    store_halves(step.first, expand.to + 4 * i * kStepBytes);
    store_halves(step.second, expand.to + (4 * i + 2) * kStepBytes);
  }
}

/// Products of codes with rows of fp32, by micro-kernels of Fp8ByFp32<Decoder>.
template <typename Decoder>
using Fp8ByFp32 = Fp8As<Decoder, Bf16ByFp32>;
template <typename Decoder>
constexpr GemmMicro fp8_by_fp32(const GemmMicro& micro, const GemmExpansion& expansion) {
  return expanding(widening(micro, widen_fp8_row_to_fp32<Decoder>), expansion);
}

/// To convert codes takes as long as to multiply them with four rows.
constexpr int64_t kMinFp8Tiles = 2;

}  // namespace
}  // namespace veloz::cpu
