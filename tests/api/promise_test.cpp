// SPDX-License-Identifier: Apache-2.0
// The default promise: a request's tokens, log-probabilities and scores have the same bits alone
// and among up to 63 others, under either policy, with any chunk size, after it was paused, with or
// without a step ahead, and with or without a prefix hit. Each of four models has 64 random
// requests and 26 random settings of its own; under each setting some of the requests run together
// and are compared with themselves alone: 1,000 such runs and more, over the 104 settings.
#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <memory>
#include <numeric>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "api/loaded_model.h"
#include "engine/engine.h"
#include "runtime/session.h"
#include "serving/collector.h"
#include "serving/hash_model.h"
#include "serving/random.h"
#include "support/golden_models.h"
#include "support/mixed_requests.h"
#include "support/sanitized.h"
#include "support/temp_directory.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

using serving::HashModel;
using serving::Outcome;
using serving::Random;

constexpr int64_t kMaxNumSeqs = 64;
constexpr int64_t kNumBlocksOfOne = 16;  // of a sequence of full length
constexpr uint32_t kSeedsOfAModel = 1000;

struct Promised {
  const char* name;
  uint32_t seed;  // requests and settings differ with it
  const char* checkpoint;
  const char* dtype;
  const char* quant = "none";
  const char* kv_cache_dtype = "auto";
};
void PrintTo(const Promised& model, std::ostream* out) { *out << model.name; }

struct Spec {
  std::vector<int32_t> prompt;
  SamplingParams params;
  std::vector<std::vector<int32_t>> bad_words{};
  bool has_masks = false;
};

/// Stands in for the layer that knows text: what a token says is its number.
class NumberStops final : public serving::TokenObserver {
 public:
  explicit NumberStops(const SamplingParams& params)
      : stops_(params.stop), texts_(static_cast<size_t>(params.n)) {}
  std::optional<FinishReason> on_token(int64_t choice, int32_t token) override {
    std::string& text = texts_[static_cast<size_t>(choice)];
    text += std::to_string(token) + " ";
    for (const std::string& stop : stops_)
      if (text.find(stop) != std::string::npos) return FinishReason::stop;
    return std::nullopt;
  }

 private:
  std::vector<std::string> stops_;
  std::vector<std::string> texts_;  // of each choice
};

/// A grammar of which one token wrong or missing changes all that follows: about half of the tokens
/// may come next, which ones depends on all before.
class HashMask final : public serving::TokenMask {
 public:
  void fill(std::span<uint32_t> allowed) override {
    for (size_t i = 0; i < allowed.size(); ++i)
      allowed[i] = HashModel::mix(state_ + static_cast<uint32_t>(i));
  }
  void accept(int32_t token) override {
    state_ = HashModel::mix(state_ * 31 + static_cast<uint32_t>(token) + 1);
  }
  void rollback(int64_t) override {}

 private:
  uint32_t state_ = 1;
};

void make_beams(SamplingParams& params, Random& random) {
  params.num_beams = random.in(2, 4);
  params.n = random.in(1, params.num_beams);
  params.length_penalty = random.one_of({1.0, 0.6});
  params.early_stopping =
      random.one_of({EarlyStopping::no, EarlyStopping::yes, EarlyStopping::never});
}

void make_sampled(Spec& spec, Random& random) {
  SamplingParams& params = spec.params;
  params.n = random.one_of<int64_t>({1, 1, 1, 3});
  params.temperature = random.one_of({0.0, 0.8, 1.3});
  params.top_p = random.one_of({1.0, 0.9});
  params.top_k = random.one_of<int64_t>({0, 30});
  params.frequency_penalty = random.one_of({0.0, 0.0, 0.4});
  params.min_p = random.one_of({0.0, 0.0, 0.02});
  params.logprobs = random.one_of<int64_t>({0, 2});
  // Of two tokens, one behind the other.
  if (random.one_in(4)) params.stop = {"7 1", "3 2"};
  spec.has_masks = random.one_in(3);
}

void make_bans(Spec& spec, Random& random, int64_t vocab_size) {
  const auto random_id = [&] { return static_cast<int32_t>(random.in(0, vocab_size / 2 - 1)); };
  const auto other_half = static_cast<int32_t>(vocab_size / 2);
  if (random.one_in(3))
    spec.params.logit_bias = {{random_id(), 2.0f}, {random_id() + other_half, -100.0f}};
  if (random.one_in(3)) spec.bad_words = {{random_id()}, {random_id(), random_id() + other_half}};
}

