// SPDX-License-Identifier: Apache-2.0
#include "cpu/peak_loops.h"

#include <immintrin.h>

#include <cstdint>

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

uint64_t read_all_avx2(const std::byte* memory, size_t bytes) {
  constexpr size_t kLoads = 8, kStep = kReadBytes / kLoads;
  __m256i sums[kLoads] = {};
  for (size_t at = 0; at < bytes; at += kReadBytes)
    for (size_t i = 0; i < kLoads; ++i) {
      const std::byte* const from = memory + at + i * kStep;
      if (i % 2 == 0) __builtin_prefetch(from + kReadAhead);  // once a line
      sums[i] =
          _mm256_xor_si256(sums[i], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    }
  for (size_t i = 1; i < kLoads; ++i) sums[0] = _mm256_xor_si256(sums[0], sums[i]);
  return static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 0));
}

}  // namespace veloz::cpu
