// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "compress/machine.h"
#include "engine/engine.h"
#include "eval/eval_set.h"
#include "text/tokenizer.h"
#include "veloz/types.h"

namespace veloz::compress {

/// What a model wrote.
struct Answer {
  std::string text;         // without special tokens and white space around it
  int64_t num_tokens = 0;   // new ones, the end-of-sequence token included
  bool is_cut = false;      // ended by the limit on new tokens
  bool has_failed = false;  // NaN logits: no text
};

struct MeasureOptions {
  int64_t max_num_seqs = 16;  // answers generated at once; at most the engine's limit
  /// Of the KV cache; more where one full sequence of the engine's most beams needs it.
  size_t kv_cache_bytes = size_t{256} << 20;
};

/// An engine loaded to be measured, on a session of its own: texts go through it position by
/// position, and it answers prompts through the loop that serves. Used by one thread at a time.
class MeasuredModel {
 public:
  /// `engine` and `tokenizer` (of the engine) outlive it. Throws as runtime::Session.
  MeasuredModel(const engine::Engine& engine, const text::Tokenizer& tokenizer,
                const Machine& machine, const MeasureOptions& options = {});
  ~MeasuredModel();
  MeasuredModel(MeasuredModel&&) noexcept;
  MeasuredModel& operator=(MeasuredModel&&) noexcept;

  const engine::Engine& engine() const;
  const Machine& machine() const;

  /// How the author's generation_config.json has it, but greedy where that would sample: an
  /// evaluation must not depend on a seed.
  SamplingParams default_params() const;

  /// Logits of several positions: row i says how likely each token is to be token first + i.
  struct LogitRows {
    int64_t first = 0;
    int64_t count = 0;
    std::span<const float> logits{};  // [count, vocab_size], valid until the next call
  };
  /// Begins a text (2 to max_model_len tokens) whose tokens from `first` on, 1 or more, are wanted.
  void begin_text(std::span<const int32_t> tokens, int64_t first);
  /// The next `max_rows` rows, fewer at the end, none behind it.
  LogitRows next_rows(int64_t max_rows);
  /// Most rows of one call.
  int64_t max_rows() const;

  /// The answers, in order of the prompts. `params` without n, stop strings and bad words. Throws
  /// Error(invalid_input) where a prompt cannot fit or `params` cannot be, Error(cancelled) where
  /// `should_stop` said so.
  std::vector<Answer> answer(std::span<const eval::EvalItem> items, const SamplingParams& params,
                             const ProgressSink& on_progress = {},
                             const std::function<bool()>& should_stop = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::compress
