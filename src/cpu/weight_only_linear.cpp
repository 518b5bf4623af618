// SPDX-License-Identifier: Apache-2.0
#include "cpu/weight_only_linear.h"

#include "cpu/panel_product.h"
#include "cpu/scales.h"
#include "cpu/widened_rows.h"

namespace veloz::cpu {
namespace {

const Dequantizer& dequantizer_of(DType codes, const DequantizeMicro& micro) {
  if (codes == DType::int8) return micro.int8;
  return codes == DType::uint4x2 ? micro.uint4x2 : micro.fp8;
}

}  // namespace

size_t weight_only_linear_workspace_bytes(const ops::OpCall& call, int num_threads,
                                          const GemmMicro& micro) {
  const TensorView& x = call.inputs[0];
  return widened_rows_bytes(micro, x.shape, columns_of_step(x.dtype)) +
         dequantized_product_workspace_bytes(x.shape[0], num_threads);
}

void weight_only_linear(ops::OpContext& context, const ops::WeightOnlyLinearArgs& a,
                        const GemmMicro& micro, const DequantizeMicro& dequantize) noexcept {
  const Dequantizer& dequantizer = dequantizer_of(a.w.dtype, dequantize);
  const int64_t x_step_columns = columns_of_step(a.x.dtype);
  const int64_t k = a.x.shape[1];
  const int64_t scales_per_panel = a.num_groups() * kPanelWidth;
  const ScaleType scale_type = scale_type_of(a.w_scales.dtype);
  const Dequantization dequantization{
      .run = a.x.dtype == DType::bf16 ? dequantizer.to_bf16 : dequantizer.to_fp32,
      .step_columns = dequantizer.step_columns,
      .expanded_steps = dequantizer.step_columns / x_step_columns,
      .num_columns = k,
      .group = a.group(),
      .scale_type = scale_type,
      .scales = a.w_scales.as<const char>(),
      .scales_stride = scales_per_panel * bytes_of(scale_type),
      .zeros = a.w_zeros.as<const char>(),
      .zeros_stride = scales_per_panel};
  PanelProduct product{.micro = &micro,
                       .dequantization = &dequantization,
                       .w = a.w.as<const std::byte>(),
                       .store = store_to(a.y, a.bias)};
  const std::span<std::byte> rest = set_rows(product, a.x, x_step_columns, context.workspace);
  // Steps are those of the codes, of which the tiles' make up the last one.
  const int64_t num_steps = k / dequantizer.step_columns;
  product.tail_bytes +=
      (product.num_steps - num_steps * dequantization.expanded_steps) * micro.step_bytes_x;
  product.num_steps = num_steps;
  widen_rows(*context.pool, product, a.x, context.workspace.data());
  run_panel_product(*context.pool, rest, product);
}

}  // namespace veloz::cpu
