// SPDX-License-Identifier: Apache-2.0
#include "cuda/linear.h"

#include "cuda/linear_operands.h"

namespace veloz::cuda {
namespace {

using ops::Op;
using test::OwnedTensor;

constexpr DType kActivations[] = {DType::bf16, DType::fp32};
constexpr DType kCodes[] = {DType::int8, DType::fp8_e4m3, DType::uint4x2};
constexpr DType kScales[] = {DType::fp32, DType::bf16, DType::fp16};

ops::Kernel simple(Op op) {
  if (op == Op::linear) return kernel_named("linear/simple");
  return kernel_named(op == Op::quantized_linear ? "quantized_linear/simple"
                                                 : "weight_only_linear/simple");
}

/// Every pair of dtypes that an op takes, with a number of columns for each.
std::vector<LinearSpec> all_specs() {
  std::vector<LinearSpec> specs;
  for (const DType x : kActivations) {
    specs.push_back({.op = Op::linear, .x = x, .w = x});
    for (const DType w : kCodes)
      specs.push_back({.op = Op::weight_only_linear, .x = x, .w = w, .group = 64});
  }
  specs.push_back({.op = Op::quantized_linear, .x = DType::int8, .w = DType::int8});
  specs.push_back({.op = Op::quantized_linear, .x = DType::fp8_e4m3, .w = DType::fp8_e4m3});
  specs.push_back(
      {.op = Op::quantized_linear, .x = DType::fp8_e4m3, .w = DType::fp8_e4m3, .group = 32});
  specs.push_back({.op = Op::quantized_linear, .x = DType::int8, .w = DType::uint4x2, .group = 64});
  return specs;
}

TEST(SimpleLinears, MatchTheReferenceOnOddShapes) {
  for (const DType dtype : kActivations)
    for (const int64_t t : {1, 3, 9})
      for (const int64_t k : {1, 7, 64, 259, 1030})
        for (const int64_t n : {1, 5, 33}) {
          const LinearCall call({.x = dtype, .w = dtype, .to_fp32 = n == 5}, t, n, k,
                                static_cast<uint64_t>(t * 100 + n * 10 + k));
          call.expect_reference(simple(Op::linear));
        }
}

TEST(SimpleQuantizedLinears, MatchTheReferenceOnOddShapes) {
  for (const DType dtype : {DType::int8, DType::fp8_e4m3})
    for (const int64_t t : {1, 3, 9})
      for (const int64_t k : {1, 7, 64, 515, 1030})
        for (const int64_t n : {1, 5, 33}) {
          const LinearCall call(
              {.op = Op::quantized_linear, .x = dtype, .w = dtype, .to_fp32 = n != 5}, t, n, k,
              static_cast<uint64_t>(t * 100 + n * 10 + k));
          call.expect_reference(simple(Op::quantized_linear));
        }
}

TEST(SimpleQuantizedLinears, ScaleEveryGroup) {
  for (const int64_t group : {32, 96, 128})
    for (const int64_t t : {1, 5}) {
      LinearSpec spec{.op = Op::quantized_linear,
                      .x = DType::fp8_e4m3,
                      .w = DType::fp8_e4m3,
                      .group = group,
                      .to_fp32 = true};
      LinearCall(spec, t, 19, group * 7, 1).expect_reference(simple(Op::quantized_linear));
      for (const DType scales : kScales)
        for (const bool has_zeros : {false, true}) {
          spec.x = DType::int8;
          spec.w = DType::uint4x2;
          spec.scales = scales;
          spec.has_zeros = has_zeros;
          LinearCall(spec, t, 19, group * 7, 2).expect_reference(simple(Op::quantized_linear));
        }
    }
}

TEST(SimpleWeightOnlyLinears, MatchTheReferenceOnEveryGroupSchemeAndScale) {
  for (const DType x : kActivations)
    for (const DType w : kCodes)
      for (const int64_t group : {2, 32, 44})
        for (const DType scales : kScales) {
          const bool has_zeros = w != DType::fp8_e4m3 && scales != DType::bf16;
          const LinearCall call({.op = Op::weight_only_linear,
                                 .x = x,
                                 .w = w,
                                 .scales = scales,
                                 .group = group,
                                 .has_zeros = has_zeros,
                                 .to_fp32 = group == 32},
                                group == 2 ? 1 : 4, 19, group * 11, 3);
          call.expect_reference(simple(Op::weight_only_linear));
        }
}

TEST(SimpleWeightOnlyLinears, TakeOddNumbersOfColumnsOf8Bits) {
  for (const DType w : {DType::int8, DType::fp8_e4m3})
    for (const int64_t k : {1, 3, 31, 1029})
      LinearCall({.op = Op::weight_only_linear, .x = DType::bf16, .w = w, .to_fp32 = true}, 3, 7, k,
                 4)
          .expect_reference(simple(Op::weight_only_linear));
}

TEST(SimpleLinears, AddBiasAndReadAndWriteStridedRows) {
  for (LinearSpec spec : all_specs()) {
    spec.has_bias = true;
    spec.y_gap = 5;
    for (const int64_t gap : {3, 16}) {
      spec.x_gap = gap;
      LinearCall(spec, 5, 21, 192, 5).expect_reference(simple(spec.op));
    }
  }
}

TEST(SimpleLinears, GiveARowTheSameBitsInEveryBatch) {
  for (LinearSpec spec : all_specs()) {
    spec.to_fp32 = true;
    const LinearCall call(spec, 11, 18, 1088, 6);
    const OwnedTensor all = call.run(simple(spec.op));
    for (const int64_t t : {0, 4, 10})
      EXPECT_TENSOR_EQ(call.run_rows(simple(spec.op), t, t + 1).view(),
                       rows_of(all.view(), t, t + 1), 6)
          << to_text(spec);
    // Rows that do not begin at multiples of 16 bytes go another way.
    LinearSpec unaligned = spec;
    unaligned.x_gap = 1;
    EXPECT_TENSOR_EQ(LinearCall(unaligned, 11, 18, 1088, 6).run(simple(spec.op)).view(), all.view(),
                     6)
        << to_text(spec);
  }
}

TEST(SimpleLinears, TakeNoRows) {
  for (const LinearSpec& spec : all_specs()) {
    const LinearCall call(spec, 1, 8, 64, 7);
    EXPECT_EQ(call.run_rows(simple(spec.op), 0, 0).view().shape[0], 0);
  }
}

TEST(SimpleLinears, KeepNaNsInTheirRow) {
  for (const LinearSpec& spec : all_specs()) {
    if (spec.x == DType::int8) continue;
    const LinearCall call(spec, 3, 8, 192, 8);
    test::set_element(call.x(), 192 + 100, std::nan(""));
    const OwnedTensor y = call.run(simple(spec.op));
    for (int64_t i = 0; i < 3 * 8; ++i)
      EXPECT_EQ(std::isnan(test::element(y.view(), i)), i / 8 == 1) << to_text(spec) << ", " << i;
  }
}

}  // namespace
}  // namespace veloz::cuda
