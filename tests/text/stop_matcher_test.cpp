// SPDX-License-Identifier: Apache-2.0
#include "text/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

#include "support/expect_error.h"

namespace veloz::text {
namespace {

struct Result {
  std::string text;
  std::optional<size_t> stop;
  bool operator==(const Result&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Result& result) {
  return out << '"' << result.text << "\" stop "
             << (result.stop ? static_cast<int64_t>(*result.stop) : -1);
}

Result run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces,
           StopText stop_text = StopText::leave_out) {
  StopMatcher matcher(stops, stop_text);
  std::string text;
  for (const std::string& piece : pieces) text += matcher.push(piece);
  text += matcher.finish();
  return {text, matcher.matched()};
}

/// The definition: the smallest end of a match; of those the longest.
Result search(const std::vector<std::string>& stops, const std::string& text, StopText stop_text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<size_t> best;
    for (size_t i = 0; i < stops.size(); ++i) {
      const bool ends_here = text.substr(0, end).ends_with(stops[i]);
      if (ends_here && (!best || stops[i].size() > stops[*best].size())) best = i;
    }
    if (!best) continue;
    const size_t size = stop_text == StopText::include ? end : end - stops[*best].size();
    return {text.substr(0, size), best};
  }
  return {text, std::nullopt};
}

TEST(StopMatcher, EndsBeforeAStopThatIsSpreadOverPieces) {
  EXPECT_EQ(run({"</end>"}, {"answer <", "/e", "nd> more"}), (Result{"answer ", 0}));
}

TEST(StopMatcher, GivesWhatCannotBecomeAStopAtOnce) {
  StopMatcher matcher({"\n\nUser:"});
  EXPECT_EQ(matcher.push("one\n"), "one");
  EXPECT_EQ(matcher.push("two\n\nUs"), "\ntwo");
  EXPECT_EQ(matcher.push("ers"), "\n\nUsers");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, GivesWhatItHeldWhenTheTextEnds) {
  EXPECT_EQ(run({"stop"}, {"a st", "o"}), (Result{"a sto", std::nullopt}));
}

TEST(StopMatcher, IncludesTheStopWhenAsked) {
  EXPECT_EQ(run({"STOP"}, {"a ST", "OP b"}, StopText::include), (Result{"a STOP", 0}));
}

TEST(StopMatcher, TakesTheStopThatIsCompleteFirst) {
  EXPECT_EQ(run({"abcd", "bc"}, {"xabcd"}), (Result{"xa", 1}));
}

TEST(StopMatcher, TakesTheLongestOfStopsThatAreCompleteTogether) {
  EXPECT_EQ(run({"c", "abc", "bc"}, {"xabc"}), (Result{"x", 1}));
}

TEST(StopMatcher, GivesNothingAfterAMatch) {
  StopMatcher matcher({"."});
  EXPECT_EQ(matcher.push("a.b"), "a");
  EXPECT_EQ(matcher.push("c"), "");
  EXPECT_EQ(matcher.finish(), "");
  EXPECT_EQ(matcher.matched(), 0u);
}

TEST(StopMatcher, PassesEverythingWithoutStops) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.push("a\nb"), "a\nb");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, NamesTheFirstOfEqualStops) {
  EXPECT_EQ(run({"x", "x"}, {"ax"}), (Result{"a", 0}));
}

TEST(StopMatcher, RefusesAnEmptyStopAndTooManyBytes) {
  EXPECT_TRUE(veloz::test::throws_error(ErrorKind::invalid_input, {"stop string 1 is empty"}, [] {
    StopMatcher({"a", ""});
  }));
  EXPECT_TRUE(veloz::test::throws_error(ErrorKind::invalid_input, {"65536"},
                                        [] { StopMatcher({std::string(65537, 'a')}); }));
}

TEST(StopMatcherProperty, AgreesWithANaiveSearchHoweverTheTextIsCut) {
  for (uint32_t seed = 0; seed < 20000; ++seed) {
    std::mt19937 random(seed);
    const auto word = [&](uint64_t max_size, bool may_be_empty) {
      std::string text;
      const uint64_t size = random() % max_size + (may_be_empty ? 0 : 1);
      for (uint64_t i = 0; i < size; ++i) text += static_cast<char>('a' + random() % 3);
      return text;
    };
    std::vector<std::string> stops, pieces;
    for (uint64_t i = 0, count = random() % 4; i < count; ++i) stops.push_back(word(5, false));
    for (uint64_t i = 0, count = random() % 8; i < count; ++i) pieces.push_back(word(5, true));
    std::string text;
    for (const std::string& piece : pieces) text += piece;
    for (const StopText stop_text : {StopText::leave_out, StopText::include}) {
      const Result expected = search(stops, text, stop_text);
      ASSERT_EQ(run(stops, pieces, stop_text), expected) << "seed " << seed;
      // Nothing that was given early is ever taken back: no part of a stop leaks.
      StopMatcher matcher(stops, stop_text);
      std::string given;
      for (const std::string& piece : pieces) {
        given += matcher.push(piece);
        ASSERT_TRUE(expected.text.starts_with(given)) << "seed " << seed;
      }
    }
  }
}

TEST(StopMatcherProperty, TakesLinearTimeOnPeriodicText) {
  StopMatcher matcher({std::string(60000, 'a') + "b"});
  size_t num_given = 0;
  for (int i = 0; i < 2'000'000; ++i) num_given += matcher.push("a").size();
  EXPECT_EQ(num_given, 2'000'000u - 60000);
  EXPECT_EQ(matcher.finish().size(), 60000u);
}

}  // namespace
}  // namespace veloz::text
