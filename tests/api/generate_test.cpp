// SPDX-License-Identifier: Apache-2.0
// What the sampling parameters of LLM::generate do, told from the log-probabilities it reports:
// those are of the raw logits, so they say what would have been chosen without a parameter.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "support/golden_models.h"
#include "support/mixed_requests.h"
#include "support/temp_directory.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

using Tokens = std::vector<int32_t>;
using Logprobs = std::vector<TokenLogprob>;

constexpr int64_t kTop = 20;  // alternatives asked for

/// One engine for all tests of a suite.
class ModelSuite : public testing::Test {
 protected:
  static void load(const std::filesystem::path& model) {
    directory_ = std::make_unique<test::TempDirectory>();
    build(test::small_build(model, directory_->path() / "engine"));
    llm_ = std::make_unique<LLM>(LLM::load(directory_->path() / "engine", {.num_threads = 2}));
  }
  static void TearDownTestSuite() {
    llm_.reset();
    directory_.reset();
  }

  static inline std::unique_ptr<test::TempDirectory> directory_;
  static inline std::unique_ptr<LLM> llm_;
};

/// A tiny random model without a tokenizer.
class Sampling : public ModelSuite {
 protected:
  static void SetUpTestSuite() { load(test::golden_model("llama-mha")); }

  static SamplingParams params(int64_t max_tokens) {
    SamplingParams params;
    params.max_tokens = max_tokens;
    params.seed = 7;
    params.logprobs = kTop;
    return params;
  }
  static SamplingParams greedy(int64_t max_tokens) {
    SamplingParams greedy = params(max_tokens);
    greedy.temperature = 0;
    return greedy;
  }
  static RequestOutput run(const SamplingParams& params) {
    RequestOutput output = llm_->generate(kPrompt, params);
    EXPECT_FALSE(output.error.has_value()) << output.error->message();
    return output;
  }
  static Completion first(const SamplingParams& params) { return run(params).completions.at(0); }

  static inline const Tokens kPrompt = {17, 3, 99, 42, 5};
};

const TokenLogprob& chosen(const Logprobs& step) { return step.front(); }
std::span<const TokenLogprob> alternatives(const Logprobs& step) {
  return std::span(step).subspan(1);
}

TEST_F(Sampling, GreedyTakesTheLikeliestToken) {
  const Completion completion = first(greedy(30));
  ASSERT_EQ(completion.token_ids.size(), 30u);
  ASSERT_EQ(completion.logprobs.size(), 30u);
  for (size_t i = 0; i < 30; ++i) {
    const Logprobs& step = completion.logprobs[i];
    EXPECT_EQ(chosen(step).token_id, completion.token_ids[i]);
    EXPECT_EQ(chosen(step).token_id, alternatives(step)[0].token_id);
    EXPECT_EQ(chosen(step).logprob, alternatives(step)[0].logprob);
  }
  EXPECT_EQ(completion.finish_reason, FinishReason::length);
}

TEST_F(Sampling, AlternativesAreSortedAndProbabilitiesAreNoMoreThanOne) {
  for (const Logprobs& step : first(params(10)).logprobs) {
    ASSERT_EQ(alternatives(step).size(), static_cast<size_t>(kTop));
    double sum = 0;
    for (size_t i = 0; i < alternatives(step).size(); ++i) {
      if (i > 0) {
        EXPECT_GE(alternatives(step)[i - 1].logprob, alternatives(step)[i].logprob);
      }
      sum += std::exp(static_cast<double>(alternatives(step)[i].logprob));
    }
    EXPECT_LE(sum, 1 + 1e-5);
    EXPECT_GT(sum, 0.3);  // 20 of 131 tokens, the likeliest
  }
}

TEST_F(Sampling, AsManyAlternativesComeAsWereAskedFor) {
  SamplingParams none = params(4);
  none.logprobs.reset();
  EXPECT_TRUE(first(none).logprobs.empty());
  SamplingParams only_chosen = params(4);
  only_chosen.logprobs = 0;
  for (const Logprobs& step : first(only_chosen).logprobs) EXPECT_EQ(step.size(), 1u);
}

