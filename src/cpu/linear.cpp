// SPDX-License-Identifier: Apache-2.0
#include "cpu/linear.h"

#include "cpu/panel_product.h"
#include "cpu/widened_rows.h"

namespace veloz::cpu {

size_t linear_workspace_bytes(const ops::OpCall& call, int num_threads, const GemmMicro& micro) {
  const TensorView& x = call.inputs[0];
  const int64_t step_columns = columns_of_step(x.dtype);
  return widened_rows_bytes(micro, x.shape, step_columns) +
         panel_product_workspace_bytes(
             micro, x.shape[0], tile_row_bytes(micro, x.shape[1], step_columns), num_threads);
}

void linear(ops::OpContext& context, const ops::LinearArgs& a, const GemmMicro& micro) noexcept {
  PanelProduct product{
      .micro = &micro, .w = a.w.as<const std::byte>(), .store = store_to(a.y, a.bias)};
  const std::span<std::byte> rest =
      set_rows(product, a.x, columns_of_step(a.x.dtype), context.workspace);
  widen_rows(*context.pool, product, a.x, context.workspace.data());
  run_panel_product(*context.pool, rest, product);
}

}  // namespace veloz::cpu
