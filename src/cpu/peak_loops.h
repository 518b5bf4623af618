// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace veloz::cpu {

/// Rounds of kPeakChains independent instructions on registers; returns nothing, touches no memory.
inline constexpr int64_t kPeakChains =
    24;  // two units of 4 to 5 cycles need 10, and no more than 32

void run_peak_fma_avx2(int64_t rounds);        // half the chains: there are 16 registers
void run_peak_int8_avx2_vnni(int64_t rounds);  // likewise
void run_peak_fma_avx512(int64_t rounds);
void run_peak_bf16_avx512(int64_t rounds);
void run_peak_int8_avx512(int64_t rounds);
/// 8-bit codes widened to 16, where one instruction multiplies and another adds: half the chains,
/// of pairs of instructions.
void run_peak_int16_avx2(int64_t rounds);
void run_peak_int16_avx512(int64_t rounds);

/// Reads memory in whole registers, four lines at a time, asking for what comes 8 KiB later:
/// narrower loads are too many for one core to keep memory busy. `bytes` is a multiple of
/// kReadBytes. The result, of no meaning, keeps the compiler from leaving it out.
inline constexpr size_t kReadBytes = 256;
inline constexpr size_t kReadAhead = 8192;
uint64_t read_all_portable(const std::byte* memory, size_t bytes);
uint64_t read_all_avx2(const std::byte* memory, size_t bytes);
uint64_t read_all_avx512(const std::byte* memory, size_t bytes);

}  // namespace veloz::cpu
