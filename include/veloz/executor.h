// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "veloz/llm.h"
#include "veloz/types.h"

namespace veloz {

/// A prompt to go on with.
struct ExecutorRequest {
  Prompt prompt;          // text, or 1 or more token ids
  SamplingParams params;  // prompt + max_tokens within max_model_len
  /// Lower runs first: a level is worth ten seconds of waiting, levels beyond -100 and 100 count as
  /// these. Who runs is not paused for an arrival, however urgent, only where blocks run out.
  int64_t priority = 0;
  std::optional<std::chrono::steady_clock::time_point> deadline{};  // then it fails, `cancelled`
  std::string cache_salt{};  // prompts share their cache within one salt only
};

/// The prompt has been read: once, before the first token.
struct PromptDone {
  int64_t num_cached_tokens = 0;  // of the prompt, that an earlier request had computed
  /// With SamplingParams::prompt_logprobs, [P - 1]: per prompt token from the second on that token
  /// first, then the likeliest ones in its place. Natural logarithms.
  std::vector<std::vector<TokenLogprob>> logprobs{};
};

/// What a completion has grown by since its last delta was read.
struct CompletionDelta {
  int64_t completion = 0;            // [0, n)
  std::vector<int32_t> token_ids{};  // the end-of-sequence token included where it was chosen
  /// Whole code points, never part of a stop string. May lag behind the tokens: it waits for
  /// characters to be complete and for stop strings to be excluded.
  std::string text{};
  /// With SamplingParams::logprobs, one per token: the chosen one first, then the best ones.
  std::vector<std::vector<TokenLogprob>> logprobs{};
};

/// A completion has ended; no delta of it follows.
struct CompletionEnd {
  int64_t completion = 0;
  FinishReason finish_reason = FinishReason::stop;
  std::string stop_reason{};               // the stop string that matched, or ""
  std::optional<int32_t> stop_token_id{};  // the end-of-sequence or stop id that ended it
  double score = 0;  // beam search: sum of log-probabilities / length^length_penalty
};

/// What a request used. Seconds on the monotonic clock.
struct RequestUsage {
  int64_t num_prompt_tokens = 0;
  int64_t num_output_tokens = 0;  // of all completions
  int64_t num_cached_tokens = 0;  // of the prompt, that an earlier request had computed
  int64_t num_preemptions = 0;    // times it was paused and computed again
  double queue_s = 0;             // from submission to its first step
  double prefill_s = 0;           // from there to its first token
  double decode_s = 0;            // from there to its end
};

/// The last event of every request.
struct RequestEnd {
  RequestUsage usage{};  // all 0 of a failed request
  uint64_t seed = 0;     // given, or drawn
  /// The request failed; completions still open have no end. Its kind is `cancelled` where the
  /// deadline passed, `invalid_input` where bans or a grammar left no token to choose, `internal`
  /// where logits were not numbers or a step broke. A request that was cancelled has none.
  std::optional<Error> error{};
};

using Event = std::variant<PromptDone, CompletionDelta, CompletionEnd, RequestEnd>;

/// What happens to one request, in order: PromptDone, then of each completion its deltas and its
/// end, then RequestEnd. Read by one thread at a time; `cancel` may come from any.
///
/// Generation never waits for the reader: tokens that come before the last delta of their
/// completion was read are joined to it. So a stream nobody reads holds no more than the request's
/// whole output (n x max_tokens ids, their text and log-probabilities), and 2 n + 2 events.
///
/// A stream keeps the model it came from alive. Destroying one that has not ended cancels its
/// request.
class EventStream {
 public:
  ~EventStream();
  EventStream(EventStream&&) noexcept;
  EventStream& operator=(EventStream&&) noexcept;

  /// Waits for the next event; nothing after RequestEnd.
  std::optional<Event> next();
  /// The next event if it is there already.
  std::optional<Event> try_next();
  /// Whether RequestEnd has been read.
  bool is_done() const;
  /// Ends the request within one step; its events still come, completions that were open end as
  /// `cancelled`.
  void cancel();

 private:
  friend class Executor;
  struct State;
  explicit EventStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The queue is full; nothing was kept of the request.
struct QueueFull {
  std::string reason;        // what is full, value and limit
  double retry_after_s = 1;  // predicted time until there is room
};

/// A model that takes requests one by one, from any thread, and runs them together. What
/// LLM::generate is for a list of prompts this is for a program that serves.
class Executor {
 public:
  /// Loads an engine directory. Throws as LLM::load.
  static Executor load(const std::filesystem::path& engine, const LLMOptions& options = {});
  /// Shares the model of `llm`, which may go first.
  explicit Executor(const LLM& llm);
  /// Requests whose streams are still held go on.
  ~Executor();
  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;

  /// From any thread; tokenises on the caller's. Throws Error(invalid_input) for parameters that
  /// cannot be or a prompt that cannot fit, Error(unsupported) for text or bad_words where the
  /// engine has no tokenizer; later failures are in RequestEnd. QueueFull only under
  /// LLMOptions::max_queued_*, which a model loaded by LLM has not.
  [[nodiscard]] std::variant<EventStream, QueueFull> submit(ExecutorRequest request);
  ExecutorStats stats() const;

 private:
  struct State;
  explicit Executor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace veloz
