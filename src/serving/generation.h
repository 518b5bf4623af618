// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "runtime/sampler.h"
#include "serving/reply.h"
#include "serving/request.h"
#include "serving/scheduler.h"
#include "serving/sequence.h"

namespace veloz::serving {

/// What a request with these parameters will need.
Demand demand_of(const SamplingParams& params, int64_t num_prompt_tokens);

/// What a request is made into before its first step.
struct GenerationPlan {
  SamplingParams params;
  std::vector<int32_t> end_token_ids;  // sorted
  std::unique_ptr<TokenObserver> observer;
  std::vector<std::unique_ptr<TokenMask>> masks;  // none, or one per choice
  std::vector<std::vector<int32_t>> bad_words;
  uint64_t seed = 0;
  int64_t vocab_size = 0;  // of the logits

  bool is_beam_search() const { return params.num_beams > 1; }
  bool is_end(int32_t token) const;
  /// Ids that must not follow an output of `num_tokens` tokens: the ends, until min_tokens.
  std::span<const int32_t> banned_after(int64_t num_tokens) const;
};

/// Turns the logits of one request into its tokens: says how each of its rows is to be sampled, and
/// what the results mean for its sequences. Used on the engine thread, but for fill_masks.
class Generation {
 public:
  explicit Generation(GenerationPlan plan) : plan_(std::move(plan)) {}
  virtual ~Generation() = default;
  /// Rows of logits wanted at the end of the prompt.
  virtual int64_t prompt_rows() const = 0;
  virtual bool has_masks() const { return false; }
  /// Fills the masks for the next sample_group, which takes a while and throws what went wrong
  /// here. On any thread, while no other uses this object.
  virtual void fill_masks() noexcept {}
  /// How the rows of this step are to be sampled; spans point into the group and this object. Fills
  /// the masks where fill_masks was not called: best called while the step runs.
  virtual runtime::SampleGroup sample_group(const SequenceGroup& group) = 0;
  /// Takes the result of those rows and answers through `reply`; returns the sequences to go on
  /// with, none at the end. Throws Error where the request cannot go on.
  virtual std::vector<Child> take(runtime::GroupResult result, Reply& reply) = 0;

  /// How the rows of prompt tokens [first, first + count) are scored.
  runtime::SampleGroup prompt_group(const SequenceGroup& group, int64_t first, int64_t count) const;
  /// Takes the result of those rows, in order. Throws Error where the request cannot go on.
  void take_prompt(const runtime::GroupResult& result);
  /// Of PromptEvent, once all prompt tokens were taken.
  std::vector<std::vector<TokenLogprob>> take_prompt_logprobs() {
    return std::move(prompt_logprobs_);
  }

 protected:
  GenerationPlan plan_;

 private:
  std::vector<std::vector<TokenLogprob>> prompt_logprobs_;
};

std::unique_ptr<Generation> create_generation(GenerationPlan plan);

}  // namespace veloz::serving
