// SPDX-License-Identifier: Apache-2.0
#include "eval/rouge.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/porter_stemmer.h"

namespace veloz::eval {
namespace {

using nlohmann::json;

std::ifstream open_golden(const char* name) {
  return std::ifstream(std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden" / "eval" / name);
}

std::vector<double> numbers_of(const Rouge& rouge) {
  std::vector<double> numbers;
  for (const RougeScore& score : {rouge.rouge1, rouge.rouge2, rouge.rouge_l, rouge.rouge_lsum})
    numbers.insert(numbers.end(), {score.precision, score.recall, score.f1});
  return numbers;
}

void expect_golden(const json& pair, const char* mode, Stemming stemming) {
  const std::vector<double> numbers = numbers_of(rouge(
      pair.at("expected").get<std::string>(), pair.at("predicted").get<std::string>(), stemming));
  const json& golden = pair.at(mode);
  ASSERT_EQ(golden.size(), numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i)
    EXPECT_NEAR(numbers[i], golden[i].get<double>(), 1e-9)
        << mode << ", number " << i << " of " << pair.dump();
}

TEST(Rouge, IsThatOfGooglesPackage) {
  std::ifstream file = open_golden("rouge.jsonl");
  int num_pairs = 0;
  for (std::string line; std::getline(file, line); ++num_pairs) {
    const json pair = json::parse(line);
    expect_golden(pair, "plain", Stemming::none);
    expect_golden(pair, "porter", Stemming::porter);
  }
  EXPECT_GE(num_pairs, 500);
}

TEST(Rouge, CountsWordsPairsAndCommonSubsequences) {
  const Rouge score = rouge("the cat sat on the mat", "the cat on a mat", Stemming::none);
  EXPECT_DOUBLE_EQ(score.rouge1.precision, 4.0 / 5);  // the cat on mat
  EXPECT_DOUBLE_EQ(score.rouge1.recall, 4.0 / 6);
  EXPECT_DOUBLE_EQ(score.rouge1.f1, 8.0 / 11);
  EXPECT_DOUBLE_EQ(score.rouge2.precision, 1.0 / 4);  // "the cat"
  EXPECT_DOUBLE_EQ(score.rouge2.recall, 1.0 / 5);
  EXPECT_DOUBLE_EQ(score.rouge_l.precision, 4.0 / 5);  // the cat on mat
}

TEST(Rouge, SumsOverSentencesThatStandInAnotherOrder) {
  const Rouge score = rouge("a b c\nd e f", "d e f\na b c", Stemming::none);
  EXPECT_DOUBLE_EQ(score.rouge_l.f1, 0.5);
  EXPECT_DOUBLE_EQ(score.rouge_lsum.f1, 1);
}

TEST(Rouge, CountsAWordOfSeveralSentencesOnlyAsOftenAsBothTextsHaveIt) {
  const Rouge score = rouge("x a\nx b", "x", Stemming::none);
  EXPECT_DOUBLE_EQ(score.rouge_lsum.precision, 1);
  EXPECT_DOUBLE_EQ(score.rouge_lsum.recall, 0.25);
}

TEST(Rouge, IsZeroWhereATextHasNoWords) {
  for (const auto& [expected, predicted] :
       {std::pair{"", ""}, std::pair{"word", ""}, std::pair{"", "word"}, std::pair{"...", "word"}})
    EXPECT_EQ(numbers_of(rouge(expected, predicted, Stemming::porter)),
              std::vector<double>(12, 0.0));
}

TEST(RougeWords, AreRunsOfAsciiLettersAndDigitsInLowerCase) {
  EXPECT_EQ(rouge_words("It's 3.14 na\u00efve, e-mail_A1", Stemming::none),
            (std::vector<std::string>{"it", "s", "3", "14", "na", "ve", "e", "mail", "a1"}));
}

TEST(RougeWords, KeepTheTwoForeignCapitalsWhoseLowerCaseIsAscii) {
  EXPECT_EQ(rouge_words("\u212aelvin d\u0130l", Stemming::none),
            (std::vector<std::string>{"kelvin", "di", "l"}));
}

TEST(RougeWords, AreStemmedFromFourCharactersOn) {
  EXPECT_EQ(rouge_words("ties running was", Stemming::porter),
            (std::vector<std::string>{"tie", "run", "was"}));
}

TEST(RougeWords, TakeBytesThatAreNoUtf8AsSeparators) {
  EXPECT_EQ(rouge_words("a\xff\xfe"
                        "b\xe2\x84",
                        Stemming::none),
            (std::vector<std::string>{"a", "b"}));
}

TEST(PorterStemmer, StemsAsNltkDoes) {
  std::ifstream file = open_golden("stems.txt");
  int num_words = 0;
  for (std::string word, stem; file >> word >> stem; ++num_words)
    EXPECT_EQ(porter_stem(word), stem) << word;
  EXPECT_GE(num_words, 3000);
}

}  // namespace
}  // namespace veloz::eval
