// SPDX-License-Identifier: Apache-2.0
#include "benchmark/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::benchmark {
namespace {

const PromptWriter kIds({.form = PromptForm::token_ids, .vocab_size = 500});
const PromptWriter kText({.form = PromptForm::text});

const std::vector<int32_t>& ids_of(const SampleRequest& request) {
  return std::get<std::vector<int32_t>>(request.prompt);
}

class DatasetFile : public ::testing::Test {
 protected:
  DatasetOptions options(const std::string& name, const std::string& content) const {
    const std::filesystem::path path = directory_.path() / "set";
    std::ofstream(path) << content;
    return {.name = name, .path = path, .num_prompts = 2, .seed = 1};
  }

  test::TempDirectory directory_;
};

std::string conversation(const std::string& prompt, const std::string& answer) {
  return R"({"id": "x", "conversations": [{"from": "human", "value": ")" + prompt +
         R"("}, {"from": "gpt", "value": ")" + answer + R"("}, {"from": "human", "value": "?"}]})";
}

const std::string kPrompt(40, 'p'), kAnswer(80, 'a');  // 10 and 20 tokens by bytes

TEST(RandomDataset, HasTheLengthsAskedFor) {
  const auto requests =
      make_dataset({.num_prompts = 5, .random = {.input_len = 32, .output_len = 8}}, kIds);
  ASSERT_EQ(requests.size(), 5u);
  for (const SampleRequest& request : requests) {
    EXPECT_EQ(ids_of(request).size(), 32u);
    EXPECT_EQ(request.num_prompt_tokens, 32);
    EXPECT_EQ(request.output_len, 8);
    for (const int32_t id : ids_of(request)) EXPECT_TRUE(id >= 260 && id < 500) << id;
  }
}

TEST(RandomDataset, SpreadsLengthsOverTheRange) {
  const auto requests = make_dataset({.num_prompts = 400,
                                      .random = {.input_len = 20, .output_len = 10},
                                      .random_range_ratio = 0.5},
                                     kIds);
  const auto [shortest, longest] =
      std::ranges::minmax(requests, {}, &SampleRequest::num_prompt_tokens);
  EXPECT_EQ(shortest.num_prompt_tokens, 10);
  EXPECT_EQ(longest.num_prompt_tokens, 30);
}

TEST(RandomDataset, NoTwoPromptsShareABeginning) {
  const auto requests =
      make_dataset({.num_prompts = 50, .random = {.input_len = 16, .output_len = 1}}, kIds);
  std::set<std::vector<int32_t>> beginnings;
  for (const SampleRequest& request : requests)
    beginnings.insert({ids_of(request).begin(), ids_of(request).begin() + 8});
  EXPECT_EQ(beginnings.size(), 50u);
}

TEST(RandomDataset, ASharedPrefixComesBeforeEachPrompt) {
  const auto requests = make_dataset(
      {.num_prompts = 3, .random = {.input_len = 4, .output_len = 1}, .random_prefix_len = 6},
      kIds);
  EXPECT_EQ(requests[0].num_prompt_tokens, 10);
  EXPECT_TRUE(std::equal(ids_of(requests[0]).begin(), ids_of(requests[0]).begin() + 6,
                         ids_of(requests[2]).begin()));
  EXPECT_NE(ids_of(requests[0])[6], ids_of(requests[2])[6]);
}