/// Prompts that share beginnings, of less than a block to several, and every way of choosing.
Spec random_spec(Random& random, int64_t vocab_size) {
  Spec spec;
  const int64_t beginning = random.in(0, 3);
  const int64_t num_shared = random.one_of<int64_t>({0, 15, 16, 33, 70});
  for (int64_t i = 0; i < num_shared; ++i)
    spec.prompt.push_back(static_cast<int32_t>((i * i * 31 + beginning * 7919) % vocab_size));
  for (int64_t i = random.in(1, 24); i > 0; --i)
    spec.prompt.push_back(static_cast<int32_t>(random.in(0, vocab_size - 1)));
  SamplingParams& params = spec.params;
  params.max_tokens = random.one_in(3) ? random.in(30, 80) : random.in(1, 10);
  params.seed = static_cast<uint64_t>(random.in(0, 1'000'000));
  params.repetition_penalty = random.one_of({1.0, 1.0, 1.2});
  params.no_repeat_ngram_size = random.one_of<int64_t>({0, 0, 3});
  for (int i = 0; i < 6; ++i)
    params.stop_token_ids.push_back(static_cast<int32_t>(random.in(0, vocab_size - 1)));
  params.min_tokens = random.in(0, std::min<int64_t>(4, params.max_tokens));
  if (random.one_in(6)) params.prompt_logprobs = random.in(0, 2);
  make_bans(spec, random, vocab_size);
  if (random.one_in(4))
    make_beams(params, random);
  else
    make_sampled(spec, random);
  return spec;
}

/// One sequence each, chosen in every way: prompts of 1 to 64 tokens, outputs of 40 and more.
std::vector<Spec> specs_of_one_sequence(int64_t vocab_size) {
  std::vector<Spec> specs;
  for (int64_t i = 0; i < kMaxNumSeqs; ++i) {
    Spec& spec = specs.emplace_back();
    spec.prompt = test::scattered_ids(1 + i * 7 % 64, i, vocab_size);
    SamplingParams& params = spec.params;
    params.max_tokens = 40 + i % 24;
    params.ignore_eos = true;
    params.seed = static_cast<uint64_t>(i);
    params.logprobs = i % 3;
    if (i % 4 == 0) params.temperature = 0;
    if (i % 4 == 1) params.top_p = 0.9;
    if (i % 4 == 2) params.repetition_penalty = 1.2;
    if (i % 4 == 2) params.presence_penalty = params.frequency_penalty = 0.4;
    if (i % 4 == 3) params.top_k = 30;
    if (i % 4 == 3) params.no_repeat_ngram_size = 2;
  }
  return specs;
}

class Promise : public testing::TestWithParam<Promised> {
 protected:
  static constexpr size_t kNumSpecs = 64;
  static constexpr uint32_t kNumSettings = test::kSanitized ? 5 : 26;

  void SetUp() override {
    BuildOptions build_options =
        test::small_build(test::golden_model(GetParam().checkpoint), engine(), GetParam().dtype);
    build_options.quant = build_options.quant_lm_head = GetParam().quant;
    build_options.kv_cache_dtype = GetParam().kv_cache_dtype;
    build_options.max_num_seqs = kMaxNumSeqs;
    build_options.block_size = 16;
    build_options.max_model_len = kNumBlocksOfOne * 16;
    build(build_options);
    const engine::Engine built = engine::Engine::open(engine());
    block_bytes_ = runtime::kv_block_bytes(built.plan());
    vocab_size_ = built.manifest().model.vocab_size;
  }

  void run_alone(std::vector<Spec> specs) {
    specs_ = std::move(specs);
    api::LoadedModel model(engine(), plain());
    for (size_t i = 0; i < specs_.size(); ++i) {
      alone_.push_back(submit(model, i)->wait());
      ASSERT_FALSE(alone_.back().error.has_value()) << alone_.back().error->message();
    }
  }
  void run_random_specs_alone() {
    Random random(GetParam().seed);
    std::vector<Spec> specs;
    for (size_t i = 0; i < kNumSpecs; ++i) specs.push_back(random_spec(random, vocab_size_));
    run_alone(std::move(specs));
  }

