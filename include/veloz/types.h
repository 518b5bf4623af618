// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace veloz {

/// What kind of failure an Error reports; one table maps kinds to exit codes and HTTP statuses.
enum class ErrorKind {
  invalid_input,
  not_found,
  unsupported,
  out_of_memory,
  corrupt_data,
  io,
  cancelled,
  internal,
};

std::string_view to_string(ErrorKind kind);

/// The one exception type of the library. `message` says what was wrong with value and limit,
/// `hint` (may be empty) what to do about it.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, std::string hint = {})
      : kind_(kind), message_(std::move(message)), hint_(std::move(hint)) {}

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& hint() const noexcept { return hint_; }
  const char* what() const noexcept override { return message_.c_str(); }

  /// Puts what a calling layer knows in front: "reading model.safetensors: ...".
  void add_context(std::string_view context) {
    message_.insert(0, ": ");
    message_.insert(0, context);
  }

 private:
  ErrorKind kind_;
  std::string message_;
  std::string hint_;
};

/// Why a sequence ended.
enum class FinishReason { stop, length, cancelled, error };

std::string_view to_string(FinishReason reason);

/// When a request may begin. Its tokens do not depend on it.
enum class SchedulingPolicy {
  guaranteed_no_evict,  // when all blocks it may ever need are reserved: what runs is never paused
  max_utilization,  // when the blocks it needs now are free: more run at once, and where blocks run
                    // out the least urgent is paused and computed again later
};

/// `early_stopping` of beam search, as Hugging Face defines it.
enum class EarlyStopping { no, yes, never };

/// How tokens are chosen. Names, defaults and order of operations are those of Hugging Face
/// `generate` and vLLM where the two agree; validated by `serving` (SamplingParams with impossible
/// values are ErrorKind::invalid_input). Numbers are finite.
struct SamplingParams {
  int64_t max_tokens = 128;         // new tokens, >= 1; with the prompt within max_model_len
  int64_t min_tokens = 0;           // [0, max_tokens]; end-of-sequence and stop ids cannot be
                                    // chosen before
  double temperature = 1.0;         // >= 0; 0 is greedy
  int64_t top_k = 0;                // >= 0; 0: off
  double top_p = 1.0;               // (0, 1]
  double min_p = 0.0;               // [0, 1)
  double repetition_penalty = 1.0;  // > 0; prompt and output tokens
  double presence_penalty = 0.0;    // [-2, 2]; output tokens only
  double frequency_penalty = 0.0;   // [-2, 2]; output tokens only
  // Token ids, each once, with what is added to their logits, [-100, 100]; at most 1,024.
  std::vector<std::pair<int32_t, float>> logit_bias{};
  std::vector<std::string> stop{};  // strings, none empty, at most 64; the output ends before the
                                    // match
  std::vector<int32_t> stop_token_ids{};  // at most 64; the output ends with the id
  bool include_stop_str_in_output = false;
  std::vector<std::string> bad_words{};  // texts whose tokens the output must not hold in a row;
                                         // none empty, at most 256
  bool ignore_eos = false;
  std::optional<uint64_t> seed{};  // absent: drawn from the operating system and reported
  int64_t n = 1;                   // independent samples of one prompt, 1 to max_num_seqs
  // Alternatives per output token, [0, 20] and at most vocab_size; 0 gives the chosen one only.
  std::optional<int64_t> logprobs{};
  std::optional<int64_t> prompt_logprobs{};  // likewise per prompt token, from the second on

  // > 1: beam search, with at most as many beams as the engine was built for and as run at once,
  // and n <= num_beams. temperature is then 0 or 1, top_k, top_p, min_p, presence_penalty and
  // frequency_penalty are neutral, and there are no stop strings and no logprobs.
  int64_t num_beams = 1;
  double length_penalty = 1.0;  // [-100, 100]; beam search
  EarlyStopping early_stopping = EarlyStopping::no;
  int64_t no_repeat_ngram_size = 0;  // >= 0; 0: off; beam search and sampling
};

/// A moment's numbers. Requests that share a model are counted together.
struct ExecutorStats {
  int64_t num_running = 0;  // requests
  int64_t num_waiting = 0;
  int64_t num_queued_tokens = 0;   // of the prompts of waiting ones
  int64_t num_kv_blocks = 0;       // of BuildOptions::block_size positions each, 64 by default
  int64_t num_free_kv_blocks = 0;  // those of cached prefixes that nobody uses included
  int64_t num_steps = 0;           // since the model was loaded, as all that follows
  int64_t num_steps_ahead = 0;     // of them, begun on tokens that the step before was yet to give
  int64_t num_batched_tokens = 0;  // computed in them
  int64_t num_sampled_rows = 0;  // of logits: the tokens of all outputs, beams and prompt_logprobs
                                 // counted each
  int64_t num_preemptions = 0;
  int64_t num_prefix_queries = 0;  // prompt tokens looked up in the prefix cache
  int64_t num_prefix_hits = 0;     // of them, found
};

}  // namespace veloz