TEST_F(Sampling, FrequenciesFollowTheProbabilities) {
  constexpr int kDraws = 1024;
  std::map<int32_t, int> counts;
  Logprobs distribution;
  for (int i = 0; i < kDraws / 16; ++i) {
    SamplingParams many = params(1);
    many.seed = static_cast<uint64_t>(i);
    many.n = 16;
    for (const Completion& completion : run(many).completions) {
      ++counts[completion.token_ids.at(0)];
      distribution = completion.logprobs.at(0);
    }
  }
  for (const TokenLogprob& entry : alternatives(distribution)) {
    const double p = std::exp(static_cast<double>(entry.logprob));
    const double deviation = std::sqrt(kDraws * p * (1 - p));
    EXPECT_NEAR(counts[entry.token_id], kDraws * p, 4 * deviation + 1) << entry.token_id;
  }
}

TEST_F(Sampling, ALowTemperatureIsNearlyGreedyAndAHighOneIsNot) {
  SamplingParams cold = params(20);
  cold.temperature = 1e-4;
  EXPECT_EQ(first(cold).token_ids, first(greedy(20)).token_ids);
  SamplingParams hot = params(20);
  hot.temperature = 50;
  int num_unlikely = 0;
  for (const Logprobs& step : first(hot).logprobs)
    num_unlikely += chosen(step).logprob < alternatives(step).back().logprob;
  EXPECT_GT(num_unlikely, 10);  // all 131 tokens are about as likely
}

TEST_F(Sampling, TopKOfOneIsGreedyAtAnyTemperature) {
  SamplingParams narrow = params(20);
  narrow.temperature = 5;
  narrow.top_k = 1;
  EXPECT_EQ(first(narrow).token_ids, first(greedy(20)).token_ids);
}

TEST_F(Sampling, TopKKeepsToTheKLikeliest) {
  SamplingParams narrow = params(40);
  narrow.temperature = 20;
  narrow.top_k = 4;
  std::set<int64_t> ranks;
  for (const Logprobs& step : first(narrow).logprobs)
    ranks.insert(
        std::ranges::find(alternatives(step), chosen(step).token_id, &TokenLogprob::token_id) -
        alternatives(step).begin());
  EXPECT_EQ(ranks, (std::set<int64_t>{0, 1, 2, 3}));
}

TEST_F(Sampling, TopPKeepsToTheNucleus) {
  SamplingParams nucleus = params(60);
  nucleus.top_p = 0.6;
  int num_not_best = 0;
  for (const Logprobs& step : first(nucleus).logprobs) {
    double before = 0;  // probability of the tokens likelier than the chosen one
    for (const TokenLogprob& entry : alternatives(step)) {
      if (entry.token_id == chosen(step).token_id) break;
      before += std::exp(static_cast<double>(entry.logprob));
    }
    EXPECT_LT(before, 0.6);
    num_not_best += before > 0;
  }
  EXPECT_GT(num_not_best, 0);
  nucleus.top_p = 1e-9;
  EXPECT_EQ(first(nucleus).token_ids, first(greedy(60)).token_ids);
}

TEST_F(Sampling, MinPKeepsToAShareOfTheLikeliest) {
  SamplingParams limited = params(60);
  limited.min_p = 0.3;
  int num_not_best = 0;
  for (const Logprobs& step : first(limited).logprobs) {
    const float best = alternatives(step)[0].logprob;
    EXPECT_GE(chosen(step).logprob, best + std::log(0.3f) - 1e-5f);
    num_not_best += chosen(step).logprob < best;
  }
  EXPECT_GT(num_not_best, 0);
}

