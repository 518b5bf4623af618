// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

namespace veloz::cpu {
namespace {

/// sums + four products of unsigned by signed codes a lane, without saturation. Text, because GCC
/// 12 copies accumulators of the intrinsic to the stack in every step of a loop.
__m512i add_dot(__m512i sums, __m512i unsigned_codes, __m512i signed_codes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(unsigned_codes), "v"(signed_codes));
  return sums;
}

}  // namespace
}  // namespace veloz::cpu
