// SPDX-License-Identifier: Apache-2.0
// A Llama of 1.1 billion random weights: its build stays within its memory, it loads, and eight
// mixed requests keep their bits alone, together, in chunks and on any number of threads.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "api/loaded_model.h"
#include "serving/collector.h"
#include "support/mixed_requests.h"
#include "support/temp_directory.h"
#include "veloz/build.h"
#include "veloz/llm.h"

namespace veloz {
namespace {

constexpr const char* kConfig = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
  "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
  "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000,
  "max_position_embeddings": 2048, "rms_norm_eps": 1e-05, "hidden_act": "silu",
  "tie_word_embeddings": false
})";

/// Memory of this process that no file backs.
uint64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    uint64_t kib = 0;
    if (key == "RssAnon:" && status >> kib) return kib * 1024;
  }
  return 0;
}

class OneBillion : public testing::Test {
 protected:
  static constexpr int kBuildThreads = 2;
  static constexpr int64_t kMaxModelLen = 512;
  static constexpr int64_t kMaxTokens = 6;
  /// Cache of one sequence of full length: 22 layers of keys and values, 4 heads of 64 in bf16.
  static constexpr size_t kSequenceBytes = size_t{22} * 2 * 4 * 64 * 2 * kMaxModelLen;

  static void SetUpTestSuite() {
    directory_ = std::make_unique<test::TempDirectory>();
    std::ofstream(directory_->path() / "config.json") << kConfig;
    BuildOptions options;
    options.model = directory_->path();
    options.output = engine();
    options.load_format = "dummy";
    options.max_model_len = kMaxModelLen;
    options.max_num_seqs = 16;
    options.num_threads = kBuildThreads;
    options.on_progress = [](const Progress&) {
      most_anonymous_bytes_ = std::max(most_anonymous_bytes_, anonymous_bytes());
    };
    report_ = build(options);
    LLM llm = load({.num_threads = 2});
    requests_ = test::mixed_requests(llm.vocab_size(), kMaxTokens);
    alone_ = test::run_alone(llm, requests_);
  }
  static void TearDownTestSuite() { directory_.reset(); }

  static std::filesystem::path engine() { return directory_->path() / "engine"; }
  static LLM load(const LLMOptions& options) { return LLM::load(engine(), options); }
  static void expect_as_alone(const LLMOptions& options) {
    LLM llm = load(options);
    EXPECT_EQ(test::run_together(llm, requests_, test::as_listed(requests_)), alone_);
  }

  static inline std::unique_ptr<test::TempDirectory> directory_;
  static inline BuildReport report_;
  static inline uint64_t most_anonymous_bytes_ = 0;
  static inline std::vector<test::MixedRequest> requests_;
  static inline std::vector<std::string> alone_;
};

TEST_F(OneBillion, IsBuiltInPieces) {
  constexpr uint64_t kLargestTensor = uint64_t{32000} * 2048 * 2;
  constexpr uint64_t kBound = kLargestTensor * 3 / 2 * kBuildThreads + (uint64_t{300} << 20);
  static_assert(kBound < uint64_t{1} << 30);
  EXPECT_GT(report_.weight_bytes, uint64_t{2} << 30);
  EXPECT_GT(most_anonymous_bytes_, 0u);
  EXPECT_LT(most_anonymous_bytes_, kBound);
}

TEST_F(OneBillion, RequestsSucceedAndDiffer) {
  for (const std::string& fingerprint : alone_) EXPECT_NE(fingerprint.substr(0, 5), "error");
  EXPECT_EQ(std::set<std::string>(alone_.begin(), alone_.end()).size(), alone_.size());
}

TEST_F(OneBillion, NeighboursAndThreadsChangeNothing) {
  for (const int num_threads : {1, 2, 3, 7}) {
    SCOPED_TRACE(num_threads);
    expect_as_alone({.num_threads = num_threads});
  }
}

TEST_F(OneBillion, ChunksChangeNothing) {
  for (const int64_t num_tokens : {16, 17, 31, 64, 129, 257, 512}) {
    SCOPED_TRACE(num_tokens);
    expect_as_alone({.num_threads = 2, .max_num_batched_tokens = num_tokens});
  }
}

TEST_F(OneBillion, TheOrderOfSubmissionChangesNothing) {
  LLM llm = load({.num_threads = 2});
  std::vector<size_t> order = test::as_listed(requests_);
  std::ranges::reverse(order);
  EXPECT_EQ(test::run_together(llm, requests_, order), alone_);
}

