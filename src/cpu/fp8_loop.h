// SPDX-License-Identifier: Apache-2.0
#pragma once

// fp8 weights as bf16, written once over the vector operations of an instruction set, whose lanes.h
// the including file has brought in. A `Decoder` turns a step of n16k4_fp8 into two of n16k2_bf16:
// Fp8Step decode(Lanes::I codes).

#include <cstddef>
#include <cstdint>

#include "cpu/gemm_loop.h"
#include "cpu/gemm_tile.h"
#include "cpu/widen_loop.h"

namespace veloz::cpu {
namespace {

/// 2 x 32 bf16.
struct Fp8Step {
  Lanes::I first;
  Lanes::I second;
};

/// A step of codes, multiplied as two steps of `Bf16`.
template <typename Decoder, typename Bf16>
struct Fp8As : Fp32Sums {
  static constexpr int64_t kInputBytes = 2 * Bf16::kInputBytes;
  static constexpr bool kRunsAhead = true;
  struct Weights {
    typename Bf16::Weights first;
    typename Bf16::Weights second;
  };
  struct Inputs {
    typename Bf16::Inputs first;
    typename Bf16::Inputs second;
  };
  static Weights load_weights(const char* w) {
    const Fp8Step step = Decoder::decode(load_int(w));
    return {Bf16::weights_of(step.first), Bf16::weights_of(step.second)};
  }
  static Inputs load_inputs(const char* x) {
    return {Bf16::load_inputs(x), Bf16::load_inputs(x + Bf16::kInputBytes)};
  }
  static Inputs load_part_inputs(const char* x, int64_t) { return load_inputs(x); }  // never called
  static F multiply_add(const F& sums, const Inputs& x, const Weights& w) {
    return Bf16::multiply_add(Bf16::multiply_add(sums, x.first, w.first), x.second, w.second);
  }
};

template <typename Decoder>
void expand_fp8(const GemmExpand& expand) {
  for (int64_t i = 0; i < expand.num_steps; ++i) {
    const Fp8Step step = Decoder::decode(Lanes::load_int(expand.w + i * kStepBytes));
    Lanes::store_int(expand.to + 2 * i * kStepBytes, step.first);
    Lanes::store_int(expand.to + (2 * i + 1) * kStepBytes, step.second);
  }
}

/// 64 codes in order become 64 bf16 in order: a decoded step holds the first and the second half of
/// each 16 codes.
template <typename Decoder>
void widen_fp8_step(const void* codes, char* to) {
  constexpr size_t kChunk = 16;  // bytes
  const Fp8Step step = Decoder::decode(Lanes::load_int(codes));
  char halves[2][kStepBytes];
  Lanes::store_int(halves[0], step.first);
  Lanes::store_int(halves[1], step.second);
  for (size_t chunk = 0; chunk < 4; ++chunk) {
    __builtin_memcpy(to + 2 * chunk * kChunk, halves[0] + chunk * kChunk, kChunk);
    __builtin_memcpy(to + (2 * chunk + 1) * kChunk, halves[1] + chunk * kChunk, kChunk);
  }
}

template <typename Decoder>
void widen_fp8_row(const void* codes, int64_t count, void* to) {
  widen_row<kStepBytes>(codes, count, to, widen_fp8_step<Decoder>);
}

}  // namespace
}  // namespace veloz::cpu
