// SPDX-License-Identifier: Apache-2.0
#include "serving/sampling_params.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "support/expect_error.h"

namespace veloz::serving {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

constexpr SamplingLimits kSamplingLimits = {
    .vocab_size = 100, .max_beam_width = 8, .max_logprobs = 20};

struct BadParams {
  std::string_view name;
  void (*spoil)(SamplingParams&);
  std::vector<std::string_view> message;  // parts of it
};

std::ostream& operator<<(std::ostream& out, const BadParams& bad) { return out << bad.name; }

const BadParams kBadParams[] = {
    {"NoTokens", [](auto& p) { p.max_tokens = 0; }, {"max_tokens is 0", "1 or more"}},
    {"NegativeTokens", [](auto& p) { p.max_tokens = -5; }, {"max_tokens is -5"}},
    {"NegativeMinTokens", [](auto& p) { p.min_tokens = -1; }, {"min_tokens is -1", "0 or more"}},
    {"MinAboveMaxTokens", [](auto& p) { p.min_tokens = 129; }, {"min_tokens is 129", "128"}},
    {"NegativeTemperature", [](auto& p) { p.temperature = -0.1; }, {"temperature is -0.1"}},
    {"NanTemperature", [](auto& p) { p.temperature = kNan; }, {"temperature is nan"}},
    {"InfiniteTemperature", [](auto& p) { p.temperature = kInfinity; }, {"temperature is inf"}},
    {"NegativeTopK", [](auto& p) { p.top_k = -2; }, {"top_k is -2"}},
    {"ZeroTopP", [](auto& p) { p.top_p = 0; }, {"top_p is 0", "above 0 and at most 1"}},
    {"TopPAboveOne", [](auto& p) { p.top_p = 1.5; }, {"top_p is 1.5"}},
    {"NanTopP", [](auto& p) { p.top_p = kNan; }, {"top_p is nan"}},
    {"NegativeMinP", [](auto& p) { p.min_p = -0.5; }, {"min_p is -0.5"}},
    {"MinPOfOne", [](auto& p) { p.min_p = 1; }, {"min_p is 1", "from 0 to below 1"}},
    {"ZeroRepetition", [](auto& p) { p.repetition_penalty = 0; }, {"repetition_penalty is 0"}},
    {"NanRepetition", [](auto& p) { p.repetition_penalty = kNan; }, {"repetition_penalty is nan"}},
    {"Presence", [](auto& p) { p.presence_penalty = 2.1; }, {"presence_penalty is 2.1", "2"}},
    {"Frequency", [](auto& p) { p.frequency_penalty = -3; }, {"frequency_penalty is -3", "-2"}},
    {"BiasOfUnknownId",
     [](auto& p) {
       p.logit_bias = {{100, 1}};
     },
     {"logit_bias id is 100", "99"}},
    {"BiasOfNegativeId",
     [](auto& p) {
       p.logit_bias = {{-1, 1}};
     },
     {"logit_bias id is -1"}},
    {"NanBias",
     [](auto& p) {
       p.logit_bias = {{1, NAN}};
     },
     {"logit_bias value is nan", "100"}},
    {"HugeBias",
     [](auto& p) {
       p.logit_bias = {{1, 101}};
     },
     {"logit_bias value is 101", "100"}},
    {"BiasTwice",
     [](auto& p) {
       p.logit_bias = {{1, 1}, {2, 1}, {1, 2}};
     },
     {"id is 1", "once"}},
    {"TooManyBiases",
     [](auto& p) { p.logit_bias.resize(1025); },
     {"number of logit_bias entries is 1025", "1024"}},
    {"EmptyStop",
     [](auto& p) {
       p.stop = {"a", ""};
     },
     {"a stop string is empty"}},
    {"TooManyStops", [](auto& p) { p.stop.assign(65, "x"); }, {"stop strings is 65", "64"}},
    {"UnknownStopId",
     [](auto& p) {
       p.stop_token_ids = {7, 100};
     },
     {"stop_token_ids", "100"}},
    {"TooManyStopIds", [](auto& p) { p.stop_token_ids.assign(65, 1); }, {"is 65", "64"}},
    {"NoChoices", [](auto& p) { p.n = 0; }, {"n is 0", "1 or more"}},
    {"NegativeLogprobs", [](auto& p) { p.logprobs = -1; }, {"logprobs is -1"}},
    {"TooManyLogprobs", [](auto& p) { p.logprobs = 21; }, {"logprobs is 21", "20"}},
    {"NegativePromptLogprobs",
     [](auto& p) { p.prompt_logprobs = -1; },
     {"prompt_logprobs is -1", "0 or more"}},
    {"TooManyPromptLogprobs", [](auto& p) { p.prompt_logprobs = 21; }, {"is 21", "20"}},
    {"EmptyBadWord",
     [](auto& p) {
       p.bad_words = {"x", ""};
     },
     {"a bad word is empty"}},
    {"TooManyBadWords", [](auto& p) { p.bad_words.assign(257, "x"); }, {"is 257", "256"}},
    {"NegativeNgram", [](auto& p) { p.no_repeat_ngram_size = -1; }, {"no_repeat_ngram_size is -1"}},
    {"NoBeams", [](auto& p) { p.num_beams = 0; }, {"num_beams is 0"}},
    {"TooManyBeams", [](auto& p) { p.num_beams = 9; }, {"num_beams is 9", "8"}},
    {"NanLengthPenalty", [](auto& p) { p.length_penalty = kNan; }, {"length_penalty is nan"}},
    {"MoreChoicesThanBeams",
     [](auto& p) { p.num_beams = 2, p.n = 3; },
     {"n is 3", "at most num_beams, 2"}},
    {"BeamsWithTemperature",
     [](auto& p) { p.num_beams = 2, p.temperature = 0.5; },
     {"temperature cannot be combined with beam search (num_beams is 2)", "leave it at 1"}},
    {"BeamsWithTopK", [](auto& p) { p.num_beams = 2, p.top_k = 5; }, {"top_k cannot"}},
    {"BeamsWithTopP", [](auto& p) { p.num_beams = 2, p.top_p = 0.5; }, {"top_p cannot"}},
    {"BeamsWithMinP", [](auto& p) { p.num_beams = 2, p.min_p = 0.5; }, {"min_p cannot"}},
    {"BeamsWithPresence", [](auto& p) { p.num_beams = 2, p.presence_penalty = 1; }, {"presence"}},
    {"BeamsWithFrequency", [](auto& p) { p.num_beams = 2, p.frequency_penalty = 1; }, {"freq"}},
    {"BeamsWithStops",
     [](auto& p) { p.num_beams = 2, p.stop = {"x"}; },
     {"stop cannot", "stop_token_ids"}},
    {"BeamsWithLogprobs", [](auto& p) { p.num_beams = 2, p.logprobs = 1; }, {"logprobs cannot"}},
};

class RefusedParams : public testing::TestWithParam<BadParams> {};

TEST_P(RefusedParams, NamesParameterValueAndLimit) {
  SamplingParams params;
  GetParam().spoil(params);
  try {
    validate(params, kSamplingLimits);
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    const std::string text = e.message() + " (" + e.hint() + ")";
    for (const std::string_view part : GetParam().message)
      EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in: " << text;
  }
}

INSTANTIATE_TEST_SUITE_P(All, RefusedParams, testing::ValuesIn(kBadParams),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(SamplingParams, DefaultsAndExtremesAreFine) {
  SamplingParams params;
  validate(params, kSamplingLimits);
  params.max_tokens = params.min_tokens = int64_t{1} << 62;
  params.temperature = 0;
  params.top_k = int64_t{1} << 62;
  params.presence_penalty = -2;
  params.frequency_penalty = 2;
  params.logit_bias = {{0, -100}, {99, 100}};
  params.logprobs = 20;
  validate(params, kSamplingLimits);
  params = {};
  params.num_beams = params.n = 8;
  params.temperature = 0;  // greedy and beams agree: no sampling
  validate(params, kSamplingLimits);
}

class AllowAll final : public TokenMask {
 public:
  void fill(std::span<uint32_t> allowed) override { std::ranges::fill(allowed, ~uint32_t{0}); }
  void accept(int32_t) override {}
  void rollback(int64_t) override {}
};

Request request_with_masks(int64_t n, int num_masks) {
  Request request{.prompt_tokens = {1}, .params = {.n = n}};
  for (int i = 0; i < num_masks; ++i) request.masks.push_back(std::make_unique<AllowAll>());
  return request;
}

::testing::AssertionResult is_refused(const Request& request,
                                      std::initializer_list<std::string_view> message) {
  return test::throws_error(ErrorKind::invalid_input, message,
                            [&] { validate_constraints(request, kSamplingLimits); });
}

TEST(Constraints, MasksAreNoneOrOnePerChoice) {
  validate_constraints(request_with_masks(3, 0), kSamplingLimits);
  validate_constraints(request_with_masks(3, 3), kSamplingLimits);
  EXPECT_TRUE(is_refused(request_with_masks(3, 1), {"masks is 1", "n = 3"}));
}

TEST(Constraints, MasksAndBeamsAreNotCombined) {
  Request request = request_with_masks(2, 2);
  request.params.num_beams = 2;
  EXPECT_TRUE(is_refused(request, {"structured output", "beam search"}));
}

TEST(Constraints, BadWordsAreTokensOfTheModel) {
  Request request = request_with_masks(1, 0);
  request.bad_words = {{1, 2}, {99}};
  validate_constraints(request, kSamplingLimits);
  request.bad_words.push_back({5, 100});
  EXPECT_TRUE(is_refused(request, {"bad word is 100", "0 to 99"}));
  request.bad_words = {{}};
  EXPECT_TRUE(is_refused(request, {"a bad word has no tokens"}));
  request.bad_words.assign(513, {1});
  EXPECT_TRUE(is_refused(request, {"is 513", "at most 512"}));
}

TEST(SamplingParams, EndTokensAreSortedAndEachThereOnce) {
  SamplingParams params;
  params.stop_token_ids = {9, 2, 9};
  const std::vector<int32_t> eos = {5, 2};
  EXPECT_EQ(end_token_ids(params, eos), (std::vector<int32_t>{2, 5, 9}));
  params.ignore_eos = true;
  EXPECT_EQ(end_token_ids(params, eos), (std::vector<int32_t>{2, 9}));
}

}  // namespace
}  // namespace veloz::serving