TEST_F(Sampling, PresenceAndFrequencyPenaltiesAreTakenFromOutputTokens) {
  SamplingParams penalised = greedy(60);
  penalised.presence_penalty = 1.5;
  penalised.frequency_penalty = 0.75;
  const Completion completion = first(penalised);
  std::map<int32_t, int> counts;
  for (const Logprobs& step : completion.logprobs) {
    const auto value = [&](const TokenLogprob& entry) {
      const auto seen = counts.find(entry.token_id);
      return seen == counts.end() ? entry.logprob
                                  : entry.logprob - 1.5f - 0.75f * static_cast<float>(seen->second);
    };
    for (const TokenLogprob& entry : alternatives(step))
      EXPECT_GE(value(chosen(step)), value(entry) - 1e-4f);
    ++counts[chosen(step).token_id];
  }
  EXPECT_NE(completion.token_ids, first(greedy(60)).token_ids);
}

TEST_F(Sampling, AGreatRepetitionPenaltyLeavesNoTokenOfPromptOrOutputTwice) {
  SamplingParams penalised = greedy(40);
  penalised.repetition_penalty = 1e6;
  const Tokens tokens = first(penalised).token_ids;
  std::set<int32_t> seen(kPrompt.begin(), kPrompt.end());
  for (const int32_t token : tokens) EXPECT_TRUE(seen.insert(token).second) << token;
}

TEST_F(Sampling, LogitBiasForcesAndForbids) {
  SamplingParams forced = params(10);
  forced.logit_bias = {{55, 100.0f}};
  EXPECT_EQ(first(forced).token_ids, Tokens(10, 55));
  const int32_t favourite = first(greedy(1)).token_ids.at(0);
  SamplingParams forbidden = greedy(1);
  forbidden.logit_bias = {{favourite, -100.0f}};
  const Completion completion = first(forbidden);
  EXPECT_EQ(completion.token_ids.at(0), alternatives(completion.logprobs.at(0))[1].token_id);
}

// The same rows of logits, computed for a prompt in chunks and one by one.
TEST_F(Sampling, PromptLogprobsAreThoseOfTheSameTokensGenerated) {
  SamplingParams generating = params(40);
  generating.logprobs = 3;
  const RequestOutput generated = run(generating);
  Tokens prompt = kPrompt;
  const Completion& completion = generated.completions.at(0);
  prompt.insert(prompt.end(), completion.token_ids.begin(), completion.token_ids.end());
  SamplingParams scoring = greedy(1);
  scoring.prompt_logprobs = 3;
  const RequestOutput scored = llm_->generate(prompt, scoring);
  ASSERT_EQ(scored.prompt_logprobs.size(), prompt.size() - 1);
  for (size_t i = 0; i < completion.logprobs.size(); ++i) {
    const Logprobs& got = scored.prompt_logprobs[kPrompt.size() - 1 + i];
    ASSERT_EQ(got.size(), 4u);
    for (size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(got[j].token_id, completion.logprobs[i][j].token_id);
      EXPECT_EQ(got[j].logprob, completion.logprobs[i][j].logprob);
    }
  }
  EXPECT_TRUE(generated.prompt_logprobs.empty());
}

TEST_F(Sampling, AStopIdEndsTheOutputAndIsPartOfIt) {
  const Tokens unstopped = first(greedy(20)).token_ids;
  SamplingParams stopped = greedy(20);
  stopped.stop_token_ids = {unstopped[6]};
  const Completion completion = first(stopped);
  const auto end = std::ranges::find(unstopped, unstopped[6]) + 1;
  EXPECT_EQ(completion.token_ids, Tokens(unstopped.begin(), end));
  EXPECT_EQ(completion.finish_reason, FinishReason::stop);
}

TEST_F(Sampling, AStopIdCannotComeBeforeMinTokens) {
  const int32_t favourite = first(greedy(1)).token_ids.at(0);
  SamplingParams late = greedy(30);
  late.stop_token_ids = {favourite};
  EXPECT_EQ(first(late).token_ids.size(), 1u);
  late.min_tokens = 5;
  const Tokens tokens = first(late).token_ids;
  EXPECT_GT(tokens.size(), 5u);
  EXPECT_EQ(std::count(tokens.begin(), tokens.begin() + 5, favourite), 0);
}

