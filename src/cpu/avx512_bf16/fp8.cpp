// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/fp32_inputs.h"
#include "cpu/avx512/lanes.h"
#include "cpu/avx512_bf16/dot_bf16.h"
#include "cpu/avx512_bf16/fp8_decoder.h"

#include "cpu/fp8_by_fp32.h"

namespace veloz::cpu {
namespace {

// 4 x 4 accumulators, 4 x 2 weights, 2 inputs, 4 tables and a mask fill 31 of 32 registers.
using Fp8Dot = Fp8As<TableDecoder, DotBf16>;
constexpr GemmMicro kWholeDot =
    widening(make_gemm_micro<Fp8Dot, 4, 4>(), widen_fp8_row<TableDecoder>);
constexpr GemmMicro kGroupedDot =
    widening(make_grouped_gemm_micro<Fp8Dot, 4, 4>(), widen_fp8_row<TableDecoder>);
constexpr GemmMicro kGroupedDotBf16 = make_grouped_gemm_micro<DotBf16, 6, 4>();

// As avx512/fp8.cpp has them.
constexpr GemmMicro kWhole = make_fp8_micro<TableDecoder, 4, 4>();
constexpr GemmMicro kGrouped = make_grouped_fp8_micro<TableDecoder, 4, 4>();
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<Bf16ByFp32, 6, 4>();

}  // namespace

constexpr Fp8Micro kFp8Avx512DotBf16 = {
    .whole = &kWholeDot,
    .whole_expansion = {expand_fp8<TableDecoder>, &kGemmAvx512DotBf16},
    .grouped = &kGroupedDot,
    .grouped_expansion = {expand_fp8<TableDecoder>, &kGroupedDotBf16}};

constexpr Fp8Micro kFp8Avx512Bf16 = {
    .whole = &kWhole,
    .whole_expansion = {expand_fp8<TableDecoder>, &kGemmAvx512WidenedBf16, kMinFp8Tiles},
    .grouped = &kGrouped,
    .grouped_expansion = {expand_fp8<TableDecoder>, &kGroupedBf16, kMinFp8Tiles}};

}  // namespace veloz::cpu
