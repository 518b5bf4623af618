// SPDX-License-Identifier: Apache-2.0
#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "base/philox.h"
#include "support/deferred_runner.h"

namespace veloz::runtime {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SamplerLimits limits_for(int64_t vocab_size, int64_t max_model_len = 64) {
  return {.max_rows = 8,
          .vocab_size = vocab_size,
          .max_model_len = max_model_len,
          .max_edits_per_row = 16,
          .max_logprobs = 4,
          .max_candidates = 12,
          .banned_token_ids = {}};
}

/// A sampler, and rows of logits in its runner's memory.
struct Bench {
  explicit Bench(const SamplerLimits& limits_in)
      : limits(limits_in),
        sampler(runner, limits),
        logits(runner.device().allocate(static_cast<size_t>(limits.max_rows * limits.vocab_size) *
                                        sizeof(float))) {}
  explicit Bench(int64_t vocab_size) : Bench(limits_for(vocab_size)) {}

  std::vector<GroupResult> sample(const std::vector<std::vector<float>>& rows,
                                  const std::vector<SampleGroup>& groups) {
    float* row = static_cast<float*>(logits.data());
    for (const std::vector<float>& values : rows)
      row = std::copy(values.begin(), values.end(), row);
    sampler.start({logits.data(), DType::fp32, {std::ssize(rows), limits.vocab_size}}, groups);
    return sampler.finish();
  }
  GroupResult sample_one(const std::vector<float>& row, const SampleRow& sampled) {
    return sample({row}, {{.rows = {sampled}}}).front();
  }

  test::DeferredRunner runner;
  SamplerLimits limits;
  Sampler sampler;
  Buffer logits;
};

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0;
  return params;
}

TEST(Sampler, GreedyTakesTheLargestLogit) {
  Bench bench(4);
  const SamplingParams params = greedy();
  const GroupResult result = bench.sample_one({0, 3, 2, 1}, {.params = &params});
  EXPECT_FALSE(result.fault.has_value());
  EXPECT_EQ(result.tokens[0].token, 1);
  EXPECT_FALSE(result.tokens[0].logprob.has_value());
}

TEST(Sampler, AddsLogitBias) {
  Bench bench(4);
  SamplingParams params = greedy();
  params.logit_bias = {{3, 2.5f}, {1, -1.0f}};
  EXPECT_EQ(bench.sample_one({0, 3, 2, 1}, {.params = &params}).tokens[0].token, 3);
}

TEST(Sampler, NeverTakesBannedTokens) {
  SamplerLimits limits = limits_for(4);
  limits.banned_token_ids = {1};
  Bench bench(limits);
  const SamplingParams params = greedy();
  const std::vector<int32_t> banned = {2};
  EXPECT_EQ(bench.sample_one({0, 3, 2, 1}, {.params = &params, .banned = banned}).tokens[0].token,
            3);
  EXPECT_EQ(bench.sample_one({0, 3, 2, 1}, {.params = &params}).tokens[0].token, 2);
}

TEST(Sampler, PenalisesRepetitionOfPromptAndOutput) {
  Bench bench(4);
  SamplingParams params = greedy();
  params.repetition_penalty = 2;
  const std::vector<int32_t> tokens = {1, 2};
  const SampleRow row{.params = &params, .tokens = tokens, .num_prompt_tokens = 1};
  EXPECT_EQ(bench.sample_one({1.6f, 3, 3, 1}, row).tokens[0].token, 0);
}

TEST(Sampler, PenalisesPresenceAndFrequencyOfTheOutputOnly) {
  Bench bench(3);
  SamplingParams params = greedy();
  params.frequency_penalty = 1;
  const std::vector<int32_t> tokens = {0, 0, 0, 1, 1};  // three of the prompt
  const SampleRow row{.params = &params, .tokens = tokens, .num_prompt_tokens = 3};
  EXPECT_EQ(bench.sample_one({3, 4.5f, 0}, row).tokens[0].token, 0);  // 3 against 4.5 - 2
  EXPECT_EQ(bench.sample_one({3, 5.5f, 0}, row).tokens[0].token, 1);
  params.frequency_penalty = 0;
  params.presence_penalty = 1;
  EXPECT_EQ(bench.sample_one({3, 4.5f, 0}, row).tokens[0].token, 1);  // once, not per occurrence
}

