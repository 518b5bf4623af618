// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of a linear tile, written once over the vector operations of an instruction set. Only
// the files of the instruction sets include this, after their lanes.h: all is in an anonymous
// namespace, so each has its own copy, compiled with its own flags.
//
// A `Simd` says how one kind of weights is multiplied: Sums and what Fp32Sums or Int32Sums has;
// Weights, one step of a panel, ready to multiply, and load_weights(w); Inputs, one step of a row,
// broadcast, load_inputs(x) and load_part_inputs(x, bytes), kInputBytes of x each;
// multiply_add(sums, inputs, weights); kRunsAhead where tiles ask for lines of their own panels.
// Where there are no registers for all of that, it says so of a FirstPart and a SecondPart instead,
// with which all rows are multiplied one after the other.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "cpu/gemm_tile.h"

namespace veloz::cpu {
namespace {

/// The sums of floating-point products.
struct Fp32Sums : Lanes {
  using Sums = F;
  static constexpr int64_t kInputBytes = kStepBytesX;
  static constexpr bool kIsExact = false;
  static constexpr bool kRunsAhead = false;
  static Sums no_sums() { return zero(); }
  static Sums load_sums(const float* from) { return load(from); }
  static void store_sums(float* to, const Sums& sums) { store(to, sums); }
  static F to_fp32(const Sums& sums) { return sums; }
  static Sums offset_by(const Sums& sums, int32_t) { return sums; }
};

/// The sums of products of integer codes: exact, so that their order is free.
struct Int32Sums : Lanes {
  using Sums = I;
  static constexpr int64_t kInputBytes = kStepBytesX;
  static constexpr bool kIsExact = true;
  static constexpr bool kRunsAhead = false;
  static constexpr bool kRowRunsAhead = false;  // a pass of a single row
  static Sums no_sums() { return set1_int(0); }
  static Sums load_sums(const float* from) { return load_int(from); }
  static void store_sums(float* to, const Sums& sums) { store_int(to, sums); }
  static F to_fp32(const Sums& sums) { return int_to_fp32(sums); }
  static Sums offset_by(const Sums& sums, int32_t offset) {
    return add_int(sums, set1_int(offset));
  }
};

template <typename Simd, int kRows, int kPanels>
using TileSums = typename Simd::Sums[kRows][kPanels];

/// `Part` is Simd, or one of the parts of a step.
template <typename Simd, typename Part, int kRows, int kPanels, typename LoadInputs>
[[gnu::always_inline]] inline void add_part(const GemmTile& tile, int64_t i,
                                            TileSums<Simd, kRows, kPanels>& sums,
                                            const LoadInputs& load_inputs) {
  const char* const x = static_cast<const char*>(tile.x) + i * Simd::kInputBytes;
  const char* const w = static_cast<const char*>(tile.w) + i * tile.w_step;
  typename Part::Weights weights[kPanels];
  for (int p = 0; p < kPanels; ++p) weights[p] = Part::load_weights(w + p * tile.w_stride);
  for (int r = 0; r < kRows; ++r) {
    const typename Part::Inputs inputs =
        load_inputs.template operator()<Part>(x + r * tile.x_stride);
    for (int p = 0; p < kPanels; ++p)
      sums[r][p] = Part::multiply_add(sums[r][p], inputs, weights[p]);
  }
}

template <typename Simd, int kRows, int kPanels, typename LoadInputs>
[[gnu::always_inline]] inline void add_step(const GemmTile& tile, int64_t i,
                                            TileSums<Simd, kRows, kPanels>& sums,
                                            const LoadInputs& load_inputs) {
  if constexpr (requires { typename Simd::FirstPart; }) {
    add_part<Simd, typename Simd::FirstPart, kRows, kPanels>(tile, i, sums, load_inputs);
    add_part<Simd, typename Simd::SecondPart, kRows, kPanels>(tile, i, sums, load_inputs);
  } else {
    add_part<Simd, Simd, kRows, kPanels>(tile, i, sums, load_inputs);
  }
}

/// Adds the products of steps [begin, end), asking for lines that a later tile reads.
template <typename Simd, int kRows, int kPanels>
[[gnu::always_inline]] inline void add_steps(const GemmTile& shared, int64_t begin, int64_t end,
                                             TileSums<Simd, kRows, kPanels>& sums) {
  const GemmTile tile = shared;  // a copy, whose fields stay in registers
  const auto load_inputs = []<typename Part>(const char* x) { return Part::load_inputs(x); };
  if (tile.prefetch_panels == 0) {
    for (int64_t i = begin; i < end; ++i)
      add_step<Simd, kRows, kPanels>(tile, i, sums, load_inputs);
    return;
  }
  if constexpr (Simd::kRunsAhead) {
    // One line of each panel: the general loop below would take longer than the products.
    if (tile.prefetch_panels == kPanels && !tile.prefetch_is_far) {
      for (int64_t i = begin; i < end; ++i) {
        for (int p = 0; p < kPanels; ++p)
          __builtin_prefetch(tile.prefetch + p * tile.prefetch_stride + i * tile.prefetch_step);
        add_step<Simd, kRows, kPanels>(tile, i, sums, load_inputs);
      }
      return;
    }
  }
  const int64_t prefetch_end = tile.prefetch_panels * tile.prefetch_stride;
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t panel = 0; panel < prefetch_end; panel += tile.prefetch_stride) {
      const char* const line = tile.prefetch + panel + i * tile.prefetch_step;
      if (tile.prefetch_is_far)
        __builtin_prefetch(line, 0, 2);
      else
        __builtin_prefetch(line);
    }
    add_step<Simd, kRows, kPanels>(tile, i, sums, load_inputs);
  }
}

