// SPDX-License-Identifier: Apache-2.0
#include "cpu/portable/fp8_decoder.h"
#include "cpu/portable/lanes.h"
#include "cpu/portable/widened_bf16.h"

#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

constexpr GemmMicro kWhole = widening(make_gemm_micro<Fp8As<TableDecoder, WidenedBf16>, 2, 1>(),
                                      widen_fp8_row<TableDecoder>);
constexpr GemmMicro kGrouped = widening(
    make_grouped_gemm_micro<Fp8As<TableDecoder, WidenedBf16>, 2, 1>(), widen_fp8_row<TableDecoder>);
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<WidenedBf16, 2, 1>();

}  // namespace

constexpr Fp8Micro kFp8Portable = {
    .whole = &kWhole,
    .whole_expansion = {expand_fp8<TableDecoder>, &kGemmPortableBf16},
    .grouped = &kGrouped,
    .grouped_expansion = {expand_fp8<TableDecoder>, &kGroupedBf16}};

}  // namespace veloz::cpu
