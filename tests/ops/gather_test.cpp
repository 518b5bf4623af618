// SPDX-License-Identifier: Apache-2.0
#include "ops/gather.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::tensor_of;

TEST(GatherRows, PicksRowsInOrderAndMoreThanOnce) {
  const test::OwnedTensor x = tensor_of<float>({3, 2}, {0, 1, 10, 11, 20, 21});
  const test::OwnedTensor rows = tensor_of<int32_t>({4}, {2, 0, 2, 1});
  const auto y = test::run_reference(Op::gather_rows, {x.view(), rows.view()});
  EXPECT_EQ(test::values_of(y[0].view()), (std::vector<double>{20, 21, 0, 1, 20, 21, 10, 11}));
}

TEST(PermuteColumns, PutsColumnsInTheOrderAsked) {
  const test::OwnedTensor x = tensor_of<float>({2, 3}, {0, 1, 2, 10, 11, 12});
  const test::OwnedTensor p = tensor_of<int32_t>({3}, {2, 0, 1});
  const auto y = test::run_reference(Op::permute_columns, {x.view(), p.view()});
  EXPECT_EQ(test::values_of(y[0].view()), (std::vector<double>{2, 0, 1, 12, 10, 11}));
}

TEST(PermuteColumns, GivesNaNForAnIndexThatIsNoColumn) {
  const test::OwnedTensor x = tensor_of<float>({1, 3}, {5, 6, 7});
  const test::OwnedTensor p = tensor_of<int32_t>({3}, {3, 1, -1});
  const auto y = test::run_reference(Op::permute_columns, {x.view(), p.view()});
  EXPECT_TRUE(std::isnan(test::element(y[0].view(), 0)));
  EXPECT_EQ(test::element(y[0].view(), 1), 6);
  EXPECT_TRUE(std::isnan(test::element(y[0].view(), 2)));
}

TEST(Embedding, CopiesTheTablesRowsBitByBit) {
  const uint64_t seed = 51;
  const test::OwnedTensor table = test::random_tensor(DType::bf16, {1003, 24}, seed);
  const test::OwnedTensor tokens = tensor_of<int32_t>({3}, {1002, 0, 1002});
  const auto y = test::run_reference(Op::embedding, {tokens.view(), table.view()});
  EXPECT_EQ(y[0].view().dtype, DType::bf16);
  for (int64_t i = 0; i < 24; ++i) {
    EXPECT_EQ(test::element(y[0].view(), i), test::element(table.view(), 1002 * 24 + i));
    EXPECT_EQ(test::element(y[0].view(), 24 + i), test::element(table.view(), i));
    EXPECT_EQ(test::element(y[0].view(), 48 + i), test::element(table.view(), 1002 * 24 + i));
  }
}

}  // namespace
}  // namespace veloz::ops
