// SPDX-License-Identifier: Apache-2.0
#include "cpu/widened_rows.h"

#include "base/numeric.h"

namespace veloz::cpu {
namespace {

constexpr size_t kAlignment = 64;

}  // namespace

int64_t tile_row_bytes(const GemmMicro& micro, int64_t num_columns, int64_t step_columns) {
  return ceil_div(num_columns, step_columns) * micro.step_bytes_x;
}

size_t widened_rows_bytes(const GemmMicro& micro, const Shape& x, int64_t step_columns) {
  if (micro.widen == nullptr) return 0;
  return round_up(static_cast<size_t>(x[0] * tile_row_bytes(micro, x[1], step_columns)),
                  kAlignment);
}

std::span<std::byte> set_rows(PanelProduct& product, const TensorView& x, int64_t step_columns,
                              std::span<std::byte> workspace) {
  const GemmMicro& micro = *product.micro;
  const int64_t num_columns = x.shape[1];
  product.num_rows = x.shape[0];
  if (micro.widen != nullptr) {
    product.x = workspace.data();
    product.x_stride = tile_row_bytes(micro, num_columns, step_columns);
    product.num_steps = ceil_div(num_columns, step_columns);
    product.tail_bytes = 0;
    return workspace.subspan(widened_rows_bytes(micro, x.shape, step_columns));
  }
  const auto x_bytes = static_cast<int64_t>(dtype_bytes(x.dtype));
  product.x = x.as<const std::byte>();
  product.x_stride = x.row_stride * x_bytes;
  product.num_steps = num_columns / step_columns;
  product.tail_bytes = num_columns % step_columns * x_bytes;
  return workspace;
}

void widen_rows(const PanelProduct& product, const TensorView& x, Range rows, std::byte* copy) {
  if (product.micro->widen == nullptr) return;
  const ptrdiff_t x_stride = x.row_stride * static_cast<int64_t>(dtype_bytes(x.dtype));
  for (int64_t t = rows.begin; t < rows.end; ++t)
    product.micro->widen(x.as<const std::byte>() + t * x_stride, x.shape[1],
                         copy + t * product.x_stride);
}

void widen_rows(ThreadPool& pool, const PanelProduct& product, const TensorView& x,
                std::byte* copy) {
  if (product.micro->widen == nullptr) return;
  for_row_ranges(pool, x.shape[0], x.shape[1],
                 [&](Range rows) { widen_rows(product, x, rows, copy); });
}

}  // namespace veloz::cpu
