// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/fp32_inputs.h"
#include "cpu/avx512/fp8_decoder.h"
#include "cpu/avx512/lanes.h"

#include "cpu/fp8_by_fp32.h"

namespace veloz::cpu {
namespace {

// Second halves of steps wait in memory; of fewer panels one row has too few chains.
constexpr GemmMicro kWhole = make_fp8_micro<NibbleDecoder, 4, 4>();
constexpr GemmMicro kGrouped = make_grouped_fp8_micro<NibbleDecoder, 4, 4>();
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<Bf16ByFp32, 6, 4>();

}  // namespace

constexpr Fp8Micro kFp8Avx512 = {
    .whole = &kWhole,
    .whole_expansion = {expand_fp8<NibbleDecoder>, &kGemmAvx512WidenedBf16, kMinFp8Tiles},
    .grouped = &kGrouped,
    .grouped_expansion = {expand_fp8<NibbleDecoder>, &kGroupedBf16, kMinFp8Tiles}};

}  // namespace veloz::cpu
