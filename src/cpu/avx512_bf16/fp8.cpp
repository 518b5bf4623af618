// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/fp32_inputs.h"
#include "cpu/avx512/lanes.h"
#include "cpu/avx512/pack_rows.h"
#include "cpu/avx512_bf16/dot_bf16.h"
#include "cpu/avx512_bf16/fp8_decoder.h"

#include "cpu/fp8_by_fp32.h"

namespace veloz::cpu {
namespace {

using Fp8Dot = Fp8As<TableDecoder, DotBf16>;
constexpr GemmMicro kGroupedDotBf16 = make_grouped_gemm_micro<DotBf16, 6, 4>();
constexpr GemmExpansion kWholeDotExpansion = {expand_fp8<TableDecoder>, &kGemmAvx512DotBf16};
constexpr GemmExpansion kGroupedDotExpansion = {expand_fp8<TableDecoder>, &kGroupedDotBf16};
// 4 x 4 accumulators, 4 x 2 weights, 2 inputs, 4 tables and a mask fill 31 of 32 registers.
constexpr GemmMicro kWholeDot = expanding(
    widening(make_gemm_micro<Fp8Dot, 4, 4>(), widen_fp8_row<TableDecoder>), kWholeDotExpansion);
constexpr GemmMicro kGroupedDot =
    expanding(widening(make_grouped_gemm_micro<Fp8Dot, 4, 4>(), widen_fp8_row<TableDecoder>),
              kGroupedDotExpansion);

// As avx512/fp8.cpp has them.
constexpr GemmMicro kGroupedFp32 = make_grouped_gemm_micro<Fp32, 6, 4>();
constexpr GemmExpansion kWholeExpansion = {expand_fp8_to_fp32<TableDecoder>, &kGemmAvx512Fp32,
                                           kMinFp8Tiles};
constexpr GemmExpansion kGroupedExpansion = {expand_fp8_to_fp32<TableDecoder>, &kGroupedFp32,
                                             kMinFp8Tiles};
using Codes = Fp8ByFp32<TableDecoder>;
constexpr GemmMicro kWhole = fp8_by_fp32<TableDecoder>(
    make_gemm_micro<Codes, 4, 4>(pack_widened_rows<Codes::kInputBytes>), kWholeExpansion);
constexpr GemmMicro kGrouped =
    fp8_by_fp32<TableDecoder>(make_grouped_gemm_micro<Codes, 4, 4>(), kGroupedExpansion);

}  // namespace

constexpr Fp8Micro kFp8Avx512DotBf16 = {.whole = &kWholeDot, .grouped = &kGroupedDot};
constexpr Fp8Micro kFp8Avx512Bf16 = {.whole = &kWhole, .grouped = &kGrouped};

}  // namespace veloz::cpu
