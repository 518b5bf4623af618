// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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
  uint64_t seed = 0;

  bool is_beam_search() const { return params.num_beams > 1; }
  bool is_end(int32_t token) const;
  /// Ids that must not follow an output of `num_tokens` tokens: the ends, until min_tokens.
  std::span<const int32_t> banned_after(int64_t num_tokens) const;
};

/// Turns the logits of one request into its tokens: says how each of its rows is to be sampled, and
/// what the results mean for its sequences. Used on the engine thread.
class Generation {
 public:
  virtual ~Generation() = default;
  /// Rows of logits wanted at the end of the prompt.
  virtual int64_t prompt_rows() const = 0;
  /// How the rows of this step are to be sampled; spans point into the group and this object.
  virtual runtime::SampleGroup sample_group(const SequenceGroup& group) const = 0;
  /// Takes the result of those rows and answers through `reply`; returns the sequences to go on
  /// with, none at the end. Throws Error where the request cannot go on.
  virtual std::vector<Child> take(runtime::GroupResult result, Reply& reply) = 0;
};

std::unique_ptr<Generation> create_generation(GenerationPlan plan);

}  // namespace veloz::serving