  std::filesystem::path engine() const { return directory_.path() / "engine"; }
  static LLMOptions plain() {
    LLMOptions options;
    options.num_threads = 1;
    options.kv_cache_memory_bytes = size_t{16} << 20;
    options.enable_prefix_caching = false;
    options.run_ahead = false;
    return options;
  }
  LLMOptions random_options(Random& random) const {
    LLMOptions options;
    options.num_threads = static_cast<int>(random.in(1, 3));
    options.max_num_seqs = random.one_of<int64_t>({4, 16, 16, kMaxNumSeqs});
    options.max_num_batched_tokens = options.max_num_seqs + random.one_of<int64_t>({0, 7, 60, 400});
    options.max_prefill_chunk = random.in(1, options.max_num_batched_tokens);
    options.scheduling_policy =
        random.one_of({SchedulingPolicy::guaranteed_no_evict, SchedulingPolicy::max_utilization});
    options.enable_prefix_caching = !random.one_in(3);
    options.run_ahead = !random.one_in(3);
    const int64_t num_blocks = random.one_of<int64_t>({29, 29, 34, 500});
    options.kv_cache_memory_bytes = static_cast<size_t>(num_blocks) * block_bytes_;
    options.target_step_ms = random.one_of({0.0, 0.0, 250.0, 0.5, 0.001});
    return options;
  }

  std::shared_ptr<serving::Inbox> submit(api::LoadedModel& model, size_t i) const {
    auto inbox = std::make_shared<serving::Inbox>();
    serving::Request request;
    request.prompt_tokens = specs_[i].prompt;
    request.params = specs_[i].params;
    request.bad_words = specs_[i].bad_words;
    if (!request.params.stop.empty())
      request.observer = std::make_unique<NumberStops>(request.params);
    for (int64_t n = specs_[i].has_masks ? request.params.n : 0; n > 0; --n)
      request.masks.push_back(std::make_unique<HashMask>());
    const auto answer =
        model.executor().submit(std::move(request), std::make_unique<serving::Collector>(inbox));
    EXPECT_TRUE(std::holds_alternative<serving::RequestId>(answer));
    return inbox;
  }

  static bool runs_all(uint32_t setting) { return setting % 12 == 0; }
  /// Some, or each of them at once.
  static std::vector<size_t> choose(Random& random, uint32_t setting) {
    std::vector<size_t> chosen;
    for (size_t i = 0; i < kNumSpecs && runs_all(setting); ++i) chosen.push_back(i);
    for (int64_t n = random.one_of<int64_t>({1, 3, 5, 9}); n > 0; --n)
      chosen.push_back(static_cast<size_t>(random.in(0, kNumSpecs - 1)));
    return chosen;
  }
  /// Those that grow long, and so run out of blocks together.
  std::vector<size_t> choose_long(Random& random, size_t count) const {
    std::vector<size_t> chosen;
    while (chosen.size() < count) {
      const auto i = static_cast<size_t>(random.in(0, kNumSpecs - 1));
      if (specs_[i].params.max_tokens >= 30) chosen.push_back(i);
    }
    return chosen;
  }

  void expect_as_alone(const std::vector<std::shared_ptr<serving::Inbox>>& inboxes,
                       const std::vector<size_t>& chosen) {
    for (size_t k = 0; k < chosen.size(); ++k) {
      const Outcome outcome = inboxes[k]->wait();
      ASSERT_FALSE(outcome.error.has_value()) << outcome.error->message();
      const Outcome& alone = alone_[chosen[k]];
      ASSERT_TRUE(outcome.choices == alone.choices) << "request " << chosen[k];
      ASSERT_TRUE(outcome.prompt->logprobs == alone.prompt->logprobs) << "request " << chosen[k];
      if (specs_[chosen[k]].has_masks && outcome.usage->num_preemptions > 0) ++num_masked_paused_;
    }
  }
  void expect_as_alone(const LLMOptions& options, const std::vector<size_t>& chosen) {
    api::LoadedModel model(engine(), options);
    std::vector<std::shared_ptr<serving::Inbox>> inboxes;
    for (const size_t i : chosen) inboxes.push_back(submit(model, i));
    expect_as_alone(inboxes, chosen);
    const serving::ExecutorStats stats = model.executor().stats();
    num_runs_ += std::ssize(chosen);
    num_preemptions_ += stats.num_preemptions;
    num_prefix_hits_ += stats.num_prefix_hits;
  }