TEST(RandomDataset, TheSeedDecidesAndMoreRequestsDoNotChangeTheFirst) {
  const DatasetOptions options{.num_prompts = 3, .seed = 4, .random = {8, 8}};
  const auto three = make_dataset(options, kIds);
  const auto five = make_dataset(options, kIds, /*num_more=*/2);
  ASSERT_EQ(five.size(), 5u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(ids_of(three[i]), ids_of(five[i]));
  EXPECT_NE(ids_of(three[0]),
            ids_of(make_dataset({.num_prompts = 3, .seed = 5, .random = {8, 8}}, kIds)[0]));
}

TEST(RandomDataset, WritesWordsForAChat) {
  const auto requests =
      make_dataset({.num_prompts = 1, .random = {.input_len = 5, .output_len = 1}}, kText);
  const std::string& text = std::get<std::string>(requests[0].prompt);
  EXPECT_EQ(std::ranges::count(text, ' '), 4);
}

TEST(RandomDataset, TinyVocabulariesStillGiveIdsBelowTheirSize) {
  const PromptWriter writer({.vocab_size = 8});
  const auto requests = make_dataset({.num_prompts = 1, .random = {64, 1}}, writer);
  const std::set<int32_t> ids(ids_of(requests[0]).begin(), ids_of(requests[0]).end());
  EXPECT_GE(ids.size(), 4u);
  EXPECT_LT(*ids.rbegin(), 8);
}

TEST(MixedDataset, SpreadsTheLongOnesEvenly) {
  const auto requests = make_dataset({.name = "mixed",
                                      .num_prompts = 20,
                                      .random = {.input_len = 8, .output_len = 4},
                                      .mixed_long = {.input_len = 100, .output_len = 2},
                                      .mixed_long_share = 0.25},
                                     kIds);
  for (size_t i = 0; i < requests.size(); ++i) {
    const bool is_long = i % 4 == 3;
    EXPECT_EQ(requests[i].group, is_long ? "long" : "short") << i;
    EXPECT_EQ(requests[i].num_prompt_tokens, is_long ? 100 : 8);
    EXPECT_EQ(requests[i].output_len, is_long ? 2 : 4);
  }
}

TEST_F(DatasetFile, ShareGptAsksForTheLengthOfTheAnswer) {
  const auto list = options("sharegpt", "[" + conversation(kPrompt, kAnswer) + "]");
  const auto requests = make_dataset(list, kText);
  ASSERT_EQ(requests.size(), 2u);  // over again
  EXPECT_EQ(std::get<std::string>(requests[0].prompt), kPrompt);
  EXPECT_EQ(requests[0].num_prompt_tokens, 10);
  EXPECT_EQ(requests[0].output_len, 20);
}

TEST_F(DatasetFile, ShareGptMayHaveAConversationALine) {
  const auto lines = options(
      "sharegpt", conversation(kPrompt, kAnswer) + "\n\n" + conversation(kAnswer, kPrompt) + "\n");
  std::set<int64_t> lengths;
  for (const SampleRequest& request : make_dataset(lines, kText))
    lengths.insert(request.output_len);
  EXPECT_EQ(lengths, (std::set<int64_t>{10, 20}));
}

TEST_F(DatasetFile, ShareGptLeavesOutWhatIsNoConversationOrTooShortOrLong) {
  const std::string long_prompt(4 * 1025, 'p'), long_answer(4 * 2040, 'a');
  const auto list =
      options("sharegpt",
              "[" + conversation("hi", kAnswer) + "," + conversation(kPrompt, "ok") + "," +
                  conversation(long_prompt, kAnswer) + "," + conversation(kPrompt, long_answer) +
                  R"(, {"conversations": [{"value": "one turn"}]}, {"conversations": 5}, {}, 7,)" +
                  R"({"conversations": [{"value": 1}, {"value": 2}]},)" +
                  conversation(kPrompt, kAnswer) + "]");
  for (const SampleRequest& request : make_dataset(list, kText)) EXPECT_EQ(request.output_len, 20);
}

TEST_F(DatasetFile, OutputLengthGoesOverThatOfTheFile) {
  auto list = options("sharegpt", "[" + conversation(kPrompt, kAnswer) + "]");
  list.output_len = 3;
  EXPECT_EQ(make_dataset(list, kText)[0].output_len, 3);
}

TEST_F(DatasetFile, CustomLinesHavePromptAndLength) {
  const auto lines = options("custom",
                             "{\"prompt\": \"some text\", \"output_len\": 5}\n"
                             "{\"prompt\": [1, 2, 3], \"output_tokens\": 6}\n");
  std::set<int64_t> lengths;
  for (const SampleRequest& request : make_dataset(lines, kText)) {
    lengths.insert(request.output_len);
    EXPECT_EQ(request.num_prompt_tokens, 3);  // 9 bytes, or 3 ids
  }
  EXPECT_EQ(lengths, (std::set<int64_t>{5, 6}));
}

TEST_F(DatasetFile, CustomLinesWithoutALengthGetOne) {
  EXPECT_EQ(make_dataset(options("custom", R"({"prompt": "x"})"), kText)[0].output_len, 128);
}

TEST_F(DatasetFile, ABadCustomLineIsRefusedWithItsNumber) {
  for (const char* bad : {"{", "[]", R"({"prompt": 5})", R"({"prompt": []})", R"({"prompt": [-1]})",
                          R"({"prompt": ["x"]})", R"({"prompt": "x", "output_len": 0})",
                          R"({"prompt": "x", "output_len": "5"})", R"({"text": "x"})"}) {
    const auto lines = options("custom", std::string("{\"prompt\": \"fine\"}\n") + bad + "\n");
    EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"line 2"}, [&] {
      make_dataset(lines, kText);
    })) << bad;
  }
}

TEST_F(DatasetFile, AFileWithNothingUsableIsRefused) {
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"no usable request"},
                                 [&] { make_dataset(options("sharegpt", "[]"), kText); }));
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"no JSON list"},
                                 [&] { make_dataset(options("sharegpt", "[{\"conv"), kText); }));
}

TEST(Dataset, RefusesImpossibleOptions) {
  const auto refused = [](const DatasetOptions& options, std::string_view flag) {
    return test::throws_error(ErrorKind::invalid_input, {flag},
                              [&] { make_dataset(options, kIds); });
  };
  EXPECT_TRUE(refused({.name = "sonnet"}, "--dataset-name"));
  EXPECT_TRUE(refused({.num_prompts = 0}, "--num-prompts"));
  EXPECT_TRUE(refused({.random = {0, 1}}, "--random-input-len"));
  EXPECT_TRUE(refused({.random = {1, 0}}, "--random-output-len"));
  EXPECT_TRUE(refused({.random_range_ratio = 1}, "--random-range-ratio"));
  EXPECT_TRUE(refused({.mixed_long_share = 1.5}, "--mixed-long-share"));
  EXPECT_TRUE(refused({.output_len = 0}, "--output-len"));
  EXPECT_TRUE(refused({.name = "custom"}, "--dataset-path"));
  EXPECT_TRUE(test::throws_error(ErrorKind::not_found, {"nowhere"}, [] {
    make_dataset({.name = "custom", .path = "nowhere"}, kIds);
  }));
}

}  // namespace
}  // namespace veloz::benchmark
