// SPDX-License-Identifier: Apache-2.0
#include "cpu/portable/fp8_decoder.h"
#include "cpu/portable/lanes.h"
#include "cpu/portable/widened_bf16.h"

#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

using Fp8AsBf16 = Fp8As<TableDecoder, WidenedBf16>;
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<WidenedBf16, 2, 1>();
constexpr GemmExpansion kWholeExpansion = {expand_fp8<TableDecoder>, &kGemmPortableBf16};
constexpr GemmExpansion kGroupedExpansion = {expand_fp8<TableDecoder>, &kGroupedBf16};
constexpr GemmMicro kWhole = expanding(
    widening(make_gemm_micro<Fp8AsBf16, 2, 1>(), widen_fp8_row<TableDecoder>), kWholeExpansion);
constexpr GemmMicro kGrouped =
    expanding(widening(make_grouped_gemm_micro<Fp8AsBf16, 2, 1>(), widen_fp8_row<TableDecoder>),
              kGroupedExpansion);

}  // namespace

constexpr Fp8Micro kFp8Portable = {.whole = &kWhole, .grouped = &kGrouped};

}  // namespace veloz::cpu
