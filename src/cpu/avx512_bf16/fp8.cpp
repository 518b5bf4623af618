// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx512/lanes.h"
#include "cpu/avx512_bf16/dot_bf16.h"
#include "cpu/avx512_bf16/fp8_decoder.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

// 4 x 4 accumulators, 4 x 2 weights, 2 inputs, 4 tables and a mask fill 31 of 32 registers.
constexpr GemmMicro kWhole =
    widening(make_gemm_micro<Fp8As<TableDecoder, DotBf16>, 4, 4>(), widen_fp8_row<TableDecoder>);
constexpr GemmMicro kGrouped = widening(
    make_grouped_gemm_micro<Fp8As<TableDecoder, DotBf16>, 4, 4>(), widen_fp8_row<TableDecoder>);
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<DotBf16, 6, 4>();

}  // namespace

constexpr Fp8Micro kFp8Avx512DotBf16 = {
    .whole = &kWhole,
    .whole_expansion = {expand_fp8<TableDecoder>, &kGemmAvx512DotBf16},
    .grouped = &kGrouped,
    .grouped_expansion = {expand_fp8<TableDecoder>, &kGroupedBf16}};

}  // namespace veloz::cpu