TEST_F(OneBillion, PoliciesPausesPrefixesAndStepsAheadChangeNothing) {
  for (const SchedulingPolicy policy :
       {SchedulingPolicy::guaranteed_no_evict, SchedulingPolicy::max_utilization})
    for (const bool is_on : {false, true}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(policy) << is_on);
      LLMOptions options;
      options.num_threads = 2;
      options.kv_cache_memory_bytes = 2 * kSequenceBytes;  // not all fit at once
      options.scheduling_policy = policy;
      options.enable_prefix_caching = is_on;
      options.run_ahead = is_on;
      LLM llm = load(options);
      for (int repeat = 0; repeat < 2; ++repeat)  // the second finds the prefixes of the first
        EXPECT_EQ(test::run_together(llm, requests_, test::as_listed(requests_)), alone_);
      const ExecutorStats stats = llm.stats();
      EXPECT_EQ(stats.num_preemptions > 0, policy == SchedulingPolicy::max_utilization);
      EXPECT_EQ(stats.num_prefix_hits > 0, is_on);
    }
}

TEST_F(OneBillion, StepsAheadOfOneSequenceEachChangeNothing) {
  constexpr size_t kLongPrompt = 100;  // takes long, and decodes as the others do
  std::vector<test::MixedRequest> narrow;
  std::vector<std::string> expected;
  for (size_t i = 0; i < requests_.size(); ++i) {
    const auto& prompt = std::get<std::vector<int32_t>>(requests_[i].prompt);
    if (requests_[i].width() > 1 || prompt.size() > kLongPrompt) continue;
    narrow.push_back(requests_[i]);
    expected.push_back(alone_[i]);
  }
  for (const bool run_ahead : {false, true}) {
    SCOPED_TRACE(run_ahead);
    LLM llm = load({.num_threads = 2, .run_ahead = run_ahead});
    EXPECT_EQ(test::run_together(llm, narrow, test::as_listed(narrow)), expected);
    const int64_t num_steps_ahead = llm.stats().num_steps_ahead;
    if (run_ahead)
      EXPECT_GE(num_steps_ahead, kMaxTokens - 1) << "each token of the longest but the first";
    else
      EXPECT_EQ(num_steps_ahead, 0);
  }
}

TEST_F(OneBillion, ATargetOfAStepsTimeChangesNothing) {
  LLMOptions options;
  options.num_threads = 2;
  options.target_step_ms = 250;
  expect_as_alone(options);
}

/// What was predicted of each step and what it took is printed: times are not asserted.
TEST_F(OneBillion, StepsThatCutAPromptArePredictedWithinTheirTarget) {
  constexpr int64_t kSmallestChunk = 16;  // goes on whatever it takes
  constexpr double kTarget_s = 0.25;
  constexpr double kTolerance_s = 1e-9;
  LLMOptions options;
  options.num_threads = 2;
  options.target_step_ms = 1000 * kTarget_s;
  std::vector<serving::StepRecord> steps;  // the engine thread's until the model is gone
  {
    api::LoadedModel model(engine(), options, [&](serving::ExecutorOptions& executor_options) {
      executor_options.on_step = [&](const serving::StepRecord& step) { steps.push_back(step); };
    });
    const auto inbox = std::make_shared<serving::Inbox>();
    serving::Request request;
    request.prompt_tokens =
        test::scattered_ids(/*num_tokens=*/120, /*salt=*/0, /*vocab_size=*/32000);
    request.params.max_tokens = 2;
    ASSERT_TRUE(std::holds_alternative<serving::RequestId>(
        model.executor().submit(std::move(request), std::make_unique<serving::Collector>(inbox))));
    ASSERT_FALSE(inbox->wait().error.has_value());
  }
  ASSERT_FALSE(steps.empty());
  for (const serving::StepRecord& step : steps) {
    fmt::print("step {}: {} prompt tokens, {} decoded, predicted {:.3f} s, took {:.3f} s\n",
               step.number, step.num_prefill_tokens, step.num_decode_tokens, step.predicted_s,
               step.duration_s);
    if (step.num_prefill_tokens > kSmallestChunk)
      EXPECT_LE(step.predicted_s, kTarget_s + kTolerance_s) << "step " << step.number;
  }
}

}  // namespace
}  // namespace veloz
