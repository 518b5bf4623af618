// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/fp32_inputs.h"
#include "cpu/avx2/fp8_decoder.h"
#include "cpu/avx2/lanes.h"

#include "cpu/fp8_by_fp32.h"

namespace veloz::cpu {
namespace {

constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<Bf16ByFp32, 5, 1>();
constexpr GemmExpansion kWholeExpansion = {expand_fp8<NibbleDecoder>, &kGemmAvx2Bf16, kMinFp8Tiles};
constexpr GemmExpansion kGroupedExpansion = {expand_fp8<NibbleDecoder>, &kGroupedBf16,
                                             kMinFp8Tiles};
// The second half of a step waits in memory.
using Codes = Fp8ByFp32<NibbleDecoder>;
constexpr GemmMicro kWhole =
    fp8_by_fp32<NibbleDecoder>(make_gemm_micro<Codes, 4, 1>(), kWholeExpansion);
constexpr GemmMicro kGrouped =
    fp8_by_fp32<NibbleDecoder>(make_grouped_gemm_micro<Codes, 4, 1>(), kGroupedExpansion);

}  // namespace

constexpr Fp8Micro kFp8Avx2 = {.whole = &kWhole, .grouped = &kGrouped};

}  // namespace veloz::cpu