TEST(Sampler, BansTokensThatWouldRepeatAnNgram) {
  Bench bench(5);
  SamplingParams params = greedy();
  params.no_repeat_ngram_size = 3;
  const std::vector<int32_t> tokens = {1, 2, 4, 3, 1, 2};  // 1 2 4 is there: not 4 again
  const SampleRow row{.params = &params, .tokens = tokens, .num_prompt_tokens = 4};
  EXPECT_EQ(bench.sample_one({0, 1, 2, 3, 9}, row).tokens[0].token, 3);
  const std::vector<int32_t> short_one = {1, 2};
  EXPECT_EQ(
      bench.sample_one({0, 1, 2, 3, 9}, {.params = &params, .tokens = short_one}).tokens[0].token,
      4);
}

TEST(Sampler, NeverCompletesABadWord) {
  Bench bench(5);
  const SamplingParams params = greedy();
  const std::vector<std::vector<int32_t>> bad_words = {{4}, {1, 2, 3}, {9, 2}, {0, 1, 2, 1, 2, 0}};
  const std::vector<int32_t> tokens = {0, 1, 2, 1, 2};
  const auto choose = [&](std::span<const int32_t> sequence, int64_t num_prompt_tokens) {
    return bench
        .sample_one({0, 1, 2, 3, 9}, {.params = &params,
                                      .tokens = sequence,
                                      .num_prompt_tokens = num_prompt_tokens,
                                      .bad_words = bad_words})
        .tokens[0]
        .token;
  };
  EXPECT_EQ(choose(tokens, 0), 2);  // neither 4 alone nor 3 after 1 2
  EXPECT_EQ(choose(tokens, 3), 2);
  EXPECT_EQ(choose(tokens, 4), 3);  // a word's start in the prompt does not count
  EXPECT_EQ(choose({}, 0), 3);
}

TEST(Sampler, ChoosesWhatTheMaskAllows) {
  constexpr int64_t kVocab = 40;  // two words
  Bench bench(kVocab);
  const SamplingParams params = greedy();
  std::vector<float> row(kVocab);
  std::iota(row.begin(), row.end(), 0.0f);
  const std::vector<uint32_t> low = {1u << 7 | 1u << 31, 0};
  const std::vector<uint32_t> high = {1u << 5, 1u << 3};
  const std::vector<uint32_t> none = {0, 0};
  const auto results = bench.sample(
      {row, row, row, row},
      {{.rows = {{.params = &params}}},
       {.rows = {{.params = &params, .allowed = low}, {.params = &params, .allowed = high}}},
       {.rows = {{.params = &params, .allowed = none}}}});
  EXPECT_EQ(results[0].tokens[0].token, 39);
  EXPECT_EQ(results[1].tokens[0].token, 31);
  EXPECT_EQ(results[1].tokens[1].token, 35);
  EXPECT_EQ(results[2].fault, SampleFault::all_tokens_banned);
  EXPECT_FALSE(results[1].fault.has_value());
}

TEST(Sampler, ScoresTheTokensOfAPrompt) {
  Bench bench(4);
  SamplingParams params = greedy();
  params.prompt_logprobs = 2;
  params.logit_bias = {{3, 10.0f}};
  const std::vector<float> first = {2, 1, 0, -1};
  const std::vector<float> second = {0, 0, 0, 5};
  const std::vector<int32_t> given = {3, 0};
  const SampleRow row{.params = &params};
  const auto results =
      bench.sample({first, second, first}, {{.rows = {row, row}, .given = given}, {.rows = {row}}});
  const double log_sum = std::log(std::exp(2) + std::exp(1) + 1 + std::exp(-1));
  ASSERT_EQ(results[0].tokens.size(), 2u);
  EXPECT_EQ(results[0].tokens[0].token, 3);
  EXPECT_NEAR(results[0].tokens[0].logprob.value(), -1 - log_sum, 1e-6);
  ASSERT_EQ(results[0].tokens[0].top.size(), 2u);
  EXPECT_EQ(results[0].tokens[0].top[0].token, 0);
  EXPECT_EQ(results[0].tokens[0].top[1].token, 1);
  EXPECT_EQ(results[0].tokens[0].top[1].rank, 2);
  EXPECT_EQ(results[0].tokens[0].rank, 4);  // beyond those that are listed
  EXPECT_EQ(results[0].tokens[1].rank, 4);  // with two as likely
  EXPECT_EQ(results[0].tokens[1].token, 0);
  EXPECT_EQ(results[0].tokens[1].top[0].token, 3);
  EXPECT_EQ(results[1].tokens[0].token, 3);  // chosen, with the bias
}

