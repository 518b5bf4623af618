// SPDX-License-Identifier: Apache-2.0
#include "ops/feed_tokens.h"

#include <gtest/gtest.h>

#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::OwnedTensor;
using test::tensor_of;

TEST(FeedTokens, PutsSampledTokensIntoTheBatchAndLeavesTheOthers) {
  const OwnedTensor tokens = tensor_of<int32_t>({5}, {10, 11, 12, 13, 14});
  const OwnedTensor sampled = tensor_of<int32_t>({3}, {70, 80, 90});
  const OwnedTensor feeds = tensor_of<int32_t>({3, 2}, {4, 0, 1, 2, 2, 0});
  const auto y =
      test::run_reference(Op::feed_tokens, {tokens.view(), sampled.view(), feeds.view()});
  EXPECT_TENSOR_EQ(y[0].view(), tensor_of<int32_t>({5}, {10, 90, 70, 13, 70}).view(), 0);
}

TEST(FeedTokens, MayFeedNothing) {
  const OwnedTensor tokens = tensor_of<int32_t>({2}, {10, 11});
  const OwnedTensor sampled(DType::int32, {0}), feeds(DType::int32, {0, 2});
  const auto y =
      test::run_reference(Op::feed_tokens, {tokens.view(), sampled.view(), feeds.view()});
  EXPECT_TENSOR_EQ(y[0].view(), tokens.view(), 0);
}

}  // namespace
}  // namespace veloz::ops
