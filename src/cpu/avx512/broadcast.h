// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace veloz::cpu {
namespace {

/// Four bytes of x in every lane.
__m512i broadcast(const char* x) {
  int32_t value;
  __builtin_memcpy(&value, x, sizeof(value));
  return _mm512_set1_epi32(value);
}

/// Two bytes of x and two zeros.
__m512i broadcast_half(const char* x) {
  uint16_t value;
  __builtin_memcpy(&value, x, sizeof(value));
  return _mm512_set1_epi32(value);
}

}  // namespace
}  // namespace veloz::cpu
