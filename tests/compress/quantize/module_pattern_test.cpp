// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/module_pattern.h"

#include <gtest/gtest.h>

namespace veloz::compress {
namespace {

TEST(ModulePattern, AStarStandsForAnyCharacters) {
  const char* const name = "model.layers.10.mlp.down_proj";
  EXPECT_TRUE(matches_pattern(name, name));
  EXPECT_TRUE(matches_pattern(name, "*"));
  EXPECT_TRUE(matches_pattern(name, "*down_proj"));
  EXPECT_TRUE(matches_pattern(name, "model.layers.10.*"));
  EXPECT_TRUE(matches_pattern(name, "*.10.*.down*"));
  EXPECT_TRUE(matches_pattern(name, "model*layers*proj*"));
  EXPECT_FALSE(matches_pattern(name, "model.layers.1.*"));
  EXPECT_FALSE(matches_pattern(name, "*up_proj"));
  EXPECT_FALSE(matches_pattern(name, "layers.10.*"));
  EXPECT_FALSE(matches_pattern(name, "*.10.*.10.*"));
  EXPECT_FALSE(matches_pattern(name, ""));
  EXPECT_TRUE(matches_pattern("", "*"));
  EXPECT_FALSE(matches_pattern("ab", "ab*b"));
}

}  // namespace
}  // namespace veloz::compress
