// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/name_pattern.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz::checkpoint {
namespace {

bool name_matches(const std::string& pattern, std::string_view module) {
  return NamePattern::name_or_regex(pattern).matches(module);
}
bool wildcard_matches(const std::string& pattern, std::string_view module) {
  return NamePattern::wildcard(pattern).matches(module);
}

TEST(NamePattern, ANameMatchesItself) {
  EXPECT_TRUE(name_matches("lm_head", "lm_head"));
  EXPECT_FALSE(name_matches("lm_head", "model.lm_head"));
  EXPECT_FALSE(name_matches("l.*", "lm_head"));
}

TEST(NamePattern, ARegexBeginsWhereTheNameDoesAndEndsAnywhere) {
  EXPECT_TRUE(name_matches("re:.*lm_head", "model.lm_head"));
  EXPECT_TRUE(name_matches("re:model", "model.layers.0"));
  EXPECT_FALSE(name_matches("re:layers", "model.layers.0"));
  EXPECT_TRUE(name_matches(R"(re:model\.layers\.\d+\.mlp\.(gate|up)_proj$)",
                           "model.layers.11.mlp.up_proj"));
  EXPECT_FALSE(name_matches("re:.*q_proj$", "model.layers.0.self_attn.q_proj.lora"));
}

TEST(NamePattern, WildcardsCoverTheWholeName) {
  EXPECT_TRUE(wildcard_matches("*", "anything"));
  EXPECT_TRUE(wildcard_matches("*lm_head*", "lm_head"));
  EXPECT_TRUE(wildcard_matches("model.layers.?.mlp*", "model.layers.3.mlp.up_proj"));
  EXPECT_TRUE(wildcard_matches("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(wildcard_matches("a*b*c", "a-b-c-d"));
  EXPECT_FALSE(wildcard_matches("model.layers.?", "model.layers.10"));
  EXPECT_FALSE(wildcard_matches("lm_head", "lm_head.x"));
  EXPECT_FALSE(wildcard_matches("", "a"));
  EXPECT_TRUE(wildcard_matches("**", ""));
}

TEST(NamePattern, AWrongPatternSaysWhere) {
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"\"re:a(b\"", "byte 3"},
                                 [] { NamePattern::name_or_regex("re:a(b"); }));
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"longer than 1024"}, [] {
    NamePattern::name_or_regex("re:" + std::string(2000, 'a'));
  }));
}

TEST(NamePattern, CatastrophicPatternsEnd) {
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"too many steps"},
                                 [] { name_matches("re:(a+)+$", std::string(64, 'a') + "b"); }));
}

}  // namespace
}  // namespace veloz::checkpoint
