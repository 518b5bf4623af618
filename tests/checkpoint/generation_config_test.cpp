// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/generation_config.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz::checkpoint {
namespace {

using test::throws_error;

TEST(GenerationConfig, OfAChatModel) {
  const GenerationConfig config = parse_generation_config(R"({"bos_token_id": 128000,
      "do_sample": true, "eos_token_id": [128001, 128008, 128009], "temperature": 0.6,
      "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.05, "transformers_version": "4.45.0"})");
  EXPECT_EQ(config.eos_token_ids, (std::vector<int64_t>{128001, 128008, 128009}));
  EXPECT_EQ(config.bos_token_id, 128000);
  EXPECT_EQ(config.pad_token_id, std::nullopt);
  EXPECT_TRUE(config.unsupported_keys.empty());
  const SamplingParams params = config.sampling_params();
  EXPECT_EQ(params.temperature, 0.6);
  EXPECT_EQ(params.top_p, 0.9);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_EQ(params.repetition_penalty, 1.05);
}

TEST(GenerationConfig, OfABeamSearchModel) {
  const GenerationConfig config = parse_generation_config(R"({"num_beams": 4, "max_new_tokens": 128,
      "min_new_tokens": 30, "early_stopping": true, "length_penalty": 0.8,
      "no_repeat_ngram_size": 3, "do_sample": true, "temperature": 0.5})");
  const SamplingParams params = config.sampling_params();
  EXPECT_EQ(params.num_beams, 4);
  EXPECT_EQ(params.max_tokens, 128);
  EXPECT_EQ(params.min_tokens, 30);
  EXPECT_EQ(params.early_stopping, EarlyStopping::yes);
  EXPECT_EQ(params.length_penalty, 0.8);
  EXPECT_EQ(params.no_repeat_ngram_size, 3);
  EXPECT_EQ(params.temperature, 0);  // beams are not sampled
}

TEST(GenerationConfig, IsGreedyAndNeutralWhereItSaysNothing) {
  const SamplingParams params = parse_generation_config("{}").sampling_params();
  EXPECT_EQ(params.temperature, 0);
  EXPECT_EQ(params.top_k, 0);
  EXPECT_EQ(params.num_beams, 1);
  EXPECT_EQ(parse_generation_config(R"({"temperature": 0.7})").sampling_params().temperature, 0);
  const SamplingParams sampled =
      parse_generation_config(R"({"do_sample": true})").sampling_params();
  EXPECT_EQ(sampled.temperature, 1);
  EXPECT_EQ(sampled.top_k, 0);
}

TEST(GenerationConfig, EarlyStoppingHasThreeValues) {
  const auto parse = [](const char* text) { return parse_generation_config(text).early_stopping; };
  EXPECT_EQ(parse(R"({"early_stopping": false})"), EarlyStopping::no);
  EXPECT_EQ(parse(R"({"early_stopping": true})"), EarlyStopping::yes);
  EXPECT_EQ(parse(R"({"early_stopping": "never"})"), EarlyStopping::never);
  EXPECT_EQ(parse(R"({"early_stopping": null})"), std::nullopt);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"\"early_stopping\" is \"soon\""},
                           [&] { parse(R"({"early_stopping": "soon"})"); }));
}

TEST(GenerationConfig, NamesKeysThatAskForSomethingThatIsNotThere) {
  EXPECT_EQ(parse_generation_config(R"({"typical_p": 0.9, "num_beam_groups": 2,
      "bad_words_ids": [[1]], "suppress_tokens": [], "guidance_scale": null, "penalty_alpha": 0})")
                .unsupported_keys,
            (std::vector<std::string>{"typical_p", "num_beam_groups", "bad_words_ids"}));
}

TEST(GenerationConfig, MinusOneMeansNone) {
  const GenerationConfig config = parse_generation_config(
      R"({"eos_token_id": [-1, 5], "bos_token_id": -1, "pad_token_id": -1, "top_k": -1})");
  EXPECT_EQ(config.eos_token_ids, std::vector<int64_t>{5});
  EXPECT_EQ(config.bos_token_id, std::nullopt);
  EXPECT_EQ(config.top_k, 0);
}

TEST(GenerationConfig, RefusesAbsurdValuesNamingKeyValueAndLimit) {
  struct Case {
    const char* text;
    std::initializer_list<std::string_view> parts;
  };
  const Case cases[] = {
      {R"({"temperature": -1})", {"\"temperature\" is -1", "from 0 to 10000"}},
      {R"({"temperature": "hot"})", {"\"temperature\" is \"hot\"", "a number"}},
      {R"({"top_p": 1.5})", {"\"top_p\" is 1.5", "to 1"}},
      {R"({"top_k": -5})", {"\"top_k\" is -5", "from -1"}},
      {R"({"num_beams": 0})", {"\"num_beams\" is 0", "from 1 to 1024"}},
      {R"({"max_new_tokens": 0})", {"\"max_new_tokens\" is 0", "from 1"}},
      {R"({"do_sample": 1})", {"\"do_sample\" is 1", "true or false"}},
      {R"({"eos_token_id": "2"})", {"\"eos_token_id\" is \"2\"", "whole number"}},
      {R"({"repetition_penalty": 0})", {"\"repetition_penalty\" is 0"}},
  };
  for (const Case& c : cases)
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input, c.parts, [&] {
      parse_generation_config(c.text);
    })) << c.text;
}

TEST(GenerationConfig, RefusesWhatIsNoJsonObject) {
  for (const char* text : {"", "[", "[]", "nul", "{\"a\":1,\"a\":1}"})
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {}, [&] { parse_generation_config(text); }))
        << text;
}

}  // namespace
}  // namespace veloz::checkpoint
