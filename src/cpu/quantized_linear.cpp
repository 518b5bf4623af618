// SPDX-License-Identifier: Apache-2.0
#include "cpu/quantized_linear.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "base/numeric.h"
#include "cpu/panel_product.h"
#include "cpu/parallel.h"
#include "cpu/widened_rows.h"

namespace veloz::cpu {
namespace {

constexpr size_t kAlignment = 64;
constexpr int64_t kCodesPerStep = 4;  // of one channel, in both layouts

/// What all forms have in common: y, the bias, one scale per row of x and of w.
GemmStore store_of(const ops::QuantizedLinearArgs& a) {
  GemmStore store = store_to(a.y, a.bias);
  store.w_scales = a.w_scales.as<const float>();
  store.x_scales = a.x_scales.as<const float>();
  store.x_scales_stride = a.x_scales.row_stride;
  return store;
}

/// offsets[t] = -128 * sum of the codes of row t: the product with a weight of 128s, changed in
/// sign.
void find_row_offsets(const PanelProduct& product, Range rows, int32_t* offsets) {
  const GemmMicro& micro = *product.micro;
  alignas(kAlignment) std::array<uint8_t, kStepBytes> weight;
  weight.fill(0x80);
  for (int64_t row = rows.begin; row < rows.end; row += micro.max_rows) {
    const int64_t count = std::min(micro.max_rows, rows.end - row);
    std::array<int32_t, kMaxTileRows * kPanelWidth> sums;
    micro.tiles[count - 1][0]({.x = product.x + row * product.x_stride,
                               .x_stride = product.x_stride,
                               .w = weight.data(),
                               .w_stride = 0,
                               .w_step = 0,  // the same step again and again
                               .num_steps = product.num_steps,
                               .tail_bytes = product.tail_bytes,
                               .continues = false,
                               .sums = reinterpret_cast<float*>(sums.data()),
                               .sums_stride = kPanelWidth,
                               .prefetch = nullptr,
                               .prefetch_panels = 0});
    for (int64_t r = 0; r < count; ++r)
      offsets[row + r] = -sums[static_cast<size_t>(r * kPanelWidth)];
  }
}

size_t row_offsets_bytes(int64_t num_rows) {
  return round_up(static_cast<size_t>(num_rows) * sizeof(int32_t), kAlignment);
}

}  // namespace

size_t int8_linear_workspace_bytes(const ops::OpCall& call, int num_threads,
                                   const GemmMicro& micro) {
  const Shape& x = call.inputs[0].shape;
  return row_offsets_bytes(x[0]) + widened_rows_bytes(micro, x, kCodesPerStep) +
         panel_product_workspace_bytes(micro, x[0], x[1], num_threads);
}

void int8_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& a,
                 const GemmMicro& micro) noexcept {
  auto* const offsets = reinterpret_cast<int32_t*>(context.workspace.data());
  const std::span<std::byte> workspace = context.workspace.subspan(row_offsets_bytes(a.x.shape[0]));
  PanelProduct product{.micro = &micro, .w = a.w.as<const std::byte>(), .store = store_of(a)};
  product.store.row_offsets = offsets;
  const std::span<std::byte> rest = set_rows(product, a.x, kCodesPerStep, workspace);
  for_row_ranges(*context.pool, a.x.shape[0], a.k_extent(), [&](Range rows) {
    widen_rows(product, a.x, rows, workspace.data());
    find_row_offsets(product, rows, offsets);
  });
  run_panel_product(*context.pool, rest, product);
}

size_t fp8_linear_workspace_bytes(const ops::OpCall& call, int num_threads, const Fp8Micro& micro) {
  const Shape& x = call.inputs[0].shape;
  return widened_rows_bytes(*micro.whole, x, kCodesPerStep) +
         panel_product_workspace_bytes(
             *micro.whole, x[0], tile_row_bytes(*micro.whole, x[1], kCodesPerStep), num_threads);
}

// Each code becomes a step of its own, of fp32.
static_assert(kMaxFp8Group == kStepsPerBlock);

void fp8_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& a,
                const Fp8Micro& micro) noexcept {
  const bool has_groups = a.num_groups() > 1;
  PanelProduct product{.micro = has_groups ? micro.grouped : micro.whole,
                       .w = a.w.as<const std::byte>(),
                       .store = store_of(a)};
  if (has_groups) {
    product.store.w_scales = nullptr;
    product.store.x_scales = nullptr;
    product.groups = {.steps = a.group() / kCodesPerStep,
                      .w_scales = a.w_scales.as<const float>(),
                      .w_scales_stride = a.num_groups() * kPanelWidth,
                      .x_scales = a.x_scales.as<const float>(),
                      .x_scales_stride = a.x_scales.row_stride};
  }
  const std::span<std::byte> rest = set_rows(product, a.x, kCodesPerStep, context.workspace);
  widen_rows(*context.pool, product, a.x, context.workspace.data());
  run_panel_product(*context.pool, rest, product);
}

}  // namespace veloz::cpu
