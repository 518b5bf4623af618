// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "cuda/gemm.h"
#include "cuda/linear_operands.h"
#include "ops/linear.h"
#include "ops/quantized_linear.h"

namespace veloz::cuda {

/// The kinds of numbers that the tensor cores multiply.
inline constexpr LinearSpec kBf16{.op = ops::Op::linear, .x = DType::bf16, .w = DType::bf16};
inline constexpr LinearSpec kFp8{
    .op = ops::Op::quantized_linear, .x = DType::fp8_e4m3, .w = DType::fp8_e4m3};
inline constexpr LinearSpec kGroupedFp8{
    .op = ops::Op::quantized_linear, .x = DType::fp8_e4m3, .w = DType::fp8_e4m3, .group = 128};
inline constexpr LinearSpec kInt8{
    .op = ops::Op::quantized_linear, .x = DType::int8, .w = DType::int8};

/// Runs one tile by hand, on the device.
inline test::OwnedTensor run_tile(const LinearSpec& spec, const LinearCall& call,
                                  const GemmTile& tile) {
  const std::unique_ptr<Stream> stream = test_device().create_stream();
  const test::OwnedTensor y = call.make_y(call.x().shape[0]);
  DeviceTensors tensors;
  std::vector<TensorView> inputs;
  for (const TensorView& view : call.inputs()) inputs.push_back(tensors.add(view));
  const TensorView device_y = tensors.add(y.view());
  for (const auto& tensor : tensors.all()) tensor->upload(*stream);
  tensors.of(y.view()).upload_poisoned(*stream);
  // The weight is read before earlier kernels are waited for.
  stream->synchronize();

  const ops::OpCall op_call{.inputs = inputs, .outputs = {&device_y, 1}, .attrs = call.attrs()};
  auto& cuda_stream = static_cast<CudaStream&>(*stream);
  bool is_launched = false;
  if (spec.op == ops::Op::linear) {
    const auto args = ops::LinearArgs::from(op_call);
    is_launched = launch_bf16_gemm(
        cuda_stream, tile,
        {.x = args.x, .x_scales = {}, .w = args.w, .w_scales = {}, .bias = args.bias, .y = args.y});
  } else {
    const auto args = ops::QuantizedLinearArgs::from(op_call);
    const auto run = spec.x == DType::int8 ? launch_int8_gemm
                     : spec.group > 0      ? launch_grouped_fp8_gemm
                                           : launch_fp8_gemm;
    is_launched = run(cuda_stream, tile,
                      {.x = args.x,
                       .x_scales = args.x_scales,
                       .w = args.w,
                       .w_scales = args.w_scales,
                       .bias = args.bias,
                       .y = args.y});
  }
  EXPECT_TRUE(is_launched);
  for (const auto& tensor : tensors.all()) tensor->download(*stream);
  stream->synchronize();
  EXPECT_TRUE(tensors.of(y.view()).gaps_untouched());
  tensors.of(y.view()).write_back();
  return test::copy_of(y.view());
}

}  // namespace veloz::cuda
