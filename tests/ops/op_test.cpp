// SPDX-License-Identifier: Apache-2.0
#include "ops/op.h"

#include <gtest/gtest.h>

#include <set>

#include "support/op_runs.h"

namespace veloz::ops {
namespace {

TEST(OpDefs, StandInTheOrderOfTheEnumAndHaveEverything) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < op_defs().size(); ++i) {
    const OpDef& def = op_defs()[i];
    EXPECT_EQ(static_cast<size_t>(def.op), i) << def.name;
    EXPECT_EQ(&op_def(def.op), &def);
    EXPECT_TRUE(names.insert(def.name).second) << def.name;
    EXPECT_NE(def.infer, nullptr) << def.name;
    EXPECT_NE(def.cost, nullptr) << def.name;
    EXPECT_EQ(def.reference == nullptr, def.op == Op::slice) << def.name;
  }
  EXPECT_EQ(op_defs().size(), static_cast<size_t>(Op::weight_only_linear) + 1);
}

TEST(OpDefs, AreFoundByNameUnlessTheyRunBetweenSteps) {
  EXPECT_EQ(try_parse_op("add_rms_norm"), Op::add_rms_norm);
  EXPECT_EQ(try_parse_op("slice"), Op::slice);
  EXPECT_EQ(try_parse_op("sample"), std::nullopt);
  EXPECT_EQ(try_parse_op("beam_candidates"), std::nullopt);
  EXPECT_EQ(try_parse_op("conv2d"), std::nullopt);
  EXPECT_EQ(try_parse_op(""), std::nullopt);
}

TEST(OpDefs, CostsCountProductsAndBytes) {
  const test::OwnedTensor x(DType::bf16, {5, 64});
  const test::OwnedTensor w(DType::bf16, {96, 64});
  const test::OwnedTensor y(DType::bf16, {5, 96});
  const std::vector<TensorView> inputs = {x.view(), w.view()};
  const std::vector<TensorView> outputs = {y.view()};
  const Cost cost = op_def(Op::linear).cost({.inputs = inputs, .outputs = outputs, .attrs = {}});
  EXPECT_EQ(cost.flops, 2.0 * 5 * 64 * 96);
  EXPECT_EQ(cost.bytes, 2.0 * (5 * 64 + 96 * 64 + 5 * 96));
}

TEST(OpDefs, AnEmbeddingMovesOnlyTheRowsItReads) {
  const test::OwnedTensor tokens(DType::int32, {3});
  const test::OwnedTensor table(DType::bf16, {1000, 64});
  const test::OwnedTensor y(DType::bf16, {3, 64});
  const std::vector<TensorView> inputs = {tokens.view(), table.view()};
  const std::vector<TensorView> outputs = {y.view()};
  const Cost cost = op_def(Op::embedding).cost({.inputs = inputs, .outputs = outputs, .attrs = {}});
  EXPECT_EQ(cost.bytes, 2 * (3.0 * 64 * 2) + 3 * 4);
}

}  // namespace
}  // namespace veloz::ops