TEST_F(Sampling, NoNgramComesTwice) {
  SamplingParams params = greedy(60);
  params.logit_bias = {{1, 9.0f}, {2, 8.9f}, {3, 8.8f}};  // few tokens, many chances
  params.no_repeat_ngram_size = 2;
  Tokens tokens = kPrompt;
  const Tokens output = first(params).token_ids;
  tokens.insert(tokens.end(), output.begin(), output.end());
  std::set<std::pair<int32_t, int32_t>> pairs;
  for (size_t i = 1; i < tokens.size(); ++i)
    EXPECT_TRUE(pairs.insert({tokens[i - 1], tokens[i]}).second) << "at " << i;
}

TEST_F(Sampling, TheSameSeedGivesTheSameTokensAndAnotherOneOthers) {
  const Tokens tokens = first(params(20)).token_ids;
  EXPECT_EQ(first(params(20)).token_ids, tokens);
  SamplingParams other = params(20);
  other.seed = 8;
  EXPECT_NE(first(other).token_ids, tokens);
}

TEST_F(Sampling, ADrawnSeedIsReportedAndRepeatsTheOutput) {
  SamplingParams unseeded = params(20);
  unseeded.seed.reset();
  const RequestOutput output = run(unseeded);
  EXPECT_NE(run(unseeded).seed, output.seed);
  SamplingParams repeated = params(20);
  repeated.seed = output.seed;
  EXPECT_EQ(run(repeated).seed, output.seed);
  EXPECT_EQ(first(repeated).token_ids, output.completions.at(0).token_ids);
}

TEST_F(Sampling, ChoicesDifferAndDoNotDependOnHowManyThereAre) {
  SamplingParams many = params(12);
  many.n = 4;
  const RequestOutput output = run(many);
  ASSERT_EQ(output.completions.size(), 4u);
  std::set<Tokens> distinct;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(output.completions[i].index, static_cast<int64_t>(i));
    distinct.insert(output.completions[i].token_ids);
  }
  EXPECT_EQ(distinct.size(), 4u);
  EXPECT_EQ(output.completions[0].token_ids, first(params(12)).token_ids);
}

TEST_F(Sampling, OutputsComeInTheOrderOfThePrompts) {
  const std::vector<Prompt> prompts = {Tokens{1}, Tokens{2, 3}, Tokens{4, 5, 6}};
  const std::vector<SamplingParams> params = {greedy(9), greedy(1), greedy(5)};
  // The shortest ends first, unless another has ended before it was submitted: nine steps are few.
  const std::vector<size_t> shortest_first = {1, 2, 0};
  std::vector<size_t> ended;
  for (int run = 0; run < 100 && ended != shortest_first; ++run) {
    ended.clear();
    const std::vector<RequestOutput> outputs =
        llm_->generate(prompts, params, {}, [&](size_t request) { ended.push_back(request); });
    ASSERT_EQ(outputs.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(outputs[i].prompt_token_ids, std::get<Tokens>(prompts[i]));
      EXPECT_EQ(std::ssize(outputs[i].completions.at(0).token_ids), params[i].max_tokens);
    }
  }
  EXPECT_EQ(ended, shortest_first);
}

TEST_F(Sampling, NoPromptsGiveNoOutputs) {
  EXPECT_TRUE(llm_->generate(std::vector<Prompt>{}, std::vector<SamplingParams>{}).empty());
}

TEST_F(Sampling, BeamsComeBestFirst) {
  SamplingParams beams;
  beams.num_beams = 4;
  beams.n = 4;
  beams.max_tokens = 10;
  const RequestOutput output = run(beams);
  ASSERT_EQ(output.completions.size(), 4u);
  for (size_t i = 1; i < 4; ++i)
    EXPECT_GE(output.completions[i - 1].score, output.completions[i].score);
}

/// The bundled summariser: it has a tokenizer.
class Text : public ModelSuite {
 protected:
  static void SetUpTestSuite() { load(test::bundled_model("tiny-gptj")); }

