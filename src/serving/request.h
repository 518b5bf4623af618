// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/sampler.h"
#include "veloz/types.h"

namespace veloz::serving {

enum class RequestId : uint64_t {};

using runtime::TokenLogprob;

/// The prompt is in the cache.
struct PromptEvent {
  int64_t num_cached_tokens = 0;  // of the prompt, found in the prefix cache
  // With SamplingParams::prompt_logprobs, per prompt token from the second on: that token first,
  // then that many of the likeliest, best first.
  std::vector<std::vector<TokenLogprob>> logprobs = {};
};

/// One token of one choice, in order. With beam search all tokens come at the end, best choice
/// first, and carry no logprobs.
struct TokenEvent {
  int64_t choice = 0;  // [0, n)
  int32_t token = 0;   // end-of-sequence and stop ids are events too
  // With SamplingParams::logprobs: of this token, and that many of the likeliest, best first.
  std::optional<float> logprob = std::nullopt;
  std::vector<TokenLogprob> top = {};
  bool is_end = false;  // an end-of-sequence or stop id: it ends the choice
};

/// The end of one choice.
struct ChoiceEnd {
  int64_t choice = 0;
  FinishReason reason = FinishReason::length;
  std::optional<int32_t> stop_token = std::nullopt;  // the end-of-sequence or stop id that ended it
  std::optional<float> beam_score = std::nullopt;    // sum of logprobs / length ^ length_penalty
};

/// What a finished request used.
struct RequestUsage {
  int64_t num_prompt_tokens = 0;
  int64_t num_output_tokens = 0;  // of all choices
  uint64_t seed = 0;              // given, or drawn from the operating system
  int64_t num_cached_tokens = 0;  // of the prompt, found in the prefix cache
  int64_t num_preemptions = 0;
  double queue_s = 0;    // from submission to its first step
  double prefill_s = 0;  // from its first step to its first token
  double decode_s = 0;   // from its first token to its end
};

/// Receives what happens to one request. Called on the engine thread, one call at a time: an
/// implementation hands over and returns, and does not throw. Exactly one of `finished` and
/// `failed` is called, as the last call; then the executor destroys the sink.
class EventSink {
 public:
  virtual ~EventSink() = default;
  /// Once, before the first token.
  virtual void on_prompt(const PromptEvent&) {}
  virtual void on_token(const TokenEvent& event) = 0;
  /// Once per choice, before `finished`; a cancelled request ends its open choices so.
  virtual void on_choice_end(const ChoiceEnd& end) = 0;
  virtual void on_finished(const RequestUsage& usage) = 0;
  virtual void on_failed(const Error& error) = 0;
};

/// Sees each token of a request on the engine thread, right after its event (ids that end the
/// choice anyway excepted), and may end the choice: stop strings, which need text, are written so
/// by the layer that owns text. It sees no min_tokens for it: to heed that is its own business.
class TokenObserver {
 public:
  virtual ~TokenObserver() = default;
  /// The reason to end this choice here, or nothing to go on. The token is still an event.
  virtual std::optional<FinishReason> on_token(int64_t choice, int32_t token) = 0;
};

/// Limits which tokens may come next: grammars. One per choice.
class TokenMask {
 public:
  virtual ~TokenMask() = default;
  /// Sets bit t of `allowed` (32 ids a word) for each id t that may come next.
  virtual void fill(std::span<uint32_t> allowed) = 0;
  virtual void accept(int32_t token) = 0;
  /// Forgets the last `count` accepted tokens.
  virtual void rollback(int64_t count) = 0;
};

/// A prompt to go on with.
struct Request {
  std::vector<int32_t> prompt_tokens;                  // [P], P >= 1
  SamplingParams params;                               // `stop` is the observer's business
  std::unique_ptr<TokenObserver> observer = nullptr;   // may be null
  std::vector<std::unique_ptr<TokenMask>> masks = {};  // none, or one per choice; not with beams
  std::vector<std::vector<int32_t>> bad_words = {};    // token sequences the output must not hold
  int64_t priority = 0;                                // lower runs first, as vLLM has it
  std::optional<std::chrono::steady_clock::time_point> deadline = {};  // then it fails, `cancelled`
  std::string cache_salt = {};  // prefixes are shared within one salt only
  std::string label = {};       // what whoever asked calls it, for a watchdog's dump
};

}  // namespace veloz::serving
