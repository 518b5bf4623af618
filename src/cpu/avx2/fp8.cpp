// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/fp8_decoder.h"
#include "cpu/avx2/lanes.h"
#include "cpu/avx2/widened_bf16.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

// Tiles as of bf16: the second half of a step waits in memory.
constexpr GemmMicro kWhole = widening(make_gemm_micro<Fp8As<NibbleDecoder, WidenedBf16>, 4, 1>(),
                                      widen_fp8_row<NibbleDecoder>);
constexpr GemmMicro kGrouped =
    widening(make_grouped_gemm_micro<Fp8As<NibbleDecoder, WidenedBf16>, 4, 1>(),
             widen_fp8_row<NibbleDecoder>);
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<WidenedBf16, 4, 1>();

}  // namespace

// To convert codes takes as long as to multiply them with four rows.
constexpr Fp8Micro kFp8Avx2 = {.whole = &kWhole,
                               .whole_expansion = {expand_fp8<NibbleDecoder>, &kGemmAvx2Bf16, 2},
                               .grouped = &kGrouped,
                               .grouped_expansion = {expand_fp8<NibbleDecoder>, &kGroupedBf16, 2}};

}  // namespace veloz::cpu
