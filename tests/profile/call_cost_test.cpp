// SPDX-License-Identifier: Apache-2.0
#include "profile/call_cost.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "profile/phase.h"
#include "support/tiny_engine.h"

namespace veloz::profile {
namespace {

using test::TinyModel;

Roof arithmetic_of(ops::Op op, std::vector<TensorView> inputs, const TensorView& output) {
  const ops::Attrs attrs;
  return cost_of_call(op, {inputs, std::span(&output, 1), attrs}, {}).arithmetic;
}

TensorView matrix(DType dtype) { return {nullptr, dtype, {4, 32}}; }
TensorView column(DType dtype) { return {nullptr, dtype, {4, 1}}; }

TEST(CostOfCall, ProductsGoAtTheRateOfTheirActivations) {
  EXPECT_EQ(arithmetic_of(ops::Op::linear, {matrix(DType::bf16), matrix(DType::bf16)},
                          {nullptr, DType::bf16, {4, 4}}),
            Roof::bf16_dot);
  EXPECT_EQ(arithmetic_of(ops::Op::linear, {matrix(DType::fp32), matrix(DType::fp32)},
                          {nullptr, DType::fp32, {4, 4}}),
            Roof::fp32_fma);
  for (const auto& [dtype, roof] :
       {std::pair(DType::int8, Roof::int8_dot), std::pair(DType::fp8_e4m3, Roof::bf16_dot)})
    EXPECT_EQ(
        arithmetic_of(ops::Op::quantized_linear,
                      {matrix(dtype), column(DType::fp32), matrix(dtype), column(DType::fp32)},
                      {nullptr, DType::bf16, {4, 4}}),
        roof);
  // Four bits are widened to the activations' eight.
  EXPECT_EQ(arithmetic_of(ops::Op::quantized_linear,
                          {matrix(DType::int8),
                           column(DType::fp32),
                           {nullptr, DType::uint4x2, {4, 16}},
                           column(DType::fp32)},
                          {nullptr, DType::bf16, {4, 4}}),
            Roof::int8_dot);
  EXPECT_EQ(arithmetic_of(ops::Op::weight_only_linear,
                          {matrix(DType::bf16), matrix(DType::int8), column(DType::fp32)},
                          {nullptr, DType::bf16, {4, 4}}),
            Roof::bf16_dot);
}

TEST(CostOfCall, KnowsWhichWeightsAreConverted) {
  const ops::Attrs attrs;
  const TensorView y{nullptr, DType::bf16, {4, 4}};
  const auto converts = [&](ops::Op op, const std::vector<TensorView>& inputs) {
    return cost_of_call(op, {inputs, std::span(&y, 1), attrs}, {}).converts_weights;
  };
  const auto quantized = [&](DType x, const TensorView& w) {
    return converts(ops::Op::quantized_linear,
                    {matrix(x), column(DType::fp32), w, column(DType::fp32)});
  };
  EXPECT_FALSE(converts(ops::Op::linear, {matrix(DType::bf16), matrix(DType::bf16)}));
  EXPECT_FALSE(quantized(DType::int8, matrix(DType::int8)));
  EXPECT_TRUE(quantized(DType::int8, {nullptr, DType::uint4x2, {4, 16}}));
  EXPECT_TRUE(quantized(DType::fp8_e4m3, matrix(DType::fp8_e4m3)));
  EXPECT_TRUE(converts(ops::Op::weight_only_linear,
                       {matrix(DType::bf16), matrix(DType::int8), column(DType::fp32)}));
  EXPECT_FALSE(converts(ops::Op::add, {matrix(DType::bf16), matrix(DType::bf16)}));
}

TEST(CostOfCall, EverythingElseIsFp32) {
  EXPECT_EQ(
      arithmetic_of(ops::Op::add, {matrix(DType::bf16), matrix(DType::bf16)}, matrix(DType::bf16)),
      Roof::fp32_fma);
  EXPECT_EQ(arithmetic_of(ops::Op::embedding, {{nullptr, DType::int32, {4}}, matrix(DType::bf16)},
                          matrix(DType::bf16)),
            Roof::fp32_fma);
}

/// Costs of a phase of the tiny model, one per step of its plan.
std::vector<CallCost> costs(const Phase& phase) {
  const TinyModel model = test::tiny_model();
  return cost_of_program(model.plan, make_batch(phase, model.plan.limits, TinyModel::kVocab), 8);
}

constexpr size_t kQkv = 3, kAttention = 7, kHead = 11;

TEST(CostOfProgram, CountsEachLinearsProductsAndOperands) {
  const std::vector<CallCost> work = costs(Phase::decode(3, 5));
  EXPECT_EQ(work[kQkv].cost.flops, 2.0 * 3 * 16 * 8);
  EXPECT_EQ(work[kQkv].cost.bytes, 4.0 * (3 * 8 + 16 * 8 + 3 * 16));
  EXPECT_EQ(work[kHead].cost.flops, 2.0 * 3 * 11 * 8);
}

TEST(CostOfProgram, AttentionReadsTheBlocksThatSequencesFill) {
  // One kv head of 4 channels, k and v, in fp32; two q heads; sequences of 6 positions.
  const CallCost work = costs(Phase::decode(3, 5))[kAttention];
  EXPECT_EQ(work.cost.bytes, 3.0 * 6 * (2 * 4 * 4) + 2.0 * 3 * 8 * 4);
  EXPECT_EQ(work.cost.flops, 4.0 * 3 * 6 * 8);
  // A causal prefill of 5 sees 1 + 2 + ... + 5 positions.
  EXPECT_EQ(costs(Phase::prefill(5))[kAttention].cost.flops, 4.0 * 15 * 8);
}

TEST(CostOfProgram, StepsWithoutOutputHaveNoWork) {
  const TinyModel model = test::tiny_model();
  runtime::Batch batch = make_batch(Phase::prefill(5), model.plan.limits, TinyModel::kVocab);
  batch.logit_rows.clear();
  const std::vector<CallCost> work = cost_of_program(model.plan, batch, 8);
  EXPECT_EQ(work[kHead].cost.flops, 0);
  EXPECT_EQ(work[kHead].cost.bytes, 0);
  EXPECT_GT(work[kQkv].cost.flops, 0);
}

}  // namespace
}  // namespace veloz::profile
