// SPDX-License-Identifier: Apache-2.0
#include "grammar/budget.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

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

using Compile = std::function<GrammarPtr(const CompileLimits&)>;
struct NamedCompile {
  std::string name;
  Compile compile;
};

NamedCompile schema(std::string name, std::string source) {
  return {std::move(name), [source = std::move(source)](const CompileLimits& limits) {
            return compile_json_schema(source, limits);
          }};
}

NamedCompile pattern(std::string name, std::string source) {
  return {std::move(name), [source = std::move(source)](const CompileLimits& limits) {
            return compile_regex(source, limits);
          }};
}

NamedCompile ebnf(std::string name, std::string source) {
  return {std::move(name), [source = std::move(source)](const CompileLimits& limits) {
            return compile_ebnf(source, limits);
          }};
}

/// A hundred texts, no two alike at their start.
NamedCompile choice(std::string name) {
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i) texts.push_back(fmt::format("{:02} of {:0>50}", i, i));
  return {std::move(name), [texts = std::move(texts)](const CompileLimits& limits) {
            return compile_choice(texts, limits);
          }};
}

TEST(Budget, StopsEveryKindOfGrammarWhenItsTimeIsOver) {
  const std::vector<NamedCompile> kinds = {
      schema("schema", R"({"type":"array","items":{"pattern":"(a|b)*a(a|b){15}"}})"),
      {"object", [](const CompileLimits& limits) { return compile_json_object(limits); }},
      pattern("regex", kLarge),
      ebnf("grammar", R"(root ::= ("a" | "b")* "a" ("a" | "b"){15})"),
      choice("choice"),
  };
  for (const NamedCompile& kind : kinds)
    EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"more than 0 ms to compile"}, [&] {
      kind.compile({.max_milliseconds = 0});
    })) << kind.name;
}

// The clock is looked at now and then only: what lies between two looks must not take long.
TEST(Budget, IsNotOverrunByWhatIsMadeToTakeLong) {
  constexpr std::chrono::seconds kSlack{10};
  const std::string branches = R"({"type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"},
      "c":{"anyOf":[{"$ref":"#"},{"type":"array","items":{"$ref":"#"}}]}}})";
  const std::vector<NamedCompile> hostile = {
      pattern("nested quantifiers", "((a{1,1000}){1,1000}){1,1000}"),
      pattern("nested stars", "((((((a*)*b)*c)*d)*e)*f)*(x*)*y"),
      pattern("many states", "(a|b)*a(a|b){30}"),
      pattern("a long bound", "[a-z]{1000000000}"),
      schema("many items", R"({"type":"array","items":{"type":"string"},"maxItems":1e9})"),
      schema("many items at least", R"({"type":"array","minItems":1e9,"maxItems":1e9})"),
      schema("a long string", R"({"type":"string","minLength":1e9,"maxLength":1e9})"),
      schema("nested arrays", R"({"maxItems":1e9,"items":{"maxItems":1e9,"items":{"maxItems":1e9,
          "items":{"pattern":"((a{1,1000}){1,1000}){1,1000}"}}}})"),
      schema("recursion", branches),
      schema("recursion without an end", R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},
          "b":{"$ref":"#/$defs/a"}}})"),
      schema("recursion that merges", R"({"$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"},
          {"$ref":"#/$defs/c"}]},"b":{"properties":{"x":{"$ref":"#/$defs/a"}}},
          "c":{"properties":{"x":{"$ref":"#/$defs/b"},"y":{"$ref":"#/$defs/a"}}}},
          "$ref":"#/$defs/a"})"),
      ebnf("nested repetitions", R"(root ::= ((("a"{1,1000}){1,1000}){1,1000}){1,1000})"),
      ebnf("rules that read each other", "root ::= root root | a\na ::= a root | \"x\"?"),
  };
  for (const auto& [name, compile] : hostile) {
    const auto start = std::chrono::steady_clock::now();
    try {
      compile({});
    } catch (const Error& e) {
      EXPECT_NE(e.kind(), ErrorKind::internal) << name << ": " << e.message();
    }
    const auto budget = std::chrono::milliseconds(CompileLimits().max_milliseconds);
    EXPECT_LT(std::chrono::steady_clock::now() - start, budget + kSlack) << name;
  }
}

TEST(Budget, CountsTheMemoryThatAGrammarKeeps) {
  const GrammarPtr grammar = compile_regex(kLarge, {.max_milliseconds = 60'000});
  EXPECT_GT(num_bytes(*grammar), size_t{1} << 16);
  EXPECT_LT(num_bytes(*grammar), CompileLimits().max_memory_bytes);
}

}  // namespace
}  // namespace veloz::grammar
