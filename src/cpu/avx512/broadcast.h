// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace veloz::cpu {
namespace {

/// Four bytes of x in every lane.
__m512i broadcast(const char* x) {
  int32_t value;
  __builtin_memcpy(&value, x, sizeof(value));
  return _mm512_set1_epi32(value);
}

/// Fewer than four bytes of x, and zeros.
[[maybe_unused]] __m512i broadcast_part(const char* x, int64_t bytes) {
  int32_t value = 0;
  __builtin_memcpy(&value, x, static_cast<size_t>(bytes));
  return _mm512_set1_epi32(value);
}

}  // namespace
}  // namespace veloz::cpu