TEST(Sampler, TellsOfANanUnderAPrompt) {
  Bench bench(3);
  SamplingParams params = greedy();
  params.prompt_logprobs = 0;
  const std::vector<int32_t> given = {0};
  const SampleGroup scored{.rows = {{.params = &params}}, .given = given};
  const auto results = bench.sample({{1, 2, kNan}, {1, 2, 3}}, {scored, scored});
  EXPECT_EQ(results[0].fault, SampleFault::nan_logits);
  EXPECT_FALSE(results[1].fault.has_value());
}

TEST(Sampler, LogprobsComeFromTheLogitsAsTheyWere) {
  SamplerLimits limits = limits_for(4);
  limits.banned_token_ids = {0};
  Bench bench(limits);
  SamplingParams plain = greedy();
  SamplingParams with_logprobs = greedy();
  with_logprobs.logprobs = 2;
  with_logprobs.logit_bias = {{3, 10.0f}};
  const std::vector<float> row = {2, 1, 0, -1};
  const auto results = bench.sample(
      {row, row}, {{.rows = {{.params = &plain}}}, {.rows = {{.params = &with_logprobs}}}});
  EXPECT_FALSE(results[0].tokens[0].logprob.has_value());
  const SampledToken& sampled = results[1].tokens[0];
  const double log_sum = std::log(std::exp(2) + std::exp(1) + 1 + std::exp(-1));
  EXPECT_EQ(sampled.token, 3);
  EXPECT_NEAR(sampled.logprob.value(), -1 - log_sum, 1e-6);
  EXPECT_EQ(sampled.rank, 4);
  ASSERT_EQ(sampled.top.size(), 2u);
  EXPECT_EQ(sampled.top[0].token, 0);
  EXPECT_NEAR(sampled.top[0].logprob, 2 - log_sum, 1e-6);
  EXPECT_EQ(sampled.top[1].token, 1);
}

TEST(Sampler, LogprobsOfZeroGiveTheChosenTokensAlone) {
  Bench bench(4);
  SamplingParams params = greedy();
  params.logprobs = 0;
  const SampledToken sampled = bench.sample_one({0, 0, 0, 0}, {.params = &params}).tokens[0];
  EXPECT_NEAR(sampled.logprob.value(), std::log(0.25), 1e-6);
  EXPECT_TRUE(sampled.top.empty());
}

// Every combination of features, so that neighbours of all kinds stand beside each row.
std::vector<SamplingParams> varied_params() {
  std::vector<SamplingParams> all(8);
  all[0].temperature = 0;
  all[1].top_k = 3;
  all[2].top_p = 0.7;
  all[2].repetition_penalty = 1.4;
  all[3].min_p = 0.1;
  all[3].logprobs = 3;
  all[4].presence_penalty = 0.5;
  all[4].no_repeat_ngram_size = 2;
  all[5].num_beams = 2;
  all[5].repetition_penalty = 0.9;
  all[6].logit_bias = {{2, 1.0f}};
  all[7].prompt_logprobs = 2;
  return all;
}

std::vector<float> random_row(uint32_t seed, int64_t vocab_size) {
  std::vector<float> row;
  for (int64_t i = 0; i < vocab_size; ++i)
    row.push_back(8 * uniform_open(philox4x32({static_cast<uint32_t>(i), 0, 0, 0}, {seed, 0})[0]));
  return row;
}

void expect_equal(const GroupResult& a, const GroupResult& b) {
  EXPECT_EQ(a.fault, b.fault);
  ASSERT_EQ(a.tokens.size(), b.tokens.size());
  for (size_t i = 0; i < a.tokens.size(); ++i) {
    EXPECT_EQ(a.tokens[i].token, b.tokens[i].token);
    EXPECT_EQ(a.tokens[i].logprob, b.tokens[i].logprob);
    EXPECT_EQ(a.tokens[i].top, b.tokens[i].top);
  }
  ASSERT_EQ(a.candidates.size(), b.candidates.size());
  for (size_t i = 0; i < a.candidates.size(); ++i) {
    EXPECT_EQ(a.candidates[i].beam, b.candidates[i].beam);
    EXPECT_EQ(a.candidates[i].token, b.candidates[i].token);
    EXPECT_EQ(a.candidates[i].score, b.candidates[i].score);
  }
}

