// SPDX-License-Identifier: Apache-2.0
#include "grammar/budget.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz::grammar {
namespace {

using test::throws_error;

/// Some 2^16 states: which of the last 16 letters were an "a".
constexpr const char* kLarge = "(a|b)*a(a|b){15}";

TEST(Budget, StopsCompilingAtEachLimit) {
  const auto compile = [](const CompileLimits& limits) {
    return [limits] { compile_regex(kLarge, limits); };
  };
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"16 bytes, at most 8"},
                           compile({.max_source_bytes = 8})));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"more than 1000 states", "make it smaller"},
                           compile({.max_states = 1000})));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"more than 1 MiB of memory"},
                           compile({.max_memory_bytes = size_t{1} << 20})));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"more than 0 ms to compile"},
                           compile({.max_milliseconds = 0})));
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"deeper than 1 levels"},
                           [] { compile_regex("((a))", {.max_depth = 1}); }));
}

TEST(Budget, CountsTheMemoryThatAGrammarKeeps) {
  const GrammarPtr grammar = compile_regex(kLarge, {.max_milliseconds = 60'000});
  EXPECT_GT(num_bytes(*grammar), size_t{1} << 16);
  EXPECT_LT(num_bytes(*grammar), CompileLimits().max_memory_bytes);
}

}  // namespace
}  // namespace veloz::grammar
