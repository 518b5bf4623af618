// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loop that dequantizes panels, written once over the vector operations of an instruction set.
// Only the files of the instruction sets include this: all is in an anonymous namespace, so each
// has its own copy, compiled with its own flags.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "cpu/bf16_pairs.h"
#include "cpu/dequantize_tile.h"
#include "cpu/fp8_loop.h"
#include "cpu/gemm_tile.h"
#include "cpu/scale_lanes.h"

namespace veloz::cpu {
namespace {

// Of each dtype of codes: Step, a step of 64 bytes; number<j>(step), its column j of each channel.

/// Unsigned codes of some bits in each lane, of which `kMiddle` stands for zero where there are no
/// zeros.
template <typename Simd, int kMask>
struct IntegerCodes : Simd {
  using typename Simd::F;
  using Step = typename Simd::I;
  static constexpr bool kHasOffset = true;

  static Step load_step(const char* w) { return Simd::load_int(w); }
  template <int kShift>
  static F from_bit(const Step& step) {
    return Simd::int_to_fp32(
        Simd::and_int(Simd::template shift_right<kShift>(step), Simd::set1_int(kMask)));
  }
};

/// Eight codes of 4 bits a lane (uint4_tile.h).
template <typename Simd>
struct Uint4Codes : IntegerCodes<Simd, 15> {
  using Codes = IntegerCodes<Simd, 15>;
  static constexpr int kColumns = 8;
  static constexpr float kMiddle = 8;

  template <int j>
  static typename Codes::F number(const typename Codes::Step& step) {
    return Codes::template from_bit<8 * (j % 4) + j / 4 * 4>(step);
  }
  static float zero_of(char bits) { return static_cast<uint8_t>(bits); }
};

/// Four codes a lane, as code + 128.
template <typename Simd>
struct Int8Codes : IntegerCodes<Simd, 255> {
  using Codes = IntegerCodes<Simd, 255>;
  static constexpr int kColumns = 4;
  static constexpr float kMiddle = 128;

  template <int j>
  static typename Codes::F number(const typename Codes::Step& step) {
    return Codes::template from_bit<8 * j>(step);
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
  using Step = Fp8Step;
  static constexpr int kColumns = 4;
  static constexpr float kMiddle = 0;
  static constexpr bool kHasOffset = false;

  static Step load_step(const char* w) { return Simd::decode(Simd::load_int(w)); }
  template <int j>
  static F number(const Step& step) {
    const I& pairs = j < 2 ? step.first : step.second;
    return j % 2 == 0 ? even_of(pairs) : odd_of(pairs);
  }
  static float zero_of(char) { return 0; }
};

/// Turns steps of `Codes` into panels.
template <typename Codes, bool kIsBf16>
struct Dequantize : Codes {
  using Codes::kColumns;
  using typename Codes::F;
  static constexpr int kColumnsOfRegister = kIsBf16 ? 2 : 1;
  static constexpr int64_t kOutputBytes = kColumns / kColumnsOfRegister * kStepBytes;

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

  /// Whether nothing with these scales is NaN, where that saves work.
  static bool are_numbers(const Scaling& scaling) requires(kIsBf16&& Codes::kHasOffset&& requires {
    Codes::are_finite(scaling.scale);
  }) {
    return Codes::are_finite(scaling.scale);
  }

  /// A step within one group.
  template <bool kAreNumbers = false>
  static void run_step(const char* w, const Scaling& scaling, char* to) {
    write<kAreNumbers>(w, to, [&](int, const F& number) { return scaled(number, scaling); });
  }
  /// The step of columns [k, end): cut, or in several groups.
  static void run_mixed_step(const DequantizeTile& tile, const char* w, int64_t k, char* to) {
    write<false>(w, to, [&](int j, const F& number) {
      return k + j < tile.end ? scaled(number, scaling_of(tile, (k + j) / tile.group))
                              : Codes::zero();
    });
  }
  /// One register of the panel after the other, so that few wait.
  template <bool kAreNumbers, typename Scale>
  static void write(const char* w, char* to, const Scale& scale) {
    const typename Codes::Step step = Codes::load_step(w);
    [&]<int... i>(std::integer_sequence<int, i...>) {
      (write_register<i, kAreNumbers>(step, to, scale), ...);
    }
    (std::make_integer_sequence<int, kColumns / kColumnsOfRegister>());
  }
  template <int i, bool kAreNumbers, typename Scale>
  static void write_register(const typename Codes::Step& step, char* to, const Scale& scale) {
    to += i * kStepBytes;
    if constexpr (!kIsBf16) {
      Codes::store(reinterpret_cast<float*>(to), scale(i, Codes::template number<i>(step)));
    } else {
      const F first = scale(2 * i, Codes::template number<2 * i>(step));
      const F second = scale(2 * i + 1, Codes::template number<2 * i + 1>(step));
      if constexpr (kAreNumbers)
        Codes::store_int(to, Codes::pairs_of_numbers(first, second));
      else
        Codes::store_int(to, Codes::or_int(Codes::bf16_bits(first), Codes::template shift_left<16>(
                                                                        Codes::bf16_bits(second))));
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
    const auto run_steps = [&](const auto& run_step) {
      for (; k + kColumns <= group_end; k += kColumns) {
        __builtin_prefetch(w + kAhead, 0, 2);
        run_step();
        w += kStepBytes;
        to += Steps::kOutputBytes;
      }
    };
    if constexpr (requires { Steps::are_numbers(scaling); })
      if (Steps::are_numbers(scaling))
        run_steps([&] { Steps::template run_step<true>(w, scaling, to); });
    run_steps([&] { Steps::run_step(w, scaling, to); });
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