TEST(Sampler, ARowsResultDoesNotDependOnItsNeighbours) {
  const std::vector<SamplingParams> params = varied_params();
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 2, 3};
  const std::vector<std::vector<int32_t>> bad_words = {{7}, {3, 8}};
  const std::vector<uint32_t> allowed = {0b0110'1011'0111'1110'0101};
  const std::vector<int32_t> given = {11};
  Bench bench(19);
  for (uint32_t seed = 0; seed < 30; ++seed) {
    std::vector<std::vector<float>> rows;
    std::vector<SampleGroup> groups;
    for (size_t i = 0; i < params.size(); ++i) {
      rows.push_back(random_row(seed * 100 + static_cast<uint32_t>(i), 19));
      SampleGroup group{.rows = {{.params = &params[i],
                                  .seed = seed,
                                  .choice = 1,
                                  .tokens = tokens,
                                  .num_prompt_tokens = 3}},
                        .num_candidates = params[i].num_beams > 1 ? 4 : 0};
      if (i % 3 == 1) group.rows[0].allowed = allowed;
      if (i % 3 == 2) group.rows[0].bad_words = bad_words;
      if (params[i].prompt_logprobs) group.given = given;
      groups.push_back(group);
    }
    const std::vector<GroupResult> together = bench.sample(rows, groups);
    for (size_t i = 0; i < params.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", row " << i);
      expect_equal(together[i], bench.sample({rows[i]}, {groups[i]}).front());
    }
  }
}

TEST(Sampler, SeedChoiceAndPositionEachChangeTheDraw) {
  Bench bench(1000);
  const SamplingParams params;
  const std::vector<float> flat(1000, 0.0f);
  const std::vector<int32_t> tokens = {1, 2, 3};
  const auto draw = [&](uint64_t seed, int64_t choice, int64_t num_prompt_tokens) {
    return bench
        .sample_one(flat, {.params = &params,
                           .seed = seed,
                           .choice = choice,
                           .tokens = tokens,
                           .num_prompt_tokens = num_prompt_tokens})
        .tokens[0]
        .token;
  };
  const int32_t token = draw(5, 0, 3);
  EXPECT_EQ(draw(5, 0, 3), token);
  EXPECT_NE(draw(6, 0, 3), token);
  EXPECT_NE(draw(5 + (uint64_t{1} << 32), 0, 3), token);
  EXPECT_NE(draw(5, 1, 3), token);
  EXPECT_NE(draw(5, 0, 2), token);
}

TEST(Sampler, SamplesInProportionToTheProbabilities) {
  Bench bench(3);
  const SamplingParams params;
  const std::vector<float> row = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  std::map<int32_t, int> counts;
  constexpr int kDraws = 4000;
  for (uint64_t seed = 0; seed < kDraws; ++seed)
    ++counts[bench.sample_one(row, {.params = &params, .seed = seed}).tokens[0].token];
  // Five standard deviations of a binomial: 5 * sqrt(0.25 / 4000) = 0.04.
  EXPECT_NEAR(counts[0] / double{kDraws}, 0.5, 0.04);
  EXPECT_NEAR(counts[1] / double{kDraws}, 0.3, 0.04);
  EXPECT_NEAR(counts[2] / double{kDraws}, 0.2, 0.04);
}

TEST(Sampler, BeamCandidatesAddScoresOfAllBeams) {
  Bench bench(3);
  SamplingParams params;
  params.num_beams = 2;
  const std::vector<float> row = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  const SampleGroup beams{
      .rows = {{.params = &params, .beam_score = -1}, {.params = &params, .beam_score = -1.4f}},
      .num_candidates = 4};
  const GroupResult result = bench.sample({row, row}, {beams}).front();
  ASSERT_EQ(result.candidates.size(), 4u);
  EXPECT_EQ(result.candidates[0].beam, 0);
  EXPECT_EQ(result.candidates[0].token, 0);
  EXPECT_NEAR(result.candidates[0].score, -1 + std::log(0.5), 1e-6);
  EXPECT_EQ(result.candidates[1].beam, 1);  // -1.4 + ln 0.5 > -1 + ln 0.3
  EXPECT_EQ(result.candidates[1].token, 0);
  EXPECT_EQ(result.candidates[2].token, 1);
}

TEST(Sampler, BansLeaveBeamsFewerCandidates) {
  Bench bench(3);
  SamplingParams params;
  params.num_beams = 2;
  const std::vector<int32_t> banned = {0, 2};
  const SampleGroup beams{.rows = {{.params = &params, .banned = banned}}, .num_candidates = 4};
  const GroupResult result = bench.sample({{0, 0, 0}}, {beams}).front();
  ASSERT_EQ(result.candidates.size(), 1u);
  EXPECT_EQ(result.candidates[0].token, 1);
}

