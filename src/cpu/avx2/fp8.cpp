// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/fp32_inputs.h"
#include "cpu/avx2/fp8_decoder.h"
#include "cpu/avx2/lanes.h"

#include "cpu/fp8_by_fp32.h"

namespace veloz::cpu {
namespace {

// The second half of a step waits in memory.
constexpr GemmMicro kWhole = make_fp8_micro<NibbleDecoder, 4, 1>();
constexpr GemmMicro kGrouped = make_grouped_fp8_micro<NibbleDecoder, 4, 1>();
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<Bf16ByFp32, 5, 1>();

}  // namespace

constexpr Fp8Micro kFp8Avx2 = {
    .whole = &kWhole,
    .whole_expansion = {expand_fp8<NibbleDecoder>, &kGemmAvx2WidenedBf16, kMinFp8Tiles},
    .grouped = &kGrouped,
    .grouped_expansion = {expand_fp8<NibbleDecoder>, &kGroupedBf16, kMinFp8Tiles}};

}  // namespace veloz::cpu
