// SPDX-License-Identifier: Apache-2.0
#include "cli/ends_within.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>

#include "serving/engine_fixture.h"

namespace veloz::cli {
namespace {

TEST(EndsWithin, WaitsForWhatEnds) {
  bool has_ended = false;
  EXPECT_TRUE(ends_within(std::chrono::minutes(1), [&] { has_ended = true; }));
  EXPECT_TRUE(has_ended);
}

TEST(EndsWithin, DoesNotWaitForAnEngineWhoseStepHangs) {
  std::promise<void> is_in_step, gate;
  auto engine = std::make_unique<serving::Engine>();
  engine->runner.on_step = [&](int64_t step) {
    if (step != 1) return;
    is_in_step.set_value();
    gate.get_future().wait();
  };
  const auto inbox = engine->submit({.prompt_tokens = {1, 2, 3}, .params = {.max_tokens = 4}});
  is_in_step.get_future().wait();
  const auto has_ended = std::make_shared<std::promise<void>>();
  EXPECT_FALSE(ends_within(std::chrono::milliseconds(1), [&engine, has_ended] {
    engine.reset();
    has_ended->set_value();
  }));
  gate.set_value();
  has_ended->get_future().wait();
  EXPECT_EQ(inbox->wait().num_ends, 1);
}

}  // namespace
}  // namespace veloz::cli
