// SPDX-License-Identifier: Apache-2.0
#include "cuda/gemm.h"

#include "cuda/linear_operands.h"
#include "ops/linear.h"
#include "ops/quantized_linear.h"

/// Every tile of the wgmma kernels, against the references and against each other.
namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

constexpr LinearSpec kBf16{.op = Op::linear, .x = DType::bf16, .w = DType::bf16};
constexpr LinearSpec kFp8{.op = Op::quantized_linear, .x = DType::fp8_e4m3, .w = DType::fp8_e4m3};
constexpr LinearSpec kGroupedFp8{
    .op = Op::quantized_linear, .x = DType::fp8_e4m3, .w = DType::fp8_e4m3, .group = 128};
constexpr LinearSpec kInt8{.op = Op::quantized_linear, .x = DType::int8, .w = DType::int8};

/// Runs one tile by hand, on the device.
OwnedTensor run_tile(const LinearSpec& spec, const LinearCall& call, const GemmTile& tile) {
  const std::unique_ptr<Stream> stream = test_device().create_stream();
  const OwnedTensor y = call.make_y(call.x().shape[0]);
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
  if (spec.op == Op::linear) {
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

class GemmTiles : public ::testing::TestWithParam<LinearSpec> {
 protected:
  LinearSpec spec() const { return GetParam(); }
  bool is_grouped() const { return spec().group > 0; }
  int64_t slice() const { return spec().x == DType::bf16 ? 64 : 128; }
  void expect_reference(const LinearSpec& spec, int64_t t, int64_t n, int64_t k,
                        const GemmTile& tile, uint64_t seed) const {
    const LinearCall call(spec, t, n, k, seed);
    const auto want = test::run_reference(spec.op, call.inputs(), call.attrs());
    EXPECT_WITHIN_TOLERANCE(spec.op, call.inputs(), want, 0, run_tile(spec, call, tile).view(),
                            call.attrs(), seed)
        << to_text(spec) << ", tile " << tile.rows << " by " << tile.tokens;
  }
};

TEST_P(GemmTiles, MatchTheReferenceOverTheEdgesOfEveryTile) {
  for (const GemmTile& tile : kGemmTiles) {
    if (!has_gemm_tile(tile, is_grouped())) continue;
    LinearSpec edge = spec();
    edge.has_bias = true;
    edge.to_fp32 = tile.rows != 64;
    // Rows and tokens just past a tile; columns just past a slice where they may be.
    expect_reference(edge, tile.tokens + 3, tile.rows + 11,
                     is_grouped() ? 3 * slice() : 2 * slice() + 16, tile, 1);
    expect_reference(spec(), 1, 8, slice(), tile, 2);
  }
}

TEST_P(GemmTiles, HaveTheSameBits) {
  LinearSpec exact = spec();
  exact.to_fp32 = true;
  const LinearCall call(exact, 21, 300, 9 * slice(), 3);
  const OwnedTensor first = run_tile(exact, call, kGemmTiles[0]);
  for (const GemmTile& tile : kGemmTiles) {
    if (!has_gemm_tile(tile, is_grouped())) continue;
    EXPECT_TENSOR_EQ(run_tile(exact, call, tile).view(), first.view(), 3)
        << tile.rows << " by " << tile.tokens;
  }
}

TEST_P(GemmTiles, GoRoundTheRingAndOverManyTiles) {
  // More slices than stages, more tiles than blocks, more than a band of tiles of tokens.
  expect_reference(spec(), 5, 40, 45 * slice(), {64, 8}, 4);
  expect_reference(spec(), 150, 200, 2 * slice(), {64, 8}, 5);
  if (!is_grouped()) expect_reference(spec(), 130, 520, 6 * slice(), {256, 128}, 6);
}

TEST_P(GemmTiles, ReadAndWriteStridedRows) {
  LinearSpec strided = spec();
  strided.x_gap = 16;
  for (const int64_t gap : {8, 3}) {
    strided.y_gap = gap;
    expect_reference(strided, 9, 72, 2 * slice(), {64, 8}, 7);
  }
}

INSTANTIATE_TEST_SUITE_P(Cuda, GemmTiles, ::testing::Values(kBf16, kFp8, kGroupedFp8, kInt8),
                         [](const auto& param) {
                           return std::string(to_string(param.param.x)) +
                                  (param.param.group > 0 ? "_grouped" : "");
                         });

TEST(GemmKernels, KeepNaNsInTheirRow) {
  for (const LinearSpec& spec : {kBf16, kFp8, kGroupedFp8}) {
    const LinearCall call(spec, 3, 24, 256, 8);
    test::set_element(call.x(), 256 + 100, std::nan(""));
    const OwnedTensor y = run_tile(spec, call, {64, 8});
    for (int64_t i = 0; i < 3 * 24; ++i)
      EXPECT_EQ(std::isnan(test::element(y.view(), i)), i / 24 == 1) << to_text(spec) << ", " << i;
  }
}

TEST(GemmKernels, SumInt8ExactlyAtTheExtremes) {
  const int64_t k = 2048;
  LinearSpec spec = kInt8;
  spec.to_fp32 = true;
  const LinearCall call(spec, 2, 8, k, 9);
  for (const size_t operand : {size_t{0}, size_t{2}})
    for (int64_t i = 0; i < call.inputs()[operand].shape.num_elements(); ++i)
      test::set_element(call.inputs()[operand], i, -128);
  for (const size_t operand : {size_t{1}, size_t{3}})
    for (int64_t i = 0; i < call.inputs()[operand].shape.num_elements(); ++i)
      test::set_element(call.inputs()[operand], i, 1);
  const OwnedTensor y = run_tile(spec, call, {64, 8});
  for (int64_t i = 0; i < 16; ++i)
    EXPECT_EQ(test::element(y.view(), i), static_cast<double>(k) * 128 * 128);
}

TEST(GemmKernels, StepBackWhereTheCopyEngineCannotRead) {
  LinearSpec spec = kFp8;
  spec.x_gap = 5;  // rows begin anywhere
  LinearCall(spec, 3, 40, 256, 10).expect_reference(kernel_named("quantized_linear/wgmma"));
  spec = kBf16;
  spec.x_gap = 1;
  LinearCall(spec, 3, 40, 128, 11).expect_reference(kernel_named("linear/wgmma"));
}

TEST(GemmKernels, AreChosenByTheRegistryForWhatTheyMultiply) {
  const auto takes = [](const LinearSpec& spec, std::string_view kernel, int64_t k) {
    const LinearCall call(spec, 2, 16, k, 12);
    return accepts(kernel_named(kernel), call.inputs(), {call.make_y(2).view()}, call.attrs());
  };
  for (const LinearSpec& spec : {kFp8, kGroupedFp8, kInt8}) {
    EXPECT_TRUE(takes(spec, "quantized_linear/wgmma", 256)) << to_text(spec);
    EXPECT_TRUE(takes(spec, "quantized_linear/simple", 256));
  }
  EXPECT_TRUE(takes(kBf16, "linear/wgmma", 72));
  EXPECT_FALSE(takes(kBf16, "linear/wgmma", 60));
  EXPECT_FALSE(takes(kFp8, "quantized_linear/wgmma", 120));
  LinearSpec spec = kGroupedFp8;
  spec.group = 64;
  EXPECT_FALSE(takes(spec, "quantized_linear/wgmma", 256));
  spec = {.op = Op::quantized_linear, .x = DType::int8, .w = DType::uint4x2, .group = 128};
  EXPECT_FALSE(takes(spec, "quantized_linear/wgmma", 256));
  spec = {.op = Op::linear, .x = DType::fp32, .w = DType::fp32};
  EXPECT_FALSE(takes(spec, "linear/wgmma", 256));
}

TEST(GemmKernels, GiveARowTheSameBitsInEveryBatch) {
  for (LinearSpec spec : {kBf16, kFp8, kGroupedFp8, kInt8}) {
    spec.to_fp32 = true;
    const LinearCall call(spec, 40, 80, 384, 13);
    const ops::Kernel kernel =
        kernel_named(spec.op == Op::linear ? "linear/wgmma" : "quantized_linear/wgmma");
    const OwnedTensor all = call.run(kernel);
    for (const int64_t t : {0, 17, 39})
      EXPECT_TENSOR_EQ(call.run_rows(kernel, t, t + 1).view(), rows_of(all.view(), t, t + 1), 13)
          << to_text(spec);
  }
}

}  // namespace
}  // namespace veloz::cuda
