// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/pack_rows.h"
#include "cpu/avx512_bf16/dot_bf16.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {

// 6 x 4 accumulators, 4 weights and 1 input fill 29 of 32 registers.
constexpr GemmMicro kGemmAvx512DotBf16 = make_gemm_micro<DotBf16, 6, 4>(pack_pass_rows);

}  // namespace veloz::cpu
