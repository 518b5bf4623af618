// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace veloz::cpu {

/// Instruction sets that kernels are written for, the better ones later. The names are those of
/// flags and targets.
enum class Isa : uint8_t {
  portable,         // plain C++ at the compiler's baseline
  avx2,             // AVX2, FMA, F16C
  avx2_vnni,        // AVX-VNNI, on top of avx2
  avx512,           // AVX-512 F, BW, VL, DQ, on top of avx2
  avx512_vnni,      // AVX-512 VNNI, on top of avx512
  avx512_bf16,      // AVX-512 BF16 and VBMI, on top of avx512_vnni; products still as fp32
  avx512_bf16_dot,  // likewise, with vdpbf16ps for products
};

inline constexpr std::array kIsas = {Isa::portable,       Isa::avx2,        Isa::avx2_vnni,
                                     Isa::avx512,         Isa::avx512_vnni, Isa::avx512_bf16,
                                     Isa::avx512_bf16_dot};

std::string_view to_string(Isa isa);
/// Throws Error(invalid_input) with the names known.
Isa parse_isa(std::string_view name);

/// Whether what runs on `isa` may use `part`: everything before it but AVX-VNNI, which processors
/// with AVX-512 need not have.
bool includes(Isa isa, Isa part);

/// What this processor and its operating system offer.
struct CpuFeatures {
  std::string model;  // "AMD EPYC 9554", empty where unknown
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512dq = false;
  bool avx512_vnni = false;
  bool avx512_vbmi = false;
  bool avx512_bf16 = false;
  bool fast_bf16_dot = false;  // vdpbf16ps is worth more than two vfmadd231ps
  bool avx_vnni = false;
  bool amx_bf16 = false;  // instructions only; the permission to use them is not asked for
};

/// Asks cpuid, and xgetbv for the registers that the operating system saves.
CpuFeatures detect_features();

/// The instruction set that is fastest on `features`: the largest they hold, but avx512_bf16_dot
/// only where it is fast.
Isa best_isa(const CpuFeatures& features);

bool can_run(Isa isa, const CpuFeatures& features);

/// `features` without those that `isa` does not use.
CpuFeatures limited_to(Isa isa, CpuFeatures features);

/// Throws Error(unsupported) naming what is missing, where the processor cannot run `isa`.
void require_isa(Isa isa, const CpuFeatures& features);

/// "avx2 fma avx512f ..." as a person reads it; "none" where nothing is known.
std::string describe_features(const CpuFeatures& features);

}  // namespace veloz::cpu