template <typename Simd, int kRows, int kPanels>
void run_tile(const GemmTile& tile) {
  TileSums<Simd, kRows, kPanels> sums;
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kPanels; ++p)
      sums[r][p] = tile.continues
                       ? Simd::load_sums(tile.sums + r * tile.sums_stride + p * kPanelWidth)
                       : Simd::no_sums();
  add_steps<Simd, kRows, kPanels>(tile, 0, tile.num_steps, sums);
  if (tile.tail_bytes > 0)
    add_step<Simd, kRows, kPanels>(tile, tile.num_steps, sums, [&]<typename Part>(const char* x) {
      return Part::load_part_inputs(x, tile.tail_bytes);
    });
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kPanels; ++p)
      Simd::store_sums(tile.sums + r * tile.sums_stride + p * kPanelWidth, sums[r][p]);
}

/// As run_tile, for weights with groups. The sums over groups stay in the first-level cache: there
/// are no registers left for them.
template <typename Simd, int kRows, int kPanels>
void run_grouped_tile(const GemmTile& tile) {
  const GemmGroups& groups = tile.groups;
  const int64_t num_groups = tile.num_steps / groups.steps;
  for (int64_t g = 0; g < num_groups; ++g) {
    TileSums<Simd, kRows, kPanels> sums;
    for (auto& row : sums)
      for (auto& sum : row) sum = Simd::no_sums();
    add_steps<Simd, kRows, kPanels>(tile, g * groups.steps, (g + 1) * groups.steps, sums);
    for (int p = 0; p < kPanels; ++p) {
      const typename Simd::F w_scales =
          Simd::load(groups.w_scales + p * groups.w_scales_stride + g * kPanelWidth);
      for (int r = 0; r < kRows; ++r) {
        float* const total = tile.sums + r * tile.sums_stride + p * kPanelWidth;
        const typename Simd::F scales =
            Simd::mul(w_scales, Simd::set1(groups.x_scales[r * groups.x_scales_stride + g]));
        const typename Simd::F before = tile.continues || g > 0 ? Simd::load(total) : Simd::zero();
        Simd::store(total, Simd::mul_add(Simd::to_fp32(sums[r][p]), scales, before));
      }
    }
  }
}

/// The processor looks ahead as far as its window reaches, which so many products fill: a pass asks
/// for lines itself, into the next panel too.
template <typename Simd, int kRows>
void run_pass(const GemmPass& pass) {
  // A pack and no loop: GCC 12 keeps the sums of a loop over many rows on the stack.
  [&]<int... r>(std::integer_sequence<int, r...>) {
    typename Simd::Sums sums[kRows] = {((void)r, Simd::no_sums())...};
    const auto* x = reinterpret_cast<const char*>(pass.x);
    const auto* w = reinterpret_cast<const char*>(pass.w);
    for (int64_t i = 0; i < pass.num_steps; ++i) {
      __builtin_prefetch(w + kReadAheadBytes);
      const typename Simd::Weights weights = Simd::load_weights(w);
      ((sums[r] =
            Simd::multiply_add(sums[r], Simd::load_inputs(x + r * Simd::kInputBytes), weights)),
       ...);
      x += kRows * Simd::kInputBytes;
      w += kStepBytes;
    }
    (Simd::store_sums(pass.sums + r * kPanelWidth, sums[r]), ...);
  }
  (std::make_integer_sequence<int, kRows>());
}

