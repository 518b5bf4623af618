// SPDX-License-Identifier: Apache-2.0
#include "cpu/peak_loops.h"

#include <cstdint>

namespace veloz::cpu {

void run_peak_int8_avx2_vnni(int64_t rounds) {
  asm volatile(
      "vpxor %%ymm14, %%ymm14, %%ymm14\n\t"
      "vpxor %%ymm15, %%ymm15, %%ymm15\n\t"
      "1:\n\t"
      ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11\n\t"
      "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\n\n\t"
      ".endr\n\t"
      "dec %0\n\t"
      "jnz 1b"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm14", "xmm15", "cc");
}

}  // namespace veloz::cpu
