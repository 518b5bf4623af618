// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/broadcast.h"
#include "cpu/avx2/lanes.h"
#include "cpu/avx2_vnni/dot.h"
#include "cpu/gemm_loop.h"

namespace veloz::cpu {
namespace {

/// Four products a lane, in one instruction that does not saturate.
struct DotInt8 : Int32Sums {
  using Weights = I;
  using Inputs = __m256i;
  static Weights load_weights(const char* w) { return load_int(w); }
  static Inputs load_inputs(const char* x) { return broadcast(x); }
  static Inputs load_part_inputs(const char* x, int64_t bytes) { return broadcast_part(x, bytes); }
  static I multiply_add(const I& sums, Inputs inputs, const Weights& weights) {
    return {add_dot(sums.low, weights.low, inputs), add_dot(sums.high, weights.high, inputs)};
  }
};

}  // namespace

// 6 x 1 panel of two registers, 2 weights and 1 input fill 15 of 16.
constexpr GemmMicro kGemmAvx2DotInt8 = make_gemm_micro<DotInt8, 6, 1>();

}  // namespace veloz::cpu