  static SamplingParams greedy() {
    SamplingParams params;
    params.temperature = 0;
    params.max_tokens = 24;
    params.ignore_eos = true;
    return params;
  }
  /// A completion, and the pieces in which its text came.
  struct Streamed {
    Completion completion;
    std::vector<std::string> pieces;
    std::string joined() const {
      std::string text;
      for (const std::string& piece : pieces) text += piece;
      return text;
    }
  };
  static Streamed stream(const SamplingParams& params) {
    Streamed streamed;
    RequestOutput output = llm_->generate(kPrompt, params, [&](const TextDelta& delta) {
      streamed.pieces.emplace_back(delta.text);
      return true;
    });
    EXPECT_FALSE(output.error.has_value());
    streamed.completion = output.completions.at(0);
    return streamed;
  }

  static inline const std::string kPrompt =
      "The council of the town met on Monday to talk about the bridge.";
};

TEST_F(Text, PiecesAreTheText) {
  const Streamed streamed = stream(greedy());
  EXPECT_FALSE(streamed.completion.text.empty());
  EXPECT_EQ(streamed.joined(), streamed.completion.text);
  EXPECT_EQ(streamed.completion.text, llm_->decode(streamed.completion.token_ids));
  EXPECT_GT(streamed.pieces.size(), 3u);
}

TEST_F(Text, NoPartOfAStopStringIsEverSeen) {
  const std::string whole = stream(greedy()).completion.text;
  for (size_t length : {1u, 2u, 5u, 9u}) {
    for (size_t begin = 0; begin + length <= whole.size(); begin += 3) {
      SamplingParams params = greedy();
      params.stop = {"never there", whole.substr(begin, length)};
      const Streamed streamed = stream(params);
      EXPECT_EQ(streamed.completion.text, whole.substr(0, whole.find(params.stop[1])));
      EXPECT_EQ(streamed.joined(), streamed.completion.text);
      EXPECT_EQ(streamed.completion.stop_reason, params.stop[1]);
      EXPECT_EQ(streamed.completion.finish_reason, FinishReason::stop);
    }
  }
}

TEST_F(Text, AStopStringMayBeIncluded) {
  const std::string whole = stream(greedy()).completion.text;
  SamplingParams params = greedy();
  params.stop = {whole.substr(8, 4)};
  params.include_stop_str_in_output = true;
  const Streamed streamed = stream(params);
  EXPECT_EQ(streamed.completion.text, whole.substr(0, whole.find(params.stop[0]) + 4));
  EXPECT_EQ(streamed.joined(), streamed.completion.text);
}

TEST_F(Text, BadWordsDoNotComeInTheTextNorBehindASpace) {
  const std::string whole = stream(greedy()).completion.text;
  SamplingParams params = greedy();
  for (int round = 0; round < 3; ++round) {  // the next favourite word of what is left
    const std::string text = stream(params).completion.text;
    const size_t begin = text.find(' ', text.size() / 2) + 1;
    const std::string word = text.substr(begin, text.find(' ', begin) - begin);
    ASSERT_FALSE(word.empty());
    params.bad_words.push_back(word);
    const std::string without = " " + stream(params).completion.text + " ";
    for (const std::string& bad : params.bad_words)
      EXPECT_EQ(without.find(" " + bad + " "), std::string::npos) << bad << " in " << without;
  }
}

TEST_F(Text, AStopIdLeavesNoTextUnlessStopsAreIncluded) {
  const Tokens tokens = stream(greedy()).completion.token_ids;
  SamplingParams params = greedy();
  params.stop_token_ids = {tokens[6]};
  const auto end = std::ranges::find(tokens, tokens[6]);
  const Tokens before(tokens.begin(), end);
  for (const std::vector<std::string>& stop : {std::vector<std::string>{}, {"never there"}}) {
    params.stop = stop;
    params.include_stop_str_in_output = false;
    EXPECT_EQ(stream(params).completion.text, llm_->decode(before));
    params.include_stop_str_in_output = true;
    EXPECT_EQ(stream(params).completion.text, llm_->decode(Tokens(tokens.begin(), end + 1)));
  }
}

