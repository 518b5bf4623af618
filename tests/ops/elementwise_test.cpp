// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

#include <gtest/gtest.h>

#include "support/op_runs.h"

namespace veloz::ops {
namespace {

TEST(Add, RoundsTheSumOnce) {
  const test::OwnedTensor a = test::tensor_of<BFloat16>({1, 2}, {BFloat16(256.0f), BFloat16(1.5f)});
  const test::OwnedTensor b = test::tensor_of<BFloat16>({1, 2}, {BFloat16(1.0f), BFloat16(2.25f)});
  const auto y = test::run_reference(Op::add, {a.view(), b.view()});
  EXPECT_EQ(test::values_of(y[0].view()), (std::vector<double>{256, 3.75}));  // 257 ties to even
}

TEST(Add, TakesStridedRowsAndMayWriteOverAnOperand) {
  const uint64_t seed = 41;
  const test::OwnedTensor a = test::random_tensor(DType::fp32, {3, 17}, seed, {.row_stride = 20});
  const test::OwnedTensor b = test::random_tensor(DType::fp32, {3, 17}, seed + 1);
  const auto apart = test::run_reference(Op::add, {a.view(), b.view()});
  test::run_reference_into(Op::add, {a.view(), b.view()}, {a.view()}, {});
  EXPECT_TENSOR_EQ(a.view(), apart[0].view(), seed);
  EXPECT_TRUE(a.gaps_untouched());
}

}  // namespace
}  // namespace veloz::ops
