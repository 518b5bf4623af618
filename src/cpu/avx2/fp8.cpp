// SPDX-License-Identifier: Apache-2.0
#include "cpu/avx2/fp8_decoder.h"
#include "cpu/avx2/lanes.h"
#include "cpu/avx2/widened_bf16.h"
#include "cpu/fp8_loop.h"

namespace veloz::cpu {
namespace {

void widen_step(const void* codes, char* to) {
  char bf16[2 * kStepBytes];
  widen_fp8_step<NibbleDecoder>(codes, bf16);
  for (int64_t i = 0; i < 4; ++i)
    widen_bf16_register(bf16 + i * kStepBytes / 2, to + i * kStepBytes);
}

/// To fp32, as of bf16.
void widen_codes(const void* codes, int64_t count, void* to) {
  widen_row<kStepBytes, 4>(codes, count, to, widen_step);
}

using Fp8 = Fp8As<NibbleDecoder, Bf16ByFp32>;
// The second half of a step waits in memory.
constexpr GemmMicro kWhole = widening(make_gemm_micro<Fp8, 4, 1>(), widen_codes);
constexpr GemmMicro kGrouped = widening(make_grouped_gemm_micro<Fp8, 4, 1>(), widen_codes);
constexpr GemmMicro kGroupedBf16 = make_grouped_gemm_micro<Bf16ByFp32, 5, 1>();

// To convert codes takes as long as to multiply them with four rows.
constexpr int64_t kMinTiles = 2;

}  // namespace

constexpr Fp8Micro kFp8Avx2 = {
    .whole = &kWhole,
    .whole_expansion = {expand_fp8<NibbleDecoder>, &kGemmAvx2WidenedBf16, kMinTiles},
    .grouped = &kGrouped,
    .grouped_expansion = {expand_fp8<NibbleDecoder>, &kGroupedBf16, kMinTiles}};

}  // namespace veloz::cpu
