// SPDX-License-Identifier: Apache-2.0
#include "ops/apply_bitmask.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "support/infinity.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

using test::kBan;
using test::OwnedTensor;
using test::tensor_of;

TEST(ApplyBitmask, BansWhatIsNotAllowedInTheRowsItNames) {
  const OwnedTensor logits =
      tensor_of<float>({3, 4}, {1, 2, 3, 4, 5, std::nanf(""), 7, 8, 9, 10, 11, 12});
  const OwnedTensor rows = tensor_of<int32_t>({2}, {2, 1});
  const OwnedTensor allowed = tensor_of<int32_t>({2, 1}, {0b0110, 0b0101});
  const auto y =
      test::run_reference(Op::apply_bitmask, {logits.view(), rows.view(), allowed.view()});
  const OwnedTensor want =
      tensor_of<float>({3, 4}, {1, 2, 3, 4, 5, kBan, 7, kBan, kBan, 10, 11, kBan});
  EXPECT_TENSOR_EQ(y[0].view(), want.view(), 0);
}

TEST(ApplyBitmask, ReadsOneBitPerTokenInAnyVocabulary) {
  for (const int64_t vocab_size : {1, 31, 32, 33, 64, 100}) {
    std::mt19937 random(static_cast<uint32_t>(vocab_size));
    const auto num_words = static_cast<size_t>((vocab_size + 31) / 32);
    for (const uint32_t pattern : {0u, ~0u, 1u, 1u << 31, 0xA5A5A5A5u}) {
      std::vector<int32_t> words(num_words, static_cast<int32_t>(pattern));
      words[0] = static_cast<int32_t>(random());
      std::vector<float> values(static_cast<size_t>(vocab_size), 1.0f);
      std::vector<float> expected = values;
      for (size_t t = 0; t < expected.size(); ++t)
        if ((static_cast<uint32_t>(words[t / 32]) >> (t % 32) & 1) == 0) expected[t] = kBan;
      const OwnedTensor logits = tensor_of<float>({1, vocab_size}, values);
      const OwnedTensor rows = tensor_of<int32_t>({1}, {0});
      const OwnedTensor allowed = tensor_of<int32_t>({1, static_cast<int64_t>(num_words)}, words);
      const auto y =
          test::run_reference(Op::apply_bitmask, {logits.view(), rows.view(), allowed.view()});
      EXPECT_TENSOR_EQ(y[0].view(), tensor_of<float>({1, vocab_size}, expected).view(), 0);
    }
  }
}

}  // namespace
}  // namespace veloz::ops
