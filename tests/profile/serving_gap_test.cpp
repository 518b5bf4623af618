// SPDX-License-Identifier: Apache-2.0
#include "profile/serving_gap.h"

#include <gtest/gtest.h>

#include "profile/tiny_session.h"
#include "support/expect_error.h"

namespace veloz::profile {
namespace {

TEST(ServingGap, IsMeasuredBetweenStepsInWhichAllDecode) {
  TinySession tiny;
  const ServingGap gap = measure_serving_gap(
      tiny.session(), tiny.manifest,
      {.batch_size = 3, .prompt_tokens = 4, .new_tokens = 12, .num_kv_blocks = 40});
  EXPECT_GE(gap.num_steps, 4);  // of 11, less while the first ones run alone
  EXPECT_LE(gap.num_steps, 11);
  EXPECT_GT(gap.step_s, 0);
  EXPECT_GT(gap.sampling_s, 0);
  EXPECT_GT(gap.host_s, 0);
}

TEST(ServingGap, WhatCannotRunIsAnError) {
  TinySession tiny;
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"32"}, [&] {
    static_cast<void>(measure_serving_gap(
        tiny.session(), tiny.manifest,
        {.batch_size = 1, .prompt_tokens = 40, .new_tokens = 12, .num_kv_blocks = 40}));
  }));
}

}  // namespace
}  // namespace veloz::profile
