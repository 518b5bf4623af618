// SPDX-License-Identifier: Apache-2.0
#include "ops/penalize.h"

#include <gtest/gtest.h>

#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::OwnedTensor;
using test::tensor_of;

TEST(Penalize, AppliesRepetitionThenFrequencyAndPresence) {
  const OwnedTensor logits = tensor_of<float>({2, 4}, {2, -2, 4, 1, 8, 8, 8, 8});
  const OwnedTensor params = tensor_of<float>({2, 3}, {2, 0.25, 0.5, 1, 0, 0});
  const OwnedTensor offsets = tensor_of<int32_t>({3}, {0, 3, 4});
  // Row 0: token 0 in the prompt only, 1 once and 2 three times in the output. Row 1: neutral.
  const OwnedTensor tokens = tensor_of<int32_t>({4}, {0, 1, 2, 3});
  const OwnedTensor counts = tensor_of<int32_t>({4}, {0, 1, 3, 5});
  const auto y = test::run_reference(
      Op::penalize, {logits.view(), params.view(), offsets.view(), tokens.view(), counts.view()});
  EXPECT_EQ(test::values_of(y[0].view()),
            (std::vector<double>{1, -4 - 0.5 - 0.25, 2 - 1.5 - 0.25, 1, 8, 8, 8, 8}));
}

TEST(Penalize, WithoutHistoryChangesNothing) {
  const OwnedTensor logits = tensor_of<float>({1, 2}, {3, -3});
  const OwnedTensor params = tensor_of<float>({1, 3}, {2, 1, 1});
  const OwnedTensor offsets = tensor_of<int32_t>({2}, {0, 0});
  const OwnedTensor none(DType::int32, {0});
  const auto y = test::run_reference(
      Op::penalize, {logits.view(), params.view(), offsets.view(), none.view(), none.view()});
  EXPECT_EQ(test::values_of(y[0].view()), (std::vector<double>{3, -3}));
}

}  // namespace
}  // namespace veloz::ops
