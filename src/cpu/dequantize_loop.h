// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loop that dequantizes panels, written once over the vector operations of an instruction set.
// Only the files of the instruction sets include this: all is in an anonymous namespace, so each
// has its own copy, compiled with its own flags.

#include <cstddef>
#include <cstdint>

#include "cpu/dequantize_tile.h"
#include "cpu/fp8_loop.h"
#include "cpu/gemm_tile.h"
#include "cpu/scale_lanes.h"

namespace veloz::cpu {
namespace {

/// Unsigned codes of some bits in each lane, of which `kMiddle` stands for zero where there are no
/// zeros.
template <typename Simd, int kMask>
struct IntegerCodes : Simd {
  using typename Simd::F;
  using typename Simd::I;
  static constexpr bool kHasOffset = true;

  template <int kShift>
  static F number(const I& step) {
    return Simd::int_to_fp32(
        Simd::and_int(Simd::template shift_right<kShift>(step), Simd::set1_int(kMask)));
  }
  /// One of each byte, from bit kShift on.
  template <int kShift>
  static void numbers_of_bytes(const I& step, F* values) {
    values[0] = number<kShift>(step);
    values[1] = number<kShift + 8>(step);
    values[2] = number<kShift + 16>(step);
    values[3] = number<kShift + 24>(step);
  }
};

/// Eight codes of 4 bits a lane (uint4_tile.h).
template <typename Simd>
struct Uint4Codes : IntegerCodes<Simd, 15> {
  using Codes = IntegerCodes<Simd, 15>;
  using typename Codes::F;
  static constexpr int64_t kColumns = 8;
  static constexpr float kMiddle = 8;

  static void numbers(const char* w, F (&values)[kColumns]) {
    const typename Codes::I step = Codes::load_int(w);
    Codes::template numbers_of_bytes<0>(step, values);
    Codes::template numbers_of_bytes<4>(step, values + 4);
  }
  static float zero_of(char bits) { return static_cast<uint8_t>(bits); }
};

/// Four codes a lane, as code + 128.
template <typename Simd>
struct Int8Codes : IntegerCodes<Simd, 255> {
  using Codes = IntegerCodes<Simd, 255>;
  using typename Codes::F;
  static constexpr int64_t kColumns = 4;
  static constexpr float kMiddle = 128;

  static void numbers(const char* w, F (&values)[kColumns]) {
    Codes::template numbers_of_bytes<0>(Codes::load_int(w), values);
  }
  static float zero_of(char bits) {
    return static_cast<float>(static_cast<int8_t>(bits)) + kMiddle;
  }
};

/// Two pairs of codes of each channel (layouts.h), which bf16 holds exactly.
template <typename Simd>
struct Fp8Codes : Simd {
  using typename Simd::F;
  using typename Simd::I;
  static constexpr int64_t kColumns = 4;
  static constexpr float kMiddle = 0;
  static constexpr bool kHasOffset = false;

  static void numbers(const char* w, F (&values)[kColumns]) {
    const Fp8Step step = Simd::decode(Simd::load_int(w));
    values[0] = even(step.first);
    values[1] = odd(step.first);
    values[2] = even(step.second);
    values[3] = odd(step.second);
  }
  static F even(const I& pairs) { return Simd::from_bits(Simd::template shift_left<16>(pairs)); }
  static F odd(const I& pairs) {
    return Simd::from_bits(Simd::and_int(pairs, Simd::set1_int(INT32_MIN >> 15)));
  }
  static float zero_of(char) { return 0; }
};

/// Turns steps of `Codes` into panels.
template <typename Codes, bool kIsBf16>
struct Dequantize : Codes {
  using Codes::kColumns;
  using typename Codes::F;
  static constexpr int64_t kOutputBytes = kColumns * kPanelWidth * (kIsBf16 ? 2 : 4);

