// SPDX-License-Identifier: Apache-2.0
#include "cpu/weight_only_linear.h"

#include "cpu/panel_product.h"
#include "cpu/scales.h"

namespace veloz::cpu {
namespace {

const Dequantizer& dequantizer_of(DType codes, const DequantizeMicro& micro) {
  if (codes == DType::int8) return micro.int8;
  return codes == DType::uint4x2 ? micro.uint4x2 : micro.fp8;
}

}  // namespace

size_t weight_only_linear_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return expanded_product_workspace_bytes(call.inputs[0].shape[0], num_threads);
}

void weight_only_linear(ops::OpContext& context, const ops::WeightOnlyLinearArgs& a,
                        const GemmMicro& micro, const DequantizeMicro& dequantize) noexcept {
  const Dequantizer& dequantizer = dequantizer_of(a.w.dtype, dequantize);
  const auto x_bytes = static_cast<int64_t>(dtype_bytes(a.x.dtype));
  const int64_t k = a.x.shape[1];
  const int64_t scales_per_panel = a.num_groups() * kPanelWidth;
  const ScaleType scale_type = scale_type_of(a.w_scales.dtype);
  const Dequantization dequantization{
      .run = a.x.dtype == DType::bf16 ? dequantizer.to_bf16 : dequantizer.to_fp32,
      .step_columns = dequantizer.step_columns,
      .expanded_steps = dequantizer.step_columns * x_bytes / kStepBytesX,
      .num_columns = k,
      .group = a.group(),
      .scale_type = scale_type,
      .scales = a.w_scales.as<const char>(),
      .scales_stride = scales_per_panel * bytes_of(scale_type),
      .zeros = a.w_zeros.as<const char>(),
      .zeros_stride = scales_per_panel};
  run_panel_product(*context.pool, context.workspace,
                    {.micro = &micro,
                     .dequantization = &dequantization,
                     .num_rows = a.x.shape[0],
                     .x = a.x.as<const std::byte>(),
                     .x_stride = a.x.row_stride * x_bytes,
                     .w = a.w.as<const std::byte>(),
                     .num_steps = k / dequantizer.step_columns,
                     .tail_bytes = k % dequantizer.step_columns * x_bytes,
                     .store = store_to(a.y, a.bias)});
}

}  // namespace veloz::cpu
