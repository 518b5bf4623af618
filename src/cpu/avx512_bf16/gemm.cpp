// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/int16_by_int8.h"
#include "cpu/avx512/pack_rows.h"
#include "cpu/avx512_bf16/dot_bf16.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Pairs of int16 by pairs of int8.
struct DotInt16ByInt8 : Int16AndInt8 {
  static I multiply_add(I sums, Inputs inputs, Weights weights) {
    // As text: of the intrinsic GCC 12 stores the accumulator in every step.
    asm("vpdpwssd %2, %1, %0" : "+v"(sums) : "v"(inputs), "v"(weights));
    return sums;
  }
};

}  // namespace

// 6 x 4 accumulators, 4 weights and 1 input fill 29 of 32 registers.
constexpr GemmMicro kGemmAvx512DotBf16 = make_gemm_micro<DotBf16, 6, 4>(pack_pass_rows);
constexpr GemmMicro kGemmAvx512DotInt16ByInt8 = make_gemm_micro<DotInt16ByInt8, 6, 4>();

}  // namespace veloz::cpu
