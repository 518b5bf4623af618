// SPDX-License-Identifier: Apache-2.0
#include "cpu/features.h"

#include "base/error.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <span>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace veloz::cpu {
namespace {

constexpr std::array<std::string_view, kIsas.size()> kIsaNames = {
    "portable", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "avx512_bf16_dot"};

struct Feature {
  std::string_view name;
  bool CpuFeatures::*present;
  Isa isa;  // the first that needs it
  bool is_needed;
};

constexpr Feature kFeatures[] = {
    {"avx2", &CpuFeatures::avx2, Isa::avx2, true},
    {"fma", &CpuFeatures::fma, Isa::avx2, true},
    {"f16c", &CpuFeatures::f16c, Isa::avx2, true},
    {"avx512f", &CpuFeatures::avx512f, Isa::avx512, true},
    {"avx512bw", &CpuFeatures::avx512bw, Isa::avx512, true},
    {"avx512vl", &CpuFeatures::avx512vl, Isa::avx512, true},
    {"avx512dq", &CpuFeatures::avx512dq, Isa::avx512, true},
    {"avx512_vnni", &CpuFeatures::avx512_vnni, Isa::avx512_vnni, true},
    {"avx512_vbmi", &CpuFeatures::avx512_vbmi, Isa::avx512_bf16, true},
    {"avx512_bf16", &CpuFeatures::avx512_bf16, Isa::avx512_bf16, true},
    {"fast_bf16_dot", &CpuFeatures::fast_bf16_dot, Isa::avx512_bf16_dot, false},
    {"avx_vnni", &CpuFeatures::avx_vnni, Isa::avx2_vnni, true},
    {"amx_bf16", &CpuFeatures::amx_bf16, Isa::avx512_bf16, false},
};

std::vector<std::string_view> missing_for(Isa isa, const CpuFeatures& features) {
  std::vector<std::string_view> missing;
  for (const Feature& feature : kFeatures)
    if (feature.is_needed && includes(isa, feature.isa) && !(features.*feature.present))
      missing.push_back(feature.name);
  return missing;
}

#if defined(__x86_64__)
struct Leaf {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

Leaf cpuid(uint32_t function, uint32_t index) {
  Leaf leaf;
  __get_cpuid_count(function, index, &leaf.eax, &leaf.ebx, &leaf.ecx, &leaf.edx);
  return leaf;
}

/// Intel's cores start a vdpbf16ps of 512 bits every second cycle and two vfmadd231ps every cycle:
/// products of bf16 as fp32 are twice as fast (Emerald Rapids: 341 and 168 GFLOP/s on two cores).
/// Told from the vendor, not measured, so that a machine's kernels are the same in every run.
bool has_slow_bf16_dot() {
  const Leaf vendor = cpuid(0, 0);
  return vendor.ebx == signature_INTEL_ebx && vendor.edx == signature_INTEL_edx &&
         vendor.ecx == signature_INTEL_ecx;
}

bool bit(uint32_t value, int position) { return ((value >> position) & 1u) != 0; }

/// XCR0: which register files the operating system saves at a context switch.
uint32_t saved_registers() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

std::string brand() {
  if (cpuid(0x80000000u, 0).eax < 0x80000004u) return {};
  std::array<char, 49> text{};
  for (uint32_t i = 0; i < 3; ++i) {
    const Leaf leaf = cpuid(0x80000002u + i, 0);
    std::memcpy(text.data() + size_t{16} * i, &leaf, sizeof(leaf));
  }
  std::string name(text.data());
  name.erase(name.find_last_not_of(' ') + 1);
  name.erase(0, name.find_first_not_of(' '));
  return name;
}
#endif

}  // namespace

bool includes(Isa isa, Isa part) { return part == isa || (part < isa && part != Isa::avx2_vnni); }

std::string_view to_string(Isa isa) { return kIsaNames.at(static_cast<size_t>(isa)); }

Isa parse_isa(std::string_view name) {
  for (size_t i = 0; i < kIsaNames.size(); ++i)
    if (kIsaNames[i] == name) return static_cast<Isa>(i);
  throw Error(ErrorKind::invalid_input,
              fmt::format("unknown instruction set \"{}\", known are {}", name.substr(0, 40),
                          fmt::join(kIsaNames, ", ")),
              "leave the option out to use the best that this processor has");
}

CpuFeatures detect_features() {
  CpuFeatures features;
#if defined(__x86_64__)
  features.model = brand();
  const Leaf basic = cpuid(1, 0);
  if (!bit(basic.ecx, 27)) return features;  // OSXSAVE: xgetbv exists
  const uint32_t saved = saved_registers();
  const bool saves_ymm = (saved & 0x6u) == 0x6u;    // XMM and upper YMM halves
  const bool saves_zmm = (saved & 0xe6u) == 0xe6u;  // and mask registers, upper ZMM, ZMM16-31
  const bool saves_tiles = (saved & 0x60000u) == 0x60000u;
  const Leaf seven = cpuid(7, 0);
  const Leaf seven_one = seven.eax >= 1 ? cpuid(7, 1) : Leaf{};
  features.fma = saves_ymm && bit(basic.ecx, 12);
  features.f16c = saves_ymm && bit(basic.ecx, 29);
  features.avx2 = saves_ymm && bit(seven.ebx, 5);
  features.avx_vnni = saves_ymm && bit(seven_one.eax, 4);
  features.avx512f = saves_zmm && bit(seven.ebx, 16);
  features.avx512dq = saves_zmm && bit(seven.ebx, 17);
  features.avx512bw = saves_zmm && bit(seven.ebx, 30);
  features.avx512vl = saves_zmm && bit(seven.ebx, 31);
  features.avx512_vnni = saves_zmm && bit(seven.ecx, 11);
  features.avx512_vbmi = saves_zmm && bit(seven.ecx, 1);
  features.avx512_bf16 = saves_zmm && bit(seven_one.eax, 5);
  features.fast_bf16_dot = features.avx512_bf16 && !has_slow_bf16_dot();
  features.amx_bf16 = saves_tiles && bit(seven.edx, 22);
#endif
  return features;
}

Isa best_isa(const CpuFeatures& features) {
  Isa best = Isa::portable;
  for (const Isa isa : kIsas)
    if (can_run(isa, features) && (isa != Isa::avx512_bf16_dot || features.fast_bf16_dot))
      best = isa;
  return best;
}

bool can_run(Isa isa, const CpuFeatures& features) { return missing_for(isa, features).empty(); }

CpuFeatures limited_to(Isa isa, CpuFeatures features) {
  for (const Feature& feature : kFeatures)
    if (!includes(isa, feature.isa)) features.*feature.present = false;
  return features;
}

void require_isa(Isa isa, const CpuFeatures& features) {
  const std::vector<std::string_view> missing = missing_for(isa, features);
  if (missing.empty()) return;
  throw Error(
      ErrorKind::unsupported,
      fmt::format("instruction set {} cannot run here: this processor{} lacks {}", to_string(isa),
                  features.model.empty() ? "" : fmt::format(" ({})", features.model),
                  fmt::join(missing, ", ")),
      fmt::format("the best it has is {}; leave the option out to use that",
                  to_string(best_isa(features))));
}

std::string describe_features(const CpuFeatures& features) {
  std::vector<std::string_view> present;
  for (const Feature& feature : kFeatures)
    if (features.*feature.present) present.push_back(feature.name);
  return present.empty() ? "none" : fmt::format("{}", fmt::join(present, " "));
}

}  // namespace veloz::cpu
