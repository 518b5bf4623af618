// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/fp32_inputs.h"
#include "cpu/avx512/fp8_decoder.h"
#include "cpu/avx512/lanes.h"
#include "cpu/avx512/pack_rows.h"

#include "cpu/fp8_by_fp32.h"

namespace veloz::cpu {
namespace {

constexpr GemmMicro kGroupedFp32 = make_grouped_gemm_micro<Fp32, 6, 4>();
constexpr GemmExpansion kWholeExpansion = {expand_fp8_to_fp32<NibbleDecoder>, &kGemmAvx512Fp32,
                                           kMinFp8Tiles};
constexpr GemmExpansion kGroupedExpansion = {expand_fp8_to_fp32<NibbleDecoder>, &kGroupedFp32,
                                             kMinFp8Tiles};
// Second halves of steps wait in memory; of fewer panels one row has too few chains.
using Codes = Fp8ByFp32<NibbleDecoder>;
constexpr GemmMicro kWhole = fp8_by_fp32<NibbleDecoder>(
    make_gemm_micro<Codes, 4, 4>(pack_widened_rows<Codes::kInputBytes>), kWholeExpansion);
constexpr GemmMicro kGrouped =
    fp8_by_fp32<NibbleDecoder>(make_grouped_gemm_micro<Codes, 4, 4>(), kGroupedExpansion);

}  // namespace

constexpr Fp8Micro kFp8Avx512 = {.whole = &kWhole, .grouped = &kGrouped};

}  // namespace veloz::cpu
