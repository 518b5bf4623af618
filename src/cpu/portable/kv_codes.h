// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "base/fp8.h"
#include "cpu/portable/lanes.h"

namespace veloz::cpu {
namespace {

// Every instruction set has a kv_codes.h with these.

constexpr int64_t kWidenedCodes = 16;  // that a function below takes at once

void store_as_bf16(char* values, int64_t i, float value) {
  const uint16_t bits = BFloat16(value).bits;
  std::memcpy(values + 2 * i, &bits, sizeof(bits));
}

/// Codes of fp8_e4m3 as bf16, which holds them all; NaN stays NaN.
void widen_fp8(const char* codes, char* values) {
  for (int64_t i = 0; i < kWidenedCodes; ++i)
    store_as_bf16(values, i, static_cast<float>(std::bit_cast<Fp8E4M3>(codes[i])));
}

/// Codes of int8 as bf16, which holds them all.
void widen_int8(const char* codes, char* values) {
  for (int64_t i = 0; i < kWidenedCodes; ++i)
    store_as_bf16(values, i, static_cast<float>(static_cast<int8_t>(codes[i])));
}

/// 16 fp32 below 2^15 in magnitude as int16, rounded to nearest even; NaN as anything.
void store_int16(void* to, const Lanes::F& a) {
  const Lanes::F rounded = Lanes::round(a);
  int16_t values[16];
  for (int i = 0; i < 16; ++i)
    values[i] =
        rounded.lane[i] == rounded.lane[i] ? static_cast<int16_t>(rounded.lane[i]) : int16_t{0};
  std::memcpy(to, values, sizeof(values));
}

}  // namespace
}  // namespace veloz::cpu
