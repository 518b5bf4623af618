// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/fp8_decoder.h"
#include "cpu/avx512/lanes.h"
#include "cpu/avx512/widened_bf16.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

// 6 x 1 accumulators leave room for the decoder's tables.
constexpr GemmMicro kWhole = widening(make_gemm_micro<Fp8As<NibbleDecoder, WidenedBf16>, 6, 1>(),
                                      widen_fp8_row<NibbleDecoder>);
constexpr GemmMicro kGrouped =
    widening(make_grouped_gemm_micro<Fp8As<NibbleDecoder, WidenedBf16>, 6, 1>(),
             widen_fp8_row<NibbleDecoder>);
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<WidenedBf16, 6, 3>();

}  // namespace

constexpr Fp8Micro kFp8Avx512 = {.whole = &kWhole,
                                 .whole_expansion = {expand_fp8<NibbleDecoder>, &kGemmAvx512Bf16},
                                 .grouped = &kGrouped,
                                 .grouped_expansion = {expand_fp8<NibbleDecoder>, &kGroupedBf16}};

}  // namespace veloz::cpu
