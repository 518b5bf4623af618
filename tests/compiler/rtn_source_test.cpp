// SPDX-License-Identifier: Apache-2.0
#include "compiler/rtn_source.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "compiler/quant_schemes.h"
#include "ops/quantize_weights.h"
#include "support/expect_error.h"
#include "support/memory_source.h"

namespace veloz::compiler {
namespace {

using test::MemorySource;
using test::OwnedTensor;
using test::read_tensor;

constexpr int64_t kRows = 37;
constexpr int64_t kColumns = 256;

MemorySource source_of(DType dtype) {
  MemorySource source;
  source.add("m.weight", test::random_tensor(dtype, {kRows, kColumns}, 1));
  source.add("m.bias", test::random_tensor(DType::fp32, {kRows}, 2));
  source.add("n.weight", test::random_tensor(dtype, {kRows, kColumns}, 3));
  return source;
}

RtnLinear linear_of(std::string_view scheme) {
  const QuantScheme& entry = quant_scheme(scheme, "");
  return {entry.linear, "m.weight", entry.has_one_scale};
}

/// What codes and scales stand for.
OwnedTensor dequantized(const RtnSource& source) {
  const OwnedTensor codes = read_tensor(source, "m.weight");
  const OwnedTensor scales = read_tensor(source, "m.weight_scale");
  const std::optional<OwnedTensor> zeros = source.find("m.weight_zero")
                                               ? std::optional(read_tensor(source, "m.weight_zero"))
                                               : std::nullopt;
  OwnedTensor w(DType::fp32, {kRows, kColumns});
  ops::dequantize_weights(codes.view(), scales.view(), zeros ? zeros->view() : TensorView(),
                          w.view());
  return w;
}

class RtnSchemes : public testing::TestWithParam<std::string> {};

TEST_P(RtnSchemes, StandForTheWeightsUpToHalfAStep) {
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    const MemorySource floats = source_of(dtype);
    const RtnSource source(floats, {{"m", linear_of(GetParam())}});
    const OwnedTensor w = read_tensor(floats, "m.weight");
    const checkpoint::LinearScheme& scheme = quant_scheme(GetParam(), "").linear;
    // Half a step of the largest weight; FP8 has 3 bits behind the leading one.
    const double allowed = scheme.weight == DType::int8      ? 0.5 / 127
                           : scheme.weight == DType::uint4x2 ? 0.5 / 7 * 1.001
                                                             : 1.0 / 16;
    EXPECT_TENSOR_NEAR(dequantized(source).view(), w.view(),
                       (test::Tolerance{.absolute = allowed, .relative = 0}), 1);
  }
}

TEST_P(RtnSchemes, GiveTheSameRowsInPieces) {
  const MemorySource floats = source_of(DType::bf16);
  const RtnSource source(floats, {{"m", linear_of(GetParam())}});
  for (const std::string name : {"m.weight", "m.weight_scale"}) {
    const OwnedTensor all = read_tensor(source, name);
    const int64_t columns = all.view().shape[1];
    for (int64_t begin = 0; begin < kRows; begin += 5) {
      const int64_t end = std::min(begin + 5, kRows);
      const OwnedTensor part = read_tensor(source, name, begin, end);
      for (int64_t i = 0; i < (end - begin) * columns; ++i)
        ASSERT_EQ(test::element(part.view(), i), test::element(all.view(), begin * columns + i))
            << name;
    }
  }
}

std::vector<std::string> scheme_names() {
  std::vector<std::string> names;
  for (const QuantScheme& scheme : quant_schemes()) names.emplace_back(scheme.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Names, RtnSchemes, testing::ValuesIn(scheme_names()),
                         [](const auto& scheme) {
                           std::string name = scheme.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(RtnSource, OffersTheTensorsOfItsScheme) {
  const MemorySource floats = source_of(DType::bf16);
  const RtnSource source(floats, {{"m", linear_of("int4")}});
  EXPECT_EQ(source.find("m.weight")->dtype, DType::uint4x2);
  EXPECT_EQ(source.find("m.weight")->shape, (Shape{kRows, kColumns / 2}));
  EXPECT_EQ(source.find("m.weight_scale")->dtype, DType::fp16);
  EXPECT_EQ(source.find("m.weight_scale")->shape, (Shape{kRows, kColumns / 32}));
  EXPECT_EQ(source.find("m.weight_zero"), std::nullopt);
}

TEST(RtnSource, LeavesOtherTensorsAsTheyAre) {
  const MemorySource floats = source_of(DType::bf16);
  const RtnSource source(floats, {{"m", linear_of("int8")}});
  EXPECT_EQ(source.find("n.weight_scale"), std::nullopt);
  EXPECT_EQ(source.find("nothing"), std::nullopt);
  for (const char* name : {"n.weight", "m.bias"})
    EXPECT_TENSOR_EQ(read_tensor(source, name).view(), read_tensor(floats, name).view(), 0);
}

TEST(RtnSource, TakesTheWeightOfAnotherNameWhereItIsTold) {
  const MemorySource floats = source_of(DType::bf16);
  const RtnSource source(floats, {{"lm_head", linear_of("int8")}});
  EXPECT_EQ(source.find("lm_head.weight")->dtype, DType::int8);
  EXPECT_EQ(source.find("m.weight")->dtype, DType::bf16);
}

TEST(RtnSource, GivesAllRowsOneScaleWhereTheSchemeIsPerTensor) {
  const MemorySource floats = source_of(DType::fp32);
  const RtnSource source(floats, {{"m", linear_of("int4-tensor")}});
  const OwnedTensor scales = read_tensor(source, "m.weight_scale");
  for (int64_t n = 1; n < kRows; ++n)
    EXPECT_EQ(test::element(scales.view(), n), test::element(scales.view(), 0));
}

TEST(RtnSource, RefusesWeightsThatAreNotFinite) {
  MemorySource floats = source_of(DType::fp32);
  OwnedTensor damaged = test::random_tensor(DType::fp32, {kRows, kColumns}, 1);
  damaged.view().row<float>(3)[7] = std::numeric_limits<float>::quiet_NaN();
  floats.add("m.weight", std::move(damaged));
  const RtnSource source(floats, {{"m", linear_of("int8")}});
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input,
                                 {"tensor \"m.weight\" has 1 NaN and 0 infinite values"},
                                 [&] { read_tensor(source, "m.weight_scale"); }));
}

}  // namespace
}  // namespace veloz::compiler
