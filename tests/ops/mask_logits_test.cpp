// SPDX-License-Identifier: Apache-2.0
#include "ops/mask_logits.h"

#include <gtest/gtest.h>

#include "support/infinity.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::kBan;
using test::OwnedTensor;
using test::tensor_of;

TEST(MaskLogits, AddsBiasesAndBansPerRowAndForAll) {
  const OwnedTensor logits =
      tensor_of<float>({2, 5}, {1, 2, 3, 4, std::nanf(""), 1, 2, 3, 4, std::nanf("")});
  const OwnedTensor offsets = tensor_of<int32_t>({3}, {0, 3, 3});
  const OwnedTensor tokens = tensor_of<int32_t>({3}, {0, 2, 2});
  const OwnedTensor biases = tensor_of<float>({3}, {0.5f, kBan, 7});
  const OwnedTensor banned = tensor_of<int32_t>({1}, {4});
  const auto y = test::run_reference(Op::mask_logits, {logits.view(), offsets.view(), tokens.view(),
                                                       biases.view(), banned.view()});
  const OwnedTensor want = tensor_of<float>({2, 5}, {1.5f, 2, kBan, 4, kBan, 1, 2, 3, 4, kBan});
  EXPECT_TENSOR_EQ(y[0].view(), want.view(), 0);
}

}  // namespace
}  // namespace veloz::ops
