// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/tensor_view.h"
#include "runtime/step_runner.h"
#include "veloz/types.h"

namespace veloz::runtime {

/// How the token after one row of logits is to be chosen. What is pointed to outlives the choice.
struct SampleRow {
  const SamplingParams* params = nullptr;
  uint64_t seed = 0;  // with the choice and the output's length the key of the row's random numbers
  int64_t choice = 0;
  std::span<const int32_t> tokens = {};  // of the sequence so far, prompt first
  int64_t num_prompt_tokens = 0;
  std::span<const int32_t> banned = {};                  // ids that must not be chosen
  std::span<const std::vector<int32_t>> bad_words = {};  // none of these may stand in the output
  // Bit t % 32 of word t / 32: whether token t may be chosen. Empty: every one may.
  std::span<const uint32_t> allowed = {};
  float beam_score = 0;  // of a beam: sum of its tokens' scores
};

/// Rows of logits that belong together, one after the other: the choices of a request, its beams,
/// or some of its prompt's tokens.
struct SampleGroup {
  std::vector<SampleRow> rows = {};
  int64_t num_candidates = 0;  // > 0: beams, whose best continuations are wanted, not tokens
  // Not empty: prompt tokens. What follows each is given here; its log-probability is wanted, and
  // those of the SamplingParams::prompt_logprobs likeliest.
  std::span<const int32_t> given = {};
};

/// A token and the logarithm of its probability.
struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
  int32_t rank = 0;  // 1 for the likeliest
  bool operator==(const TokenLogprob&) const = default;
};

/// The token of one row, chosen or given.
struct SampledToken {
  int32_t token = 0;
  // With SamplingParams::logprobs, and of given ones, under softmax(logits): before bias,
  // penalties, bans, temperature.
  std::optional<float> logprob;
  int32_t rank = 0;  // with logprob: how many are as likely or likelier, itself included
  std::vector<TokenLogprob> top;  // the likeliest, best first
};

/// A continuation of one of a group's beams.
struct BeamCandidate {
  int64_t beam = 0;  // row within the group
  int32_t token = 0;
  float score = 0;  // beam_score + its log-probability after bias, penalties and bans
};

/// Why no token could be chosen.
enum class SampleFault { nan_logits, infinite_logits, all_tokens_banned };

std::string_view to_string(SampleFault fault);

struct GroupResult {
  std::optional<SampleFault> fault;       // where set, of any row, the rest means nothing
  std::vector<SampledToken> tokens;       // one per row, but not of beams
  std::vector<BeamCandidate> candidates;  // of beams: num_candidates, best first; bans leave fewer
};

/// What the sampler's buffers are made for.
struct SamplerLimits {
  int64_t max_rows = 0;
  int64_t vocab_size = 0;
  int64_t max_model_len = 0;      // tokens of one sequence
  int64_t max_edits_per_row = 0;  // biases and bans other than those of n-grams
  int64_t max_logprobs = 0;
  int64_t max_candidates = 0;             // of one group
  std::vector<int32_t> banned_token_ids;  // never chosen by any row
};

/// Turns rows of logits into tokens by running the sampling ops on the runner's device, with
/// operands in buffers allocated once. Used by one thread. A group's result depends on its own rows
/// alone. Order of operations, Hugging Face's and vLLM's where the two agree: (of beams:
/// log_softmax,) bias and bans, penalties, temperature, min_p, top_k, top_p.
class Sampler {
 public:
  /// `runner` outlives the sampler.
  Sampler(StepRunner& runner, const SamplerLimits& limits);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // In two halves, between which the stream may be given further work.

  /// logits [R, vocab_size] fp32 in device memory, overwritten; the groups' rows in order are its
  /// R. What `groups` views and points to must live until `finish`.
  void start(const TensorView& logits, std::span<const SampleGroup> groups);
  /// After `start`: int32 [R] on the device, once the stream is there the token of each row (0
  /// where none could be chosen). Valid until the next start. Nothing where rows are more than
  /// choices: their tokens are known after `finish` alone.
  std::optional<TensorView> tokens_on_device() const;
  /// Waits for what `start` enqueued.
  std::vector<GroupResult> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::runtime
