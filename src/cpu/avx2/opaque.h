// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

namespace veloz::cpu {
namespace {

/// `a`, of which the compiler knows nothing more. Around every sum it keeps GCC from adding
/// products to each other first, which takes more registers than there are.
__m256i opaque(__m256i a) {
  asm("" : "+x"(a));
  return a;
}

}  // namespace
}  // namespace veloz::cpu