/// Of a single row, whose products would wait for each other in one chain. It fills no window:
/// where kRowRunsAhead does not ask, the processor's own prefetch does best.
template <typename Simd>
void run_row_pass(const GemmPass& pass) {
  constexpr int kChains = 4;
  typename Simd::Sums sums[kChains];
  for (auto& sum : sums) sum = Simd::no_sums();
  const auto* x = reinterpret_cast<const char*>(pass.x);
  const auto* w = reinterpret_cast<const char*>(pass.w);
  const auto add_step = [&](int chain, int64_t step) {
    if constexpr (Simd::kRowRunsAhead) __builtin_prefetch(w + step * kStepBytes + kReadAheadBytes);
    sums[chain] = Simd::multiply_add(sums[chain], Simd::load_inputs(x + step * Simd::kInputBytes),
                                     Simd::load_weights(w + step * kStepBytes));
  };
  int64_t i = 0;
  for (; i + kChains <= pass.num_steps; i += kChains)
    for (int chain = 0; chain < kChains; ++chain) add_step(chain, i + chain);
  for (; i < pass.num_steps; ++i) add_step(0, i);
  for (int chain = 1; chain < kChains; ++chain) sums[0] = Simd::add_int(sums[0], sums[chain]);
  Simd::store_sums(pass.sums, sums[0]);
}

template <typename Simd>
void store_tile(const GemmStore& store) {
  for (int64_t r = 0; r < store.num_rows; ++r) {
    char* const y = static_cast<char*>(store.y) + r * store.y_stride;
    const int32_t offset = store.row_offsets == nullptr ? 0 : store.row_offsets[r];
    for (int64_t c = 0; c < store.num_columns; c += kPanelWidth) {
      const int64_t left = store.num_columns - c;
      const int64_t columns = left < kPanelWidth ? left : kPanelWidth;
      typename Simd::F value = Simd::to_fp32(
          Simd::offset_by(Simd::load_sums(store.sums + r * store.sums_stride + c), offset));
      if (store.w_scales != nullptr)
        value = Simd::mul(value, Simd::load(store.w_scales + c, columns));
      if (store.x_scales != nullptr)
        value = Simd::mul(value, Simd::set1(store.x_scales[r * store.x_scales_stride]));
      if (store.bias != nullptr) value = Simd::add(value, Simd::load(store.bias + c, columns));
      if (store.is_bf16)
        Simd::store_bf16(y + 2 * c, value, columns);
      else
        Simd::store(reinterpret_cast<float*>(y) + c, value, columns);
    }
  }
}

/// The table's entries for tiles of up to kRows x kPanels; the others stay null.
template <typename Simd, int kRows, int kPanels, bool kHasGroups>
constexpr GemmMicro make_micro() {
  GemmMicro micro{.max_rows = kRows,
                  .max_panels = kPanels,
                  .step_bytes_x = Simd::kInputBytes,
                  .runs_ahead = Simd::kRunsAhead,
                  .tiles = {},
                  .store = store_tile<Simd>};
  constexpr auto kFill = []<int kCount>(GemmMicro& m, auto&& self) {
    if constexpr (kCount > 0) {
      constexpr int kRow = (kCount - 1) / kPanels;
      constexpr int kPanel = (kCount - 1) % kPanels;
      if constexpr (kHasGroups)
        m.tiles[kRow][kPanel] = run_grouped_tile<Simd, kRow + 1, kPanel + 1>;
      else
        m.tiles[kRow][kPanel] = run_tile<Simd, kRow + 1, kPanel + 1>;
      self.template operator()<kCount - 1>(m, self);
    }
  };
  kFill.template operator()<kRows * kPanels>(micro, kFill);
  return micro;
}

template <typename Simd, int kRows, int kPanels>
constexpr GemmMicro make_gemm_micro() {
  return make_micro<Simd, kRows, kPanels, false>();
}

/// With passes, of a single row too where sums are integers, whose order is free; of more rows than
/// a tile has where that runs ahead.
template <typename Simd, int kRows, int kPanels>
constexpr GemmMicro make_gemm_micro(void (*pack_rows)(const GemmPassRows&)) {
  GemmMicro micro = make_gemm_micro<Simd, kRows, kPanels>();
  micro.pack_rows = pack_rows;
  if constexpr (Simd::kIsExact) micro.passes[0] = run_row_pass<Simd>;
  constexpr int kFirst = Simd::kRunsAhead ? kRows : 1;
  [&]<int... i>(std::integer_sequence<int, i...>) {
    ((micro.passes[kFirst + i] = run_pass<Simd, kFirst + i + 1>), ...);
  }
  (std::make_integer_sequence<int, kMaxPassRows - kFirst>());
  return micro;
}

/// After a fold the sums are fp32, whatever the codes are.
template <typename Simd, int kRows, int kPanels>
constexpr GemmMicro make_grouped_gemm_micro() {
  GemmMicro micro = make_micro<Simd, kRows, kPanels, true>();
  micro.store = store_tile<Fp32Sums>;
  return micro;
}

constexpr GemmMicro widening(GemmMicro micro, void (*widen)(const void*, int64_t, void*)) {
  micro.widen = widen;
  return micro;
}

constexpr GemmMicro expanding(GemmMicro micro, const GemmExpansion& expansion) {
  micro.expansion = &expansion;
  return micro;
}

}  // namespace
}  // namespace veloz::cpu
