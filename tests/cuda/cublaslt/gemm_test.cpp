// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/gemm.h"

#include <gtest/gtest.h>

#include <set>

namespace veloz::cuda {
namespace {

using ops::Op;
using ops::Symbol;
using ops::ValueType;

const ops::Attrs kNoAttrs;

std::optional<Gemm> linear(DType x, int64_t n, int64_t k, DType y, bool has_bias = false) {
  std::vector<ValueType> inputs = {{x, {Symbol::T, k}}, {x, {n, k}}};
  if (has_bias) inputs.push_back({DType::fp32, {n}});
  const std::vector<ValueType> outputs = {{y, {Symbol::T, n}}};
  return gemm_of({Op::linear, inputs, outputs, kNoAttrs, "plain"});
}

std::optional<Gemm> quantized(DType x, DType w, int64_t num_groups, int64_t n = 64, int64_t k = 256,
                              bool has_bias = false) {
  std::vector<ValueType> inputs = {{x, {Symbol::T, k}},
                                   {DType::fp32, {Symbol::T, num_groups}},
                                   {w, {n, k}},
                                   {DType::fp32, {n, num_groups}}};
  if (has_bias) inputs.push_back({DType::fp32, {n}});
  const std::vector<ValueType> outputs = {{DType::bf16, {Symbol::T, n}}};
  return gemm_of({Op::quantized_linear, inputs, outputs, kNoAttrs, "plain"});
}

TEST(GemmOf, TakesABf16Linear) {
  const auto gemm = linear(DType::bf16, 48, 256, DType::fp32);
  ASSERT_TRUE(gemm);
  EXPECT_EQ(*gemm, (Gemm{.n = 48, .k = 256, .out = DType::fp32}));
}

TEST(GemmOf, TakesAnFp8LinearWithScalesPerRow) {
  const auto gemm = quantized(DType::fp8_e4m3, DType::fp8_e4m3, 1);
  ASSERT_TRUE(gemm);
  EXPECT_EQ(*gemm, (Gemm{.n = 64,
                         .k = 256,
                         .operands = DType::fp8_e4m3,
                         .out = DType::bf16,
                         .scaling = GemmScaling::rows}));
}

TEST(GemmOf, LeavesWhatTheLibraryLacksToOtherKernels) {
  EXPECT_FALSE(linear(DType::fp32, 48, 256, DType::fp32));
  EXPECT_FALSE(linear(DType::bf16, 48, 256, DType::bf16, /*has_bias=*/true));
  EXPECT_FALSE(linear(DType::bf16, 48, 252, DType::bf16)) << "rows of 504 bytes";
  EXPECT_FALSE(linear(DType::bf16, 44, 256, DType::bf16));
  EXPECT_FALSE(quantized(DType::fp8_e4m3, DType::fp8_e4m3, 2)) << "groups";
  EXPECT_FALSE(quantized(DType::int8, DType::int8, 1));
  EXPECT_FALSE(quantized(DType::int8, DType::uint4x2, 1));
  EXPECT_FALSE(quantized(DType::fp8_e4m3, DType::fp8_e4m3, 1, 64, 256, /*has_bias=*/true));
  EXPECT_FALSE(quantized(DType::fp8_e4m3, DType::fp8_e4m3, 1, 64, 264)) << "K not of 16";
  EXPECT_FALSE(quantized(DType::fp8_e4m3, DType::fp8_e4m3, 1, 72)) << "N not of 16";
}

TEST(GemmOf, LeavesAnotherWeightLayoutAlone) {
  const std::vector<ValueType> inputs = {{DType::bf16, {Symbol::T, 64}}, {DType::bf16, {64, 64}}};
  const std::vector<ValueType> outputs = {{DType::bf16, {Symbol::T, 64}}};
  EXPECT_FALSE(gemm_of({Op::linear, inputs, outputs, kNoAttrs, "n16k2_bf16"}));
}

TEST(TokenBucket, IsTheNextLargerOne) {
  EXPECT_EQ(token_bucket(1), 1);
  EXPECT_EQ(token_bucket(3), 4);
  EXPECT_EQ(token_bucket(129), 192);
  EXPECT_EQ(token_bucket(193), 256);
  EXPECT_EQ(token_bucket(8192), 8192);
  EXPECT_EQ(token_bucket(100000), 8192);
}

TEST(TokenBucket, AllUpToTheLargestStepAreListed) {
  const std::vector<Gemm> gemms = in_all_buckets({.n = 64, .k = 32}, 5);
  ASSERT_EQ(gemms.size(), 4u);
  EXPECT_EQ(gemms.back(), (Gemm{.tokens = 8, .n = 64, .k = 32}));
  EXPECT_EQ(in_all_buckets({.n = 64, .k = 32}, 20000).size(), kTokenBuckets.size());
}

TEST(GemmText, DiffersForProductsThatDiffer) {
  const Gemm base{.tokens = 2, .n = 64, .k = 32};
  std::set<std::string> texts;
  const auto with = [&](auto change) {
    Gemm gemm = base;
    change(gemm);
    texts.insert(to_string(gemm));
  };
  with([](Gemm&) {});
  with([](Gemm& gemm) { gemm.tokens = 4; });
  with([](Gemm& gemm) { gemm.n = 128; });
  with([](Gemm& gemm) { gemm.k = 128; });
  with([](Gemm& gemm) { gemm.operands = DType::fp8_e4m3; });
  with([](Gemm& gemm) { gemm.out = DType::fp32; });
  with([](Gemm& gemm) { gemm.same_bits = true; });
  with([](Gemm& gemm) { gemm.scaling = GemmScaling::rows; });
  with([](Gemm& gemm) { gemm.scaling = GemmScaling::scalars; });
  with([](Gemm& gemm) { gemm.fast_accumulation = true; });
  EXPECT_EQ(texts.size(), 10u);
}

TEST(Gemm, TheLibraryIsAskedWhereItWasMeasuredToBeFaster) {
  const auto is_asked = [](DType operands, int64_t tokens, int64_t n, int64_t k) {
    return is_library_faster({.tokens = tokens, .n = n, .k = k, .operands = operands});
  };
  for (const int64_t tokens : {1, 64, 8192})
    EXPECT_TRUE(is_asked(DType::bf16, tokens, 32000, 8192));
  EXPECT_FALSE(is_asked(DType::fp8_e4m3, 1, 57344, 8192));
  EXPECT_FALSE(is_asked(DType::fp8_e4m3, 127, 57344, 8192));
  EXPECT_TRUE(is_asked(DType::fp8_e4m3, 128, 8192, 8192));
  EXPECT_FALSE(is_asked(DType::fp8_e4m3, 128, 4096, 14336));
  EXPECT_FALSE(is_asked(DType::fp8_e4m3, 255, 4096, 14336));
  EXPECT_TRUE(is_asked(DType::fp8_e4m3, 256, 4096, 4096));
}

}  // namespace
}  // namespace veloz::cuda
