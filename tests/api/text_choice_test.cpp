// SPDX-License-Identifier: Apache-2.0
#include "api/text_choice.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace veloz::api {
namespace {

/// Token i is the i-th text, the last one special.
class ListedPieces final : public text::TokenPieces {
 public:
  explicit ListedPieces(std::vector<std::string> texts) : texts_(std::move(texts)) {}

  text::JoinRules join_rules() const override { return {}; }
  text::TokenPiece piece(int32_t id, bool) const override {
    return {.text = texts_[static_cast<size_t>(id)]};
  }
  bool has_token(int32_t id) const override {
    return id >= 0 && static_cast<size_t>(id) < texts_.size();
  }
  bool is_special(int32_t id) const override {
    return static_cast<size_t>(id) + 1 == texts_.size();
  }

 private:
  std::vector<std::string> texts_;
};

const ListedPieces& pieces() {
  static const ListedPieces kPieces({"one", " two", "\xC3", "\xA9", "ENDED", "</s>"});
  return kPieces;
}
enum Token : int32_t { one, two, first_half, second_half, ended, special };

TEST(TextChoice, GivesTheTextOfEachToken) {
  TextChoice choice(pieces(), {});
  EXPECT_EQ(choice.push(one, false), "one");
  EXPECT_EQ(choice.push(two, false), " two");
  EXPECT_EQ(choice.finish(), "");
}

TEST(TextChoice, LeavesOutTheTextOfAnEndToken) {
  TextChoice choice(pieces(), {});
  EXPECT_EQ(choice.push(one, false), "one");
  EXPECT_EQ(choice.push(two, true), "");
  EXPECT_EQ(choice.finish(), "");
}

TEST(TextChoice, IncludesAnEndTokenWhereStopsAreIncluded) {
  TextChoice choice(pieces(), {.include_stop_str_in_output = true});
  EXPECT_EQ(choice.push(two, true), " two");
}

TEST(TextChoice, GivesNothingAfterAStopString) {
  TextChoice choice(pieces(), {.stop = {"ONE", "TWO", "e tw"}});
  EXPECT_EQ(choice.push(one, false), "on");
  EXPECT_FALSE(choice.has_stopped());
  EXPECT_EQ(choice.push(two, false), "");
  EXPECT_TRUE(choice.has_stopped());
  EXPECT_EQ(choice.matched_stop(), 2u);
  EXPECT_EQ(choice.push(one, false), "");
  EXPECT_EQ(choice.finish(), "");
}

TEST(TextChoice, GivesAtTheEndWhatAStopStringHeldBack) {
  TextChoice choice(pieces(), {.stop = {"one three"}});
  EXPECT_EQ(choice.push(one, false), "");
  EXPECT_EQ(choice.push(first_half, false), "");
  EXPECT_EQ(choice.finish(), "one\xEF\xBF\xBD");
}

TEST(TextChoice, LooksForStopStringsAfterMinTokens) {
  TextChoice choice(pieces(), {.min_tokens = 2, .stop = {"one", "two"}});
  EXPECT_EQ(choice.push(one, false), "one");
  EXPECT_EQ(choice.push(two, false), " two");
  EXPECT_FALSE(choice.has_stopped());
  EXPECT_EQ(choice.push(two, false), " ");
  EXPECT_EQ(choice.matched_stop(), 1u);
}

TEST(TextChoice, KeepsSpecialTokensWhereAskedFor) {
  TextChoice skipping(pieces(), {});
  EXPECT_EQ(skipping.push(special, false), "");
  TextChoice keeping(pieces(), {}, text::SpecialTokens::keep);
  EXPECT_EQ(keeping.push(special, false), "</s>");
}

TEST(TextChoice, CountsOffsetsInCodePointsOfAllTextDecoded) {
  TextChoice choice(pieces(), {.stop = {"one two three"}});
  std::vector<int64_t> offsets;
  std::string given;
  for (const Token token : {first_half, second_half, one, two, special}) {
    offsets.push_back(choice.text_offset());
    given += choice.push(token, false);
  }
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 0, 1, 4, 8}));
  EXPECT_EQ(given, "\xC3\xA9");  // the rest may become a stop string
}

TEST(StopObserver, EndsTheChoiceWhoseStopStringHasMatched) {
  const SamplingParams params{.stop = {"two"}, .n = 2};
  const auto choices =
      std::make_shared<std::vector<TextChoice>>(make_text_choices(pieces(), params));
  const std::unique_ptr<serving::TokenObserver> observer = make_stop_observer(params, choices);
  EXPECT_EQ((*choices)[0].push(one, false), "one");
  EXPECT_EQ(observer->on_token(0, one), std::nullopt);
  EXPECT_EQ((*choices)[1].push(two, false), " ");
  EXPECT_EQ(observer->on_token(1, two), FinishReason::stop);
  EXPECT_EQ(observer->on_token(0, one), std::nullopt);
}

TEST(StopObserver, IsLeftOutWithoutStopStrings) {
  EXPECT_EQ(make_stop_observer({}, nullptr), nullptr);
}

TEST(TokenText, HasTheBytesAndAReadableText) {
  EXPECT_EQ(token_text(pieces(), two).bytes, " two");
  EXPECT_EQ(token_text(pieces(), two).text, " two");
  EXPECT_EQ(token_text(pieces(), first_half).bytes, "\xC3");
  EXPECT_EQ(token_text(pieces(), first_half).text, "\xEF\xBF\xBD");
  EXPECT_EQ(token_text(pieces(), special).text, "</s>");
}

TEST(TokenText, IsEmptyForAnIdWithoutAToken) {
  EXPECT_EQ(token_text(pieces(), 99).bytes, "");
  EXPECT_EQ(token_text(pieces(), -1).text, "");
}

}  // namespace
}  // namespace veloz::api