  test::TempDirectory directory_;
  size_t block_bytes_ = 0;
  int64_t vocab_size_ = 0;
  std::vector<Spec> specs_;
  std::vector<Outcome> alone_;
  int64_t num_runs_ = 0;
  int64_t num_preemptions_ = 0;
  int64_t num_prefix_hits_ = 0;
  int64_t num_masked_paused_ = 0;  // requests with masks that were paused
};

TEST_P(Promise, NothingAroundARequestChangesItsBits) {
  run_random_specs_alone();
  for (uint32_t i = 0; i < kNumSettings; ++i) {
    SCOPED_TRACE(testing::Message() << "setting " << i);
    Random random(GetParam().seed * kSeedsOfAModel + i);
    LLMOptions options = random_options(random);
    if (i < kNumSettings / 2 && runs_all(i)) {  // those that wait find the prefixes of the first
      options.max_num_seqs = 4;
      options.enable_prefix_caching = true;
    }
    expect_as_alone(options, choose(random, i));
  }
  EXPECT_GT(num_runs_, test::kSanitized ? 62 : 250);  // with each of the four models
  EXPECT_GT(num_prefix_hits_, test::kSanitized ? 250 : 1000);
}

TEST_P(Promise, PausesChangeNoBits) {
  run_random_specs_alone();
  for (uint32_t i = 0; i < 6; ++i) {
    SCOPED_TRACE(testing::Message() << "setting " << i);
    Random random(GetParam().seed * kSeedsOfAModel + i);
    LLMOptions options = random_options(random);
    options.scheduling_policy = SchedulingPolicy::max_utilization;
    options.max_num_seqs = options.max_num_batched_tokens = kMaxNumSeqs;
    options.kv_cache_memory_bytes = 29 * block_bytes_;
    expect_as_alone(options, choose_long(random, 20));
  }
  EXPECT_GT(num_preemptions_, 5);
  EXPECT_GT(num_masked_paused_, 0);
}

TEST_P(Promise, SixtyFourThatDecodeTogetherKeepTheirBits) {
  run_alone(specs_of_one_sequence(vocab_size_));
  std::vector<size_t> all(specs_.size());
  std::iota(all.begin(), all.end(), size_t{0});
  struct Way {
    SchedulingPolicy policy;
    bool run_ahead;
  };
  for (const auto& [policy, run_ahead] : {Way{SchedulingPolicy::guaranteed_no_evict, true},
                                          {SchedulingPolicy::max_utilization, true},
                                          {SchedulingPolicy::max_utilization, false}}) {
    SCOPED_TRACE(testing::Message() << static_cast<int>(policy) << run_ahead);
    LLMOptions options;
    options.num_threads = 2;
    options.max_num_seqs = kMaxNumSeqs;
    options.max_num_batched_tokens = 256;
    options.scheduling_policy = policy;
    options.run_ahead = run_ahead;
    options.kv_cache_memory_bytes = kMaxNumSeqs * kNumBlocksOfOne * block_bytes_;
    std::latch are_submitted{1};
    int64_t most_decoding = 0;  // the engine thread's until the model is gone
    {
      api::LoadedModel model(engine(), options, [&](serving::ExecutorOptions& executor_options) {
        executor_options.on_step = [&](const serving::StepRecord& step) {
          are_submitted.wait();  // the first step holds who has come by then, the third everybody
          most_decoding = std::max(most_decoding, step.num_decode_tokens);
        };
      });
      std::vector<std::shared_ptr<serving::Inbox>> inboxes;
      for (const size_t i : all) inboxes.push_back(submit(model, i));
      are_submitted.count_down();
      expect_as_alone(inboxes, all);
      // The shortest output has 40 tokens, each but the first of which takes a step behind another.
      const int64_t num_steps_ahead = model.stats().num_steps_ahead;
      if (run_ahead)
        EXPECT_GE(num_steps_ahead, 39);
      else
        EXPECT_EQ(num_steps_ahead, 0);
    }
    EXPECT_EQ(most_decoding, kMaxNumSeqs);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Promise,
    testing::Values(Promised{"llama_bf16", 1, "llama-gqa-bf16", "bf16"},
                    Promised{"gptj_fp32", 2, "gptj", "fp32"},
                    Promised{"llama_int8_kv_int8", 3, "llama-gqa-bf16", "bf16", "int8", "int8"},
                    Promised{"llama_bf16_kv_fp8", 4, "llama-gqa-bf16", "bf16", "none", "fp8"}),
    [](const auto& model) { return model.param.name; });

}  // namespace
}  // namespace veloz
