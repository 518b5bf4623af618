// SPDX-License-Identifier: Apache-2.0
#include "cpu/quantized_linear.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "base/numeric.h"
#include "cpu/panel_product.h"
#include "cpu/parallel.h"

namespace veloz::cpu {
namespace {

constexpr size_t kAlignment = 64;
constexpr int64_t kCodesPerStep = 4;            // of one channel, in both layouts
constexpr int64_t kElementsPerThread = 131072;  // waking a thread costs about that many

/// What all forms have in common: y, the bias, one scale per row of x and of w.
GemmStore store_of(const ops::QuantizedLinearArgs& a) {
  GemmStore store = store_to(a.y, a.bias);
  store.w_scales = a.w_scales.as<const float>();
  store.x_scales = a.x_scales.as<const float>();
  store.x_scales_stride = a.x_scales.row_stride;
  return store;
}

/// Calls f(begin, end) for ranges of rows, on as many threads as have enough to do.
template <typename F>
void for_row_ranges(ThreadPool& pool, const TensorView& x, const F& f) {
  const int64_t rows = std::max<int64_t>(1, kElementsPerThread / x.shape[1]);
  pool.for_range(x.shape[0], round_up(rows, kMaxTileRows), f);
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

/// Bytes of a row of x in 16 bits, filled up with zeros to whole steps.
int64_t widened_row_bytes(int64_t columns) { return round_up(columns, kCodesPerStep) * 2; }

size_t widened_rows_bytes(const Shape& x) {
  return round_up(static_cast<size_t>(x[0] * widened_row_bytes(x[1])), kAlignment);
}

}  // namespace

size_t int8_linear_workspace_bytes(const ops::OpCall& call, int num_threads,
                                   const Int8Micro& micro) {
  const Shape& x = call.inputs[0].shape;
  return row_offsets_bytes(x[0]) +
         (micro.widen == nullptr
              ? panel_product_workspace_bytes(x[0], x[1], num_threads)
              : widened_rows_bytes(x) + expanded_product_workspace_bytes(x[0], num_threads));
}

void int8_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& a,
                 const Int8Micro& micro) noexcept {
  std::span<std::byte> workspace = context.workspace;
  const auto take = [&](size_t bytes) {
    std::byte* const taken = workspace.data();
    workspace = workspace.subspan(bytes);
    return taken;
  };
  auto* const offsets = reinterpret_cast<int32_t*>(take(row_offsets_bytes(a.x.shape[0])));
  PanelProduct product{.micro = micro.codes,
                       .num_rows = a.x.shape[0],
                       .x = a.x.as<const std::byte>(),
                       .x_stride = a.x.row_stride,
                       .w = a.w.as<const std::byte>(),
                       .num_steps = a.k_extent() / kCodesPerStep,
                       .tail_bytes = a.k_extent() % kCodesPerStep,
                       .store = store_of(a)};
  product.store.row_offsets = offsets;
  std::byte* widened = nullptr;
  if (micro.widen != nullptr) {
    widened = take(widened_rows_bytes(a.x.shape));
    product.expansion = &micro.expansion;
    product.x = widened;
    product.x_stride = widened_row_bytes(a.k_extent());
    product.num_steps = ceil_div(a.k_extent(), kCodesPerStep);
    product.tail_bytes = 0;
  }
  for_row_ranges(*context.pool, a.x, [&](int64_t begin, int64_t end) {
    if (widened != nullptr)
      for (int64_t t = begin; t < end; ++t)
        micro.widen(a.x.row<const int8_t>(t), a.k_extent(), widened + t * product.x_stride);
    find_row_offsets(product, {begin, end}, offsets);
  });
  run_panel_product(*context.pool, workspace, product);
}

size_t fp8_linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  const Shape& x = call.inputs[0].shape;
  return widened_rows_bytes(x) + expanded_product_workspace_bytes(x[0], num_threads);
}

void fp8_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& a,
                const Fp8Micro& micro) noexcept {
  const int64_t row_bytes = widened_row_bytes(a.k_extent());
  std::byte* const x = context.workspace.data();
  for_row_ranges(*context.pool, a.x, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      micro.widen(a.x.row<const uint8_t>(t), a.k_extent(), x + t * row_bytes);
  });
  const bool has_groups = a.num_groups() > 1;
  GemmStore store = store_of(a);
  GemmGroups groups;
  if (has_groups) {
    store.w_scales = nullptr;
    store.x_scales = nullptr;
    groups = {.steps = a.group() / kCodesPerStep,
              .w_scales = a.w_scales.as<const float>(),
              .w_scales_stride = a.num_groups() * kPanelWidth,
              .x_scales = a.x_scales.as<const float>(),
              .x_scales_stride = a.x_scales.row_stride};
  }
  run_panel_product(*context.pool, context.workspace.subspan(widened_rows_bytes(a.x.shape)),
                    {.micro = has_groups ? micro.grouped : micro.whole,
                     .expansion = has_groups ? &micro.grouped_expansion : &micro.whole_expansion,
                     .num_rows = a.x.shape[0],
                     .x = x,
                     .x_stride = row_bytes,
                     .w = a.w.as<const std::byte>(),
                     .num_steps = ceil_div(a.k_extent(), kCodesPerStep),
                     .groups = groups,
                     .store = store});
}

}  // namespace veloz::cpu
