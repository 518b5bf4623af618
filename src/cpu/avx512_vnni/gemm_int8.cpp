// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/broadcast.h"
#include "cpu/avx512/int16_by_int8.h"
#include "cpu/avx512/lanes.h"
#include "cpu/avx512/pack_rows.h"
#include "cpu/avx512_vnni/dot.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Four products a lane, in one instruction that does not saturate.
struct DotInt8 : Int32Sums {
  using Weights = __m512i;
  using Inputs = __m512i;
  static Weights load_weights(const char* w) { return _mm512_loadu_si512(w); }
  static Inputs load_inputs(const char* x) { return broadcast(x); }
  static Inputs load_part_inputs(const char* x, int64_t bytes) { return broadcast_part(x, bytes); }
  static I multiply_add(I sums, Inputs inputs, Weights weights) {
    return add_dot(sums, weights, inputs);
  }
};

/// For Intel's processors, which read a single row's weights a tenth faster when asked ahead.
struct DotInt8Ahead : DotInt8 {
  static constexpr bool kRowRunsAhead = true;
};

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
constexpr GemmMicro kGemmAvx512DotInt8 = make_gemm_micro<DotInt8, 6, 4>(pack_pass_rows);
constexpr GemmMicro kGemmAvx512DotInt8Ahead = make_gemm_micro<DotInt8Ahead, 6, 4>(pack_pass_rows);
constexpr GemmMicro kGemmAvx512DotInt16ByInt8 = make_gemm_micro<DotInt16ByInt8, 6, 4>();

}  // namespace veloz::cpu
