// SPDX-License-Identifier: Apache-2.0
#include "cpu/peak_loops.h"

#include <cstdint>

#include "cpu/read_loop.h"

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

void run_peak_int16_avx512(int64_t rounds) {
  asm volatile(
      "vpxord %%zmm30, %%zmm30, %%zmm30\n\t"
      "vpxord %%zmm31, %%zmm31, %%zmm31\n\t"
      "1:\n\t"
      ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11\n\t"
      "vpmaddwd %%zmm30, %%zmm31, %%zmm12\n\t"
      "vpaddd %%zmm12, %%zmm\\n, %%zmm\\n\n\t"
      ".endr\n\t"
      "dec %0\n\t"
      "jnz 1b"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm30", "xmm31", "cc");
}

uint64_t read_all_avx512(const std::byte* memory, size_t bytes) { return read_all(memory, bytes); }

}  // namespace veloz::cpu
