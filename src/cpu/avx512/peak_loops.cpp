// SPDX-License-Identifier: Apache-2.0
#include "cpu/peak_loops.h"

#include <immintrin.h>

#include <cstdint>

namespace veloz::cpu {
namespace {

// The instruction is text, so it cannot be a function's argument.
#define VELOZ_PEAK_LOOP(instruction)                                                              \
  asm volatile(                                                                                   \
      "vpxord %%zmm30, %%zmm30, %%zmm30\n\t"                                                      \
      "vpxord %%zmm31, %%zmm31, %%zmm31\n\t"                                                      \
      "1:\n\t"                                                                                    \
      ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n\t" instruction     \
      " %%zmm30, %%zmm31, %%zmm\\n\n\t"                                                           \
      ".endr\n\t"                                                                                 \
      "dec %0\n\t"                                                                                \
      "jnz 1b"                                                                                    \
      : "+r"(rounds)                                                                              \
      :                                                                                           \
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",  \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", \
        "xmm21", "xmm22", "xmm23", "xmm30", "xmm31", "cc")

}  // namespace

void run_peak_fma_avx512(int64_t rounds) { VELOZ_PEAK_LOOP("vfmadd231ps"); }
void run_peak_bf16_avx512(int64_t rounds) { VELOZ_PEAK_LOOP("vdpbf16ps"); }
void run_peak_int8_avx512(int64_t rounds) { VELOZ_PEAK_LOOP("vpdpbusd"); }

#undef VELOZ_PEAK_LOOP

uint64_t read_all_avx512(const std::byte* memory, size_t bytes) {
  constexpr size_t kLoads = 4, kStep = kReadBytes / kLoads;
  __m512i sums[kLoads] = {};
  for (size_t at = 0; at < bytes; at += kReadBytes)
    for (size_t i = 0; i < kLoads; ++i) {
      const std::byte* const from = memory + at + i * kStep;
      __builtin_prefetch(from + kReadAhead);
      sums[i] = _mm512_xor_si512(sums[i], _mm512_loadu_si512(from));
    }
  for (size_t i = 1; i < kLoads; ++i) sums[0] = _mm512_xor_si512(sums[0], sums[i]);
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(sums[0]));
}

}  // namespace veloz::cpu
