// SPDX-License-Identifier: Apache-2.0
#include "cpu/peak_loops.h"

#include <cstdint>

#include "cpu/read_loop.h"

namespace veloz::cpu {

void run_peak_fma_avx2(int64_t rounds) {
  // Zeros: no denormals, no power spent on toggling bits, and no trap for a clever compiler.
  asm volatile(
      "vxorps %%ymm14, %%ymm14, %%ymm14\n\t"
      "vxorps %%ymm15, %%ymm15, %%ymm15\n\t"
      "1:\n\t"
      ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11\n\t"
      "vfmadd231ps %%ymm14, %%ymm15, %%ymm\\n\n\t"
      ".endr\n\t"
      "dec %0\n\t"
      "jnz 1b"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm14", "xmm15", "cc");
}

void run_peak_int16_avx2(int64_t rounds) {
  asm volatile(
      "vpxor %%ymm14, %%ymm14, %%ymm14\n\t"
      "vpxor %%ymm15, %%ymm15, %%ymm15\n\t"
      "1:\n\t"
      ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11\n\t"
      "vpmaddwd %%ymm14, %%ymm15, %%ymm13\n\t"
      "vpaddd %%ymm13, %%ymm\\n, %%ymm\\n\n\t"
      ".endr\n\t"
      "dec %0\n\t"
      "jnz 1b"
      : "+r"(rounds)
      :
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm13", "xmm14", "xmm15", "cc");
}

uint64_t read_all_avx2(const std::byte* memory, size_t bytes) { return read_all(memory, bytes); }

}  // namespace veloz::cpu