TEST(Sampler, TellsWhyARowGaveNoToken) {
  Bench bench(3);
  const SamplingParams params = greedy();
  const SampleRow row{.params = &params};
  const std::vector<int32_t> everything = {0, 1, 2};
  EXPECT_EQ(bench.sample_one({0, kNan, 0}, row).fault, SampleFault::nan_logits);
  EXPECT_EQ(bench.sample_one({0, kInfinity, 0}, row).fault, SampleFault::infinite_logits);
  EXPECT_EQ(bench.sample_one({0, 1, 2}, {.params = &params, .banned = everything}).fault,
            SampleFault::all_tokens_banned);
  EXPECT_EQ(bench.sample_one({-kInfinity, 1, 0}, row).tokens[0].token, 1);
}

/// The tokens are on the device before the host knows them, and the logits may be overwritten.
TEST(Sampler, LeavesTokensOnTheDeviceForTheNextStep) {
  Bench bench(3);
  const SamplingParams params = greedy();
  const std::vector<SampleGroup> groups(2, {.rows = {{.params = &params}}});
  auto* const logits = static_cast<float*>(bench.logits.data());
  std::ranges::copy(std::vector<float>{0, kInfinity, 0, 0, 1, 2}, logits);
  const TensorView view(logits, DType::fp32, {2, 3});
  bench.sampler.start(view, groups);
  const std::optional<TensorView> tokens = bench.sampler.tokens_on_device();
  ASSERT_TRUE(tokens.has_value());
  std::vector<int32_t> next(2);
  bench.runner.stream().wait_for_mark();
  bench.runner.device().copy_out(bench.runner.stream(), next.data(), tokens->data, 8);
  bench.runner.stream().synchronize();
  EXPECT_EQ(next, (std::vector<int32_t>{0, 2}));
  std::fill_n(logits, 6, kNan);
  const std::vector<GroupResult> results = bench.sampler.finish();
  EXPECT_EQ(results[0].fault, SampleFault::infinite_logits);
  EXPECT_FALSE(results[1].fault.has_value());
  EXPECT_EQ(results[1].tokens[0].token, 2);
}

TEST(Sampler, KnowsTokensOfBeamsAndPromptsAtItsEndAlone) {
  Bench bench(3);
  const SamplingParams params = greedy();
  const std::vector<int32_t> given = {1};
  const SampleGroup choice{.rows = {{.params = &params}}};
  const SampleGroup beams{.rows = {{.params = &params}}, .num_candidates = 2};
  const SampleGroup prompt{.rows = {{.params = &params}}, .given = given};
  const TensorView view(bench.logits.data(), DType::fp32, {2, 3});
  for (const SampleGroup& other : {beams, prompt}) {
    std::fill_n(static_cast<float*>(bench.logits.data()), 6, 1.0f);
    const std::vector<SampleGroup> groups = {other, choice};
    bench.sampler.start(view, groups);
    EXPECT_FALSE(bench.sampler.tokens_on_device().has_value());
    EXPECT_EQ(bench.sampler.finish()[1].tokens[0].token, 0);
  }
}

TEST(Sampler, ANanSpoilsItsOwnGroupOnly) {
  Bench bench(3);
  const SamplingParams params = greedy();
  const SampleGroup one{.rows = {{.params = &params}}};
  const auto results = bench.sample({{0, 1, 2}, {0, kNan, 2}, {2, 1, 0}}, {one, one, one});
  EXPECT_FALSE(results[0].fault.has_value());
  EXPECT_TRUE(results[1].fault.has_value());
  EXPECT_EQ(results[2].tokens[0].token, 0);
}

// Three rows whose counted tokens exceed the lists together, though none does alone.
TEST(Sampler, EditsRowsInSlicesWhereTheirListsAreLong) {
  constexpr int64_t kVocab = 40000;
  Bench bench(limits_for(kVocab, kVocab));
  std::vector<int32_t> all(kVocab - 1);
  std::iota(all.begin(), all.end(), 1);  // each token but 0
  SamplingParams params = greedy();
  params.frequency_penalty = 2;
  const SampleRow row{.params = &params, .tokens = all};
  std::vector<float> logits(kVocab, 1.0f);
  logits[0] = 0;
  const auto results =
      bench.sample({logits, logits, logits}, {{.rows = {row, row}}, {.rows = {row}}});
  for (const GroupResult& result : results)
    for (const SampledToken& sampled : result.tokens) EXPECT_EQ(sampled.token, 0);
}

}  // namespace
}  // namespace veloz::runtime