  struct Scaling {
    F scale;
    F offset;
  };
  static Scaling scaling_of(const DequantizeTile& tile, int64_t g) {
    Scaling scaling{load_scales<Codes>(tile.scales + g * kPanelWidth * bytes_of(tile.scale_type),
                                       tile.scale_type),
                    Codes::set1(Codes::kMiddle)};
    if (Codes::kHasOffset && tile.zeros != nullptr) {
      float zeros[kPanelWidth];
      for (int64_t i = 0; i < kPanelWidth; ++i)
        zeros[i] = Codes::zero_of(tile.zeros[g * kPanelWidth + i]);
      scaling.offset = Codes::load(zeros);
    }
    return scaling;
  }
  static F scaled(const F& number, const Scaling& scaling) {
    if constexpr (Codes::kHasOffset)
      return Codes::mul(Codes::sub(number, scaling.offset), scaling.scale);
    else
      return Codes::mul(number, scaling.scale);
  }

  /// A step within one group.
  static void run_step(const char* w, const Scaling& scaling, char* to) {
    F values[kColumns];
    Codes::numbers(w, values);
    for (int64_t j = 0; j < kColumns; ++j) values[j] = scaled(values[j], scaling);
    write(values, to);
  }
  /// The step of columns [k, end): cut, or in several groups.
  static void run_mixed_step(const DequantizeTile& tile, const char* w, int64_t k, char* to) {
    F values[kColumns];
    Codes::numbers(w, values);
    for (int64_t j = 0; j < kColumns; ++j)
      values[j] = k + j < tile.end ? scaled(values[j], scaling_of(tile, (k + j) / tile.group))
                                   : Codes::zero();
    write(values, to);
  }
  static void write(const F (&values)[kColumns], char* to) {
    for (int64_t j = 0; j < kColumns; j += kIsBf16 ? 2 : 1) {
      if constexpr (kIsBf16)
        Codes::store_int(
            to, Codes::or_int(Codes::bf16_bits(values[j]),
                              Codes::template shift_left<16>(Codes::bf16_bits(values[j + 1]))));
      else
        Codes::store(reinterpret_cast<float*>(to), values[j]);
      to += kStepBytes;
    }
  }
};

/// `Steps` is a Dequantize.
template <typename Steps>
void run_dequantize(const DequantizeTile& tile) {
  constexpr int64_t kColumns = Steps::kColumns;
  constexpr ptrdiff_t kAhead = 32 * kStepBytes;
  const char* w = tile.w;
  char* to = tile.to;
  for (int64_t k = tile.begin; k < tile.end;) {
    const int64_t g = k / tile.group;
    const int64_t group_end = (g + 1) * tile.group < tile.end ? (g + 1) * tile.group : tile.end;
    if (k + kColumns > group_end) {
      Steps::run_mixed_step(tile, w, k, to);
      k += kColumns;
      w += kStepBytes;
      to += Steps::kOutputBytes;
      continue;
    }
    const typename Steps::Scaling scaling = Steps::scaling_of(tile, g);
    for (; k + kColumns <= group_end; k += kColumns) {
      __builtin_prefetch(w + kAhead, 0, 2);
      Steps::run_step(w, scaling, to);
      w += kStepBytes;
      to += Steps::kOutputBytes;
    }
  }
}

/// `Simd` is the Lanes of an instruction set with the decode() of fp8_loop.h.
template <template <typename> typename Codes, typename Simd>
constexpr Dequantizer make_dequantizer() {
  return {.step_columns = Codes<Simd>::kColumns,
          .to_bf16 = run_dequantize<Dequantize<Codes<Simd>, true>>,
          .to_fp32 = run_dequantize<Dequantize<Codes<Simd>, false>>};
}

template <typename Simd>
constexpr DequantizeMicro make_dequantize_micro() {
  return {.int8 = make_dequantizer<Int8Codes, Simd>(),
          .fp8 = make_dequantizer<Fp8Codes, Simd>(),
          .uint4x2 = make_dequantizer<Uint4Codes, Simd>()};
}

}  // namespace
}  // namespace veloz::cpu
