// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/tensor_view.h"
#include "runtime/step_runner.h"
#include "veloz/types.h"

namespace veloz::runtime {

/// A token and the logarithm of its probability.
struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
  bool operator==(const TokenLogprob&) const = default;
};

/// How the token after one row of logits is to be chosen. What is pointed to outlives the call.
struct SampleRow {
  const SamplingParams* params = nullptr;
  uint64_t seed = 0;  // with choice and position the key of the row's random numbers
  int64_t choice = 0;
  int64_t position = 0;             // of the token to be chosen, in its output
  std::span<const int32_t> prompt;  // tokens so far
  std::span<const int32_t> output;
  std::span<const int32_t> banned;  // ids that must not be chosen
  int64_t num_candidates = 0;       // > 0: wanted are the best continuations of a beam, not a token
};

/// What a row gave.
struct RowResult {
  bool is_nan = false;  // a logit is NaN: nothing else is valid
  TokenLogprob chosen;  // logprob under softmax(logits), before penalties, masks, temperature
  std::vector<TokenLogprob> top;         // SamplingParams::logprobs of them, most likely first
  std::vector<TokenLogprob> candidates;  // num_candidates of log_softmax(logits) after bias,
                                         // penalties and bans, best first; bans leave fewer
};

/// What the sampler's buffers are made for.
struct SamplerLimits {
  int64_t max_rows = 0;
  int64_t vocab_size = 0;
  int64_t max_model_len = 0;  // tokens of one sequence
  int64_t max_logprobs = 0;
  int64_t max_candidates = 0;
  std::vector<int32_t> banned_token_ids;  // never chosen by any row
};

/// Turns rows of logits into tokens by running the sampling ops on the runner's device, with
/// operands in buffers allocated once. Used by one thread. A row's result depends on that row
/// alone.
class Sampler {
 public:
  /// `runner` outlives the sampler.
  Sampler(StepRunner& runner, const SamplerLimits& limits);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  /// logits [R, vocab_size] fp32 in device memory, overwritten; rows [R].
  std::vector<RowResult> sample(const TensorView& logits, std::span<const SampleRow> rows);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::runtime
