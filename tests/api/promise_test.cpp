// SPDX-License-Identifier: Apache-2.0
// The default promise: a request's tokens, log-probabilities and scores have the same bits alone
// and among up to 63 others, under either policy, with any chunk size, after it was paused, with or
// without a step ahead, and with or without a prefix hit. A thousand requests and more, each run in
// random company under a random setting.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "api/loaded_model.h"
#include "runtime/session.h"
#include "serving/collector.h"
#include "serving/random.h"
#include "support/golden_models.h"
#include "support/temp_directory.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

using serving::Outcome;
using serving::Random;

constexpr int64_t kMaxNumSeqs = 64;
constexpr int64_t kNumBlocksOfOne = 16;  // of a sequence of full length

struct Model {
  const char* checkpoint;
  const char* dtype;
};
void PrintTo(const Model& model, std::ostream* out) { *out << model.checkpoint; }

struct Spec {
  std::vector<int32_t> prompt;
  SamplingParams params;
};

void make_beams(SamplingParams& params, Random& random) {
  params.num_beams = random.in(2, 4);
  params.n = random.in(1, params.num_beams);
  params.length_penalty = random.one_of({1.0, 0.6});
  params.early_stopping =
      random.one_of({EarlyStopping::no, EarlyStopping::yes, EarlyStopping::never});
}

void make_sampled(SamplingParams& params, Random& random) {
  params.n = random.one_of<int64_t>({1, 1, 1, 3});
  params.temperature = random.one_of({0.0, 0.8, 1.3});
  params.top_p = random.one_of({1.0, 0.9});
  params.top_k = random.one_of<int64_t>({0, 30});
  params.frequency_penalty = random.one_of({0.0, 0.0, 0.4});
  params.logprobs = random.one_of<int64_t>({0, 2});
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
  if (random.one_in(4))
    make_beams(params, random);
  else
    make_sampled(params, random);
  return spec;
}

class Promise : public testing::TestWithParam<Model> {
 protected:
  static constexpr size_t kNumSpecs = 64;

  void SetUp() override {
    BuildOptions build_options =
        test::small_build(test::golden_model(GetParam().checkpoint), engine(), GetParam().dtype);
    build_options.max_num_seqs = kMaxNumSeqs;
    build_options.block_size = 16;
    build_options.max_model_len = kNumBlocksOfOne * 16;
    build(build_options);
    api::LoadedModel model(engine(), plain());
    block_bytes_ = runtime::kv_block_bytes(model.engine().plan());
    Random random(1);
    for (size_t i = 0; i < kNumSpecs; ++i) {
      specs_.push_back(random_spec(random, model.engine().manifest().model.vocab_size));
      alone_.push_back(submit(model, i)->wait());
      ASSERT_FALSE(alone_.back().error.has_value()) << alone_.back().error->message();
    }
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
    return options;
  }

  std::shared_ptr<serving::Inbox> submit(api::LoadedModel& model, size_t i) const {
    auto inbox = std::make_shared<serving::Inbox>();
    serving::Request request;
    request.prompt_tokens = specs_[i].prompt;
    request.params = specs_[i].params;
    const auto answer =
        model.executor().submit(std::move(request), std::make_unique<serving::Collector>(inbox));
    EXPECT_TRUE(std::holds_alternative<serving::RequestId>(answer));
    return inbox;
  }

  /// Some, or each of them at once.
  static std::vector<size_t> choose(Random& random, uint32_t seed) {
    std::vector<size_t> chosen;
    for (size_t i = 0; i < kNumSpecs && seed % 19 == 0; ++i) chosen.push_back(i);
    for (int64_t n = random.one_of<int64_t>({1, 4, 10, 24}); n > 0; --n)
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

  void expect_as_alone(const LLMOptions& options, const std::vector<size_t>& chosen) {
    api::LoadedModel model(engine(), options);
    std::vector<std::shared_ptr<serving::Inbox>> inboxes;
    for (const size_t i : chosen) inboxes.push_back(submit(model, i));
    for (size_t k = 0; k < chosen.size(); ++k) {
      const Outcome outcome = inboxes[k]->wait();
      ASSERT_FALSE(outcome.error.has_value()) << outcome.error->message();
      ASSERT_TRUE(outcome.choices == alone_[chosen[k]].choices) << "request " << chosen[k];
    }
    const serving::ExecutorStats stats = model.executor().stats();
    num_runs_ += std::ssize(chosen);
    num_preemptions_ += stats.num_preemptions;
    num_prefix_hits_ += stats.num_prefix_hits;
  }

  test::TempDirectory directory_;
  size_t block_bytes_ = 0;
  std::vector<Spec> specs_;
  std::vector<Outcome> alone_;
  int64_t num_runs_ = 0;
  int64_t num_preemptions_ = 0;
  int64_t num_prefix_hits_ = 0;
};

TEST_P(Promise, NothingAroundARequestChangesItsBits) {
  for (uint32_t seed = 0; seed < 44; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const LLMOptions options = random_options(random);
    expect_as_alone(options, choose(random, seed));
  }
  EXPECT_GT(num_runs_, 500);  // with each of the two models
  EXPECT_GT(num_prefix_hits_, 1000);
}

TEST_P(Promise, PausesChangeNoBits) {
  for (uint32_t seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    LLMOptions options = random_options(random);
    options.scheduling_policy = SchedulingPolicy::max_utilization;
    options.max_num_seqs = options.max_num_batched_tokens = kMaxNumSeqs;
    options.kv_cache_memory_bytes = 29 * block_bytes_;
    expect_as_alone(options, choose_long(random, 20));
  }
  EXPECT_GT(num_preemptions_, 10);
}

INSTANTIATE_TEST_SUITE_P(Models, Promise,
                         testing::Values(Model{"llama-gqa-bf16", "bf16"}, Model{"gptj", "fp32"}),
                         [](const auto& model) {
                           return std::string(model.param.dtype) == "bf16" ? "llama_bf16"
                                                                           : "gptj_fp32";
                         });

}  // namespace
}  // namespace veloz
