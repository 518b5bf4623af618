// SPDX-License-Identifier: Apache-2.0
#pragma once

// The loops of a linear tile, written once over the vector operations of an instruction set. Only
// the files of the instruction sets include this: all is in an anonymous namespace, so each has its
// own copy, compiled with its own flags.

#include <cstddef>
#include <cstdint>

#include "cpu/gemm_tile.h"

namespace veloz::cpu {
namespace {

/// `Simd` is the Lanes of an instruction set, with Weights (one step of a panel, ready to
/// multiply), Inputs (one step of a row, broadcast), load_weights(), load_inputs(),
/// load_half_inputs() and multiply_add(sums, inputs, weights).
template <typename Simd, int kRows, int kPanels>
void run_tile(const GemmTile& tile) {
  const char* const x = static_cast<const char*>(tile.x);
  const char* const w = static_cast<const char*>(tile.w);
  const ptrdiff_t x_stride = tile.x_stride;
  const ptrdiff_t w_stride = tile.w_stride;
  const ptrdiff_t w_step = tile.w_step;
  typename Simd::F sums[kRows][kPanels];
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kPanels; ++p)
      sums[r][p] = tile.continues ? Simd::load(tile.sums + r * tile.sums_stride + p * kPanelWidth)
                                  : Simd::zero();

  const auto step = [&](int64_t i, auto load_inputs) {
    typename Simd::Weights weights[kPanels];
    for (int p = 0; p < kPanels; ++p)
      weights[p] = Simd::load_weights(w + p * w_stride + i * w_step);
    for (int r = 0; r < kRows; ++r) {
      const typename Simd::Inputs inputs = load_inputs(x + r * x_stride + i * kStepBytesX);
      for (int p = 0; p < kPanels; ++p)
        sums[r][p] = Simd::multiply_add(sums[r][p], inputs, weights[p]);
    }
  };
  const int64_t num_steps = tile.num_steps;
  if (tile.prefetch_panels == 0) {
    for (int64_t i = 0; i < num_steps; ++i) step(i, Simd::load_inputs);
  } else {
    const int64_t prefetch_end = tile.prefetch_panels * w_stride;
    for (int64_t i = 0; i < num_steps; ++i) {
      for (int64_t panel = 0; panel < prefetch_end; panel += w_stride)
        __builtin_prefetch(tile.prefetch + panel + i * w_step, 0, 2);
      step(i, Simd::load_inputs);
    }
  }
  if (tile.has_half_step) step(num_steps, Simd::load_half_inputs);

  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kPanels; ++p)
      Simd::store(tile.sums + r * tile.sums_stride + p * kPanelWidth, sums[r][p]);
}

/// `Simd` also offers the stores of Lanes.
template <typename Simd>
void store_tile(const GemmStore& store) {
  for (int64_t r = 0; r < store.num_rows; ++r) {
    char* const y = static_cast<char*>(store.y) + r * store.y_stride;
    for (int64_t c = 0; c < store.num_columns; c += kPanelWidth) {
      const int64_t left = store.num_columns - c;
      const int64_t columns = left < kPanelWidth ? left : kPanelWidth;
      typename Simd::F sums = Simd::load(store.sums + r * store.sums_stride + c);
      if (store.bias != nullptr) sums = Simd::add(sums, Simd::load(store.bias + c, columns));
      if (store.is_bf16)
        Simd::store_bf16(y + 2 * c, sums, columns);
      else
        Simd::store(reinterpret_cast<float*>(y) + c, sums, columns);
    }
  }
}

/// Tiles of up to kRows x kPanels, whose sums others store; the table's other entries stay null.
template <typename Simd, int kRows, int kPanels>
constexpr GemmMicro make_sums_micro() {
  GemmMicro micro{.max_rows = kRows, .max_panels = kPanels, .tiles = {}, .store = nullptr};
  constexpr auto kFill = []<int kCount>(GemmMicro& m, auto&& self) {
    if constexpr (kCount > 0) {
      constexpr int kRow = (kCount - 1) / kPanels;
      constexpr int kPanel = (kCount - 1) % kPanels;
      m.tiles[kRow][kPanel] = run_tile<Simd, kRow + 1, kPanel + 1>;
      self.template operator()<kCount - 1>(m, self);
    }
  };
  kFill.template operator()<kRows * kPanels>(micro, kFill);
  return micro;
}

template <typename Simd, int kRows, int kPanels>
constexpr GemmMicro make_gemm_micro() {
  GemmMicro micro = make_sums_micro<Simd, kRows, kPanels>();
  micro.store = store_tile<Simd>;
  return micro;
}

}  // namespace
}  // namespace veloz::cpu
