// SPDX-License-Identifier: Apache-2.0
#include "cpu/panel_pass.h"

#include <algorithm>

#include "base/error.h"
#include "base/numeric.h"
#include "cpu/parallel.h"

namespace veloz::cpu {
namespace {

// Half of a second-level cache of 1 MiB: packed rows are read again with every panel.
constexpr int64_t kMaxPackedBytes = int64_t{512} * 1024;

int64_t packed_bytes(int64_t num_rows, int64_t row_bytes) {
  return round_up(num_rows * round_up(row_bytes, kStepBytesX), kStepBytes);
}

int64_t row_bytes_of(const PanelProduct& product) {
  return product.num_steps * product.micro->step_bytes_x + product.tail_bytes;
}

}  // namespace

bool is_pass(const PanelProduct& product) {
  return product.dequantization == nullptr && product.groups.steps == 0 &&
         product.num_rows <= kMaxPassRows &&
         product.micro->passes[product.num_rows - 1] != nullptr &&
         packed_bytes(product.num_rows, row_bytes_of(product)) <= kMaxPackedBytes;
}

size_t pass_scratch_bytes(int64_t num_rows, int64_t row_bytes) {
  const int64_t bytes = packed_bytes(std::min<int64_t>(num_rows, kMaxPassRows), row_bytes);
  return static_cast<size_t>(std::min(bytes, kMaxPackedBytes));
}

void run_panel_pass(ThreadPool& pool, std::span<std::byte> workspace,
                    const PanelProduct& product) noexcept {
  const GemmMicro& micro = *product.micro;
  const int64_t row_bytes = row_bytes_of(product);
  const int64_t num_steps = ceil_div(row_bytes, micro.step_bytes_x);
  const int64_t num_panels = ceil_div(product.store.num_columns, kPanelWidth);
  const int num_threads = pool.num_threads();
  const auto bytes = static_cast<size_t>(packed_bytes(product.num_rows, row_bytes));
  VELOZ_DCHECK(workspace.size() >= static_cast<size_t>(num_threads) * bytes,
               "workspace of {} bytes", workspace.size());
  for_shared_ranges(pool, num_panels, 1, [&](int thread_idx) {
    // To wait for each other would cost more than to pack a few rows once on each thread.
    std::byte* const x = workspace.data() + static_cast<size_t>(thread_idx) * bytes;
    micro.pack_rows({.x = product.x,
                     .x_stride = product.x_stride,
                     .num_rows = product.num_rows,
                     .row_bytes = row_bytes,
                     .packed = x});
    return [&, x](Range panels) {
      for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
        alignas(kStepBytes) float sums[kMaxPassRows * kPanelWidth];
        ask_for_scales(product, {panel + 1, panel + 2});
        micro.passes[product.num_rows - 1]({.x = x,
                                            .w = product.w + panel * num_steps * kStepBytes,
                                            .num_steps = num_steps,
                                            .sums = sums});
        store_panels(product, micro, {0, product.num_rows}, {panel, panel + 1}, sums, kPanelWidth);
      }
    };
  });
}

}  // namespace veloz::cpu
