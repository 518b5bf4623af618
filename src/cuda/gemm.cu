// SPDX-License-Identifier: Apache-2.0
#include "cuda/gemm.h"

#include "cuda/launch.h"
#include "cuda/linear.h"

namespace veloz::cuda {
namespace {

GemmTile tile_for(const CudaStream& stream, const GemmCall& call, bool is_grouped) {
  return choose_gemm_tile(call.y.shape[0], call.y.shape[1], call.x.shape[1], call.x.dtype,
                          is_grouped, stream.num_multiprocessors());
}

}  // namespace

void gemm_linear(ops::OpContext& context, const ops::LinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  CudaStream& stream = stream_of(context);
  const GemmCall call{
      .x = args.x, .x_scales = {}, .w = args.w, .w_scales = {}, .bias = args.bias, .y = args.y};
  if (!launch_bf16_gemm(stream, tile_for(stream, call, false), call)) simple_linear(context, args);
}

void gemm_quantized_linear(ops::OpContext& context, const ops::QuantizedLinearArgs& args) noexcept {
  if (args.y.shape[0] == 0) return;
  CudaStream& stream = stream_of(context);
  const GemmCall call{.x = args.x,
                      .x_scales = args.x_scales,
                      .w = args.w,
                      .w_scales = args.w_scales,
                      .bias = args.bias,
                      .y = args.y};
  const bool is_grouped = args.num_groups() > 1;
  const GemmTile tile = tile_for(stream, call, is_grouped);
  const auto run = args.x.dtype == DType::int8 ? launch_int8_gemm
                   : is_grouped                ? launch_grouped_fp8_gemm
                                               : launch_fp8_gemm;
  if (!run(stream, tile, call)) simple_quantized_linear(context, args);
}

}  // namespace veloz::cuda
