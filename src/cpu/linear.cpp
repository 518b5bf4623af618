// SPDX-License-Identifier: Apache-2.0
#include "cpu/linear.h"

#include "cpu/panel_product.h"

namespace veloz::cpu {

size_t linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  const TensorView& x = call.inputs[0];
  return panel_product_workspace_bytes(
      x.shape[0], x.shape[1] * static_cast<int64_t>(dtype_bytes(x.dtype)), num_threads);
}

void linear(ops::OpContext& context, const ops::LinearArgs& a, const GemmMicro& micro) noexcept {
  const auto x_bytes = static_cast<int64_t>(dtype_bytes(a.x.dtype));
  const int64_t row_bytes = a.x.shape[1] * x_bytes;
  run_panel_product(*context.pool, context.workspace,
                    {.micro = &micro,
                     .num_rows = a.x.shape[0],
                     .x = a.x.as<const std::byte>(),
                     .x_stride = a.x.row_stride * x_bytes,
                     .w = a.w.as<const std::byte>(),
                     .num_steps = row_bytes / micro.step_bytes_x,
                     .tail_bytes = row_bytes % micro.step_bytes_x,
                     .store = store_to(a.y, a.bias)});
}

}  // namespace veloz::cpu
