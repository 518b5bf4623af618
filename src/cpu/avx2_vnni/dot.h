// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

namespace veloz::cpu {
namespace {

/// sums + four products of unsigned by signed codes a lane, without saturation. Text, because of
/// GCC (avx512_vnni/dot.h), and with registers alone, so that tests can do what a processor lacks.
__m256i add_dot(__m256i sums, __m256i unsigned_codes, __m256i signed_codes) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(unsigned_codes), "x"(signed_codes));
  return sums;
}

}  // namespace
}  // namespace veloz::cpu
