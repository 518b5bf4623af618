// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace veloz::cpu {

/// Rounds of kPeakChains independent instructions on registers; returns nothing, touches no memory.
inline constexpr int64_t kPeakChains =
    24;  // two units of 4 to 5 cycles need 10, and no more than 32

void run_peak_fma_avx2(int64_t rounds);  // half the chains: there are 16 registers
void run_peak_fma_avx512(int64_t rounds);
void run_peak_bf16_avx512(int64_t rounds);
void run_peak_int8_avx512(int64_t rounds);

}  // namespace veloz::cpu