TEST_F(Text, StopStringsAreLookedForAfterMinTokens) {
  const Completion whole = stream(greedy()).completion;
  SamplingParams params = greedy();
  params.stop = {" "};
  params.min_tokens = 7;
  const Completion completion = stream(params).completion;
  EXPECT_GT(completion.token_ids.size(), 7u);
  EXPECT_LT(completion.token_ids.size(), whole.token_ids.size());
  const size_t first_seven = llm_->decode(std::span(completion.token_ids).first(7)).size();
  EXPECT_EQ(completion.text, whole.text.substr(0, whole.text.find(' ', first_seven)));
}

TEST_F(Text, TextHeldBackForAStopStringThatDoesNotComeIsGivenAtTheEnd) {
  const std::string whole = stream(greedy()).completion.text;
  SamplingParams params = greedy();
  params.stop = {whole.substr(whole.size() - 4) + "and more"};
  EXPECT_EQ(stream(params).joined(), whole);
}

TEST_F(Text, AFalseSinkCancelsItsRequestAlone) {
  const std::vector<Prompt> prompts = {kPrompt, kPrompt};
  SamplingParams params = greedy();
  params.max_tokens = 400;
  const std::vector<SamplingParams> both = {params, params};
  Completion cancelled;
  Completion other;
  // It may end before the cancel is heard of; not so often.
  for (int i = 0; i < 20 && cancelled.finish_reason != FinishReason::cancelled; ++i) {
    const std::vector<RequestOutput> outputs =
        llm_->generate(prompts, both, [](const TextDelta& delta) { return delta.request == 1; });
    cancelled = outputs[0].completions.at(0);
    other = outputs[1].completions.at(0);
  }
  EXPECT_EQ(cancelled.finish_reason, FinishReason::cancelled);
  EXPECT_LT(cancelled.token_ids.size(), 400u);
  EXPECT_EQ(other.finish_reason, FinishReason::length);
  EXPECT_EQ(other.token_ids.size(), 400u);
}

TEST_F(Text, ACancelledRequestGivesItsMemoryBack) {
  // Two sequences of full length do not fit: what is not given back is missed at once.
  const std::filesystem::path engine = directory_->path() / "engine";
  LLM llm = LLM::load(engine, {.num_threads = 2,
                               .kv_cache_memory_bytes = test::bytes_of_a_small_cache(engine),
                               .max_num_seqs = 4});
  SamplingParams params = greedy();
  params.max_tokens = 400;
  int num_cancelled = 0;
  for (int round = 0; round < 40 && num_cancelled < 12; ++round) {
    int num_pieces = 0;
    const RequestOutput output = llm.generate(
        kPrompt, params, [&](const TextDelta&) { return ++num_pieces <= num_cancelled; });
    num_cancelled += output.completions.at(0).finish_reason == FinishReason::cancelled ? 1 : 0;
  }
  EXPECT_EQ(num_cancelled, 12) << "too many had ended before the cancel was heard of";
  const RequestOutput output = llm.generate(kPrompt, params);
  EXPECT_EQ(output.completions.at(0).token_ids.size(), 400u);
}

TEST_F(Text, EndOfSequenceEndsTheOutputUnlessIgnored) {
  SamplingParams params = greedy();
  params.ignore_eos = false;
  params.logit_bias = {{1023, 100.0f}};
  const Completion completion = stream(params).completion;
  EXPECT_EQ(completion.token_ids, Tokens{1023});
  EXPECT_EQ(completion.finish_reason, FinishReason::stop);
  EXPECT_EQ(completion.text, "");
  params.ignore_eos = true;
  EXPECT_EQ(stream(params).completion.token_ids.size(), 24u);
}

TEST_F(Text, DefaultsAreThoseOfTheCheckpoint) {
  const SamplingParams defaults = llm_->default_params();
  EXPECT_EQ(defaults.num_beams, 4);
  EXPECT_EQ(defaults.early_stopping, EarlyStopping::yes);
}

}  // namespace
}  // namespace veloz
