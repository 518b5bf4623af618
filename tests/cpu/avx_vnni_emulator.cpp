// SPDX-License-Identifier: Apache-2.0
#include "avx_vnni_emulator.h"

#include "cpu/features.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace veloz::test {
namespace {

constexpr size_t kLaneBytes = 16;      // of each half
constexpr size_t kHeaderOffset = 512;  // in the registers' image, after those that FXSAVE knows
constexpr uint64_t kUpperHalves = 4;   // of XSTATE_BV: components that are not all zeros

/// Registers of an interrupted thread, as the kernel put them on the signal's stack.
class Registers {
 public:
  explicit Registers(ucontext_t& context)
      : context_(context), image_(reinterpret_cast<char*>(context.uc_mcontext.fpregs)) {
    uint32_t size = 0;
    uint32_t offset = 0;
    uint32_t unused = 0;
    __get_cpuid_count(0xd, 2, &size, &offset, &unused, &unused);
    upper_ = image_ + offset;
  }

  const uint8_t* code() const { return reinterpret_cast<const uint8_t*>(rip()); }
  void skip(int64_t bytes) { rip() += bytes; }

  void load(int index, uint8_t* ymm) const {
    std::memcpy(ymm, lower(index), kLaneBytes);
    if ((components() & kUpperHalves) != 0)
      std::memcpy(ymm + kLaneBytes, upper(index), kLaneBytes);
    else
      std::memset(ymm + kLaneBytes, 0, kLaneBytes);
  }
  void store(int index, const uint8_t* ymm) {
    if ((components() & kUpperHalves) == 0) {
      std::memset(upper_, 0, kLaneBytes * 16);
      components() |= kUpperHalves;
    }
    std::memcpy(lower(index), ymm, kLaneBytes);
    std::memcpy(upper(index), ymm + kLaneBytes, kLaneBytes);
  }

 private:
  greg_t& rip() const { return context_.uc_mcontext.gregs[REG_RIP]; }
  uint64_t& components() const { return *reinterpret_cast<uint64_t*>(image_ + kHeaderOffset); }
  char* lower(int index) const {
    return reinterpret_cast<char*>(&context_.uc_mcontext.fpregs->_xmm[index]);
  }
  char* upper(int index) const { return upper_ + kLaneBytes * static_cast<size_t>(index); }

  ucontext_t& context_;
  char* image_;
  char* upper_;
};

/// VEX.256.66.0F38.W0 50 /r, all three operands registers (Intel SDM, volume 2, VPDPBUSD).
struct DotInstruction {
  static constexpr int64_t kBytes = 5;
  int sums;
  int unsigned_codes;
  int signed_codes;

  static bool is_at(const uint8_t* code) {
    constexpr uint8_t kMap0F38 = 2;
    return code[0] == 0xc4 && (code[1] & 0x1f) == kMap0F38 && (code[2] & 0x87) == 0x05 &&
           code[3] == 0x50 && (code[4] >> 6) == 3;
  }
  /// R, B and vvvv stand there inverted.
  static DotInstruction decode(const uint8_t* code) {
    const int high_of_reg = (code[1] & 0x80) == 0 ? 8 : 0;
    const int high_of_rm = (code[1] & 0x20) == 0 ? 8 : 0;
    return {.sums = high_of_reg + ((code[4] >> 3) & 7),
            .unsigned_codes = (~code[2] >> 3) & 15,
            .signed_codes = high_of_rm + (code[4] & 7)};
  }
};

void on_illegal_instruction(int signal, siginfo_t*, void* context) {
  Registers registers(*static_cast<ucontext_t*>(context));
  if (!DotInstruction::is_at(registers.code())) {
    ::signal(signal, SIG_DFL);  // it comes again at once
    return;
  }
  const DotInstruction dot = DotInstruction::decode(registers.code());
  constexpr size_t kLanes = 8;
  constexpr size_t kCodes = 4;
  uint8_t a[kLanes * kCodes];
  uint8_t b[kLanes * kCodes];
  uint32_t sums[kLanes];  // unsigned: they wrap
  registers.load(dot.unsigned_codes, a);
  registers.load(dot.signed_codes, b);
  registers.load(dot.sums, reinterpret_cast<uint8_t*>(sums));
  for (size_t lane = 0; lane < kLanes; ++lane)
    for (size_t i = lane * kCodes; i < (lane + 1) * kCodes; ++i)
      sums[lane] += static_cast<uint32_t>(int32_t{a[i]} * static_cast<int8_t>(b[i]));
  registers.store(dot.sums, reinterpret_cast<const uint8_t*>(sums));
  registers.skip(DotInstruction::kBytes);
}

}  // namespace

bool emulate_avx_vnni() {
  const cpu::CpuFeatures features = cpu::detect_features();
  if (!features.avx2) return false;
  if (features.avx_vnni) return true;
  struct sigaction action {};
  action.sa_sigaction = on_illegal_instruction;
  action.sa_flags = SA_SIGINFO;
  return ::sigaction(SIGILL, &action, nullptr) == 0;
}

}  // namespace veloz::test

#else

namespace veloz::test {

bool emulate_avx_vnni() { return false; }

}  // namespace veloz::test

#endif
