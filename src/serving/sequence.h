// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/block_table.h"
#include "serving/request.h"

namespace veloz::serving {

using TimePoint = std::chrono::steady_clock::time_point;

/// One text in the making. Its state is three counts: tokens known, scheduled and computed
/// (computed <= scheduled); prefill, decode and resumed are what they imply. Running ahead,
/// scheduled may exceed known by the token that the step in flight is about to give.
struct Sequence {
  std::vector<int32_t> tokens;  // known: the prompt, then the output
  int64_t num_scheduled = 0;    // of them, handed to a step
  int64_t num_computed = 0;     // of them, in the cache
  kv::BlockTable table;         // covers the scheduled ones

  int64_t last_step = 0;             // number of the last step it took part in
  int64_t num_before_last_step = 0;  // tokens scheduled before that
  int32_t row = 0;                   // of that step's logits, the one that decides its next token
  int64_t num_entered = 0;           // blocks of the table in the prefix cache

  int64_t num_known() const { return static_cast<int64_t>(tokens.size()); }
  /// A copy. `memory` is for its tokens, of which it holds the first `num_same` already.
  Sequence fork(std::vector<int32_t> memory = {}, int64_t num_same = 0) const {
    memory.resize(static_cast<size_t>(num_same));
    memory.insert(memory.end(), tokens.begin() + num_same, tokens.end());
    return {std::move(memory), num_scheduled,        num_computed, table.fork(),
            last_step,         num_before_last_step, row,          num_entered};
  }
};

/// Who goes first: an earlier arrival, a level of priority being worth some seconds of it. As all
/// wait at the same pace the order of two never changes, and whoever waits long enough comes before
/// every newcomer.
struct Urgency {
  TimePoint virtual_arrival;
  uint64_t ticket = 0;  // in order of submission
  // clang-tidy 14 takes the 0 that this compares with for a pointer.
  auto operator<=>(const Urgency&) const = default;  // NOLINT(modernize-use-nullptr)
};

/// The sequences of one request, scheduled as one: the choices of `n`, or the beams. They begin as
/// one sequence that computes the prompt.
struct SequenceGroup {
  RequestId id{};
  int64_t num_prompt_tokens = 0;
  int64_t max_tokens = 1;
  int64_t width = 1;        // sequences it may grow to
  int64_t prompt_rows = 1;  // rows of logits wanted at the end of the prompt
  bool wants_prompt_logits = false;
  TimePoint arrival;
  Urgency urgency;
  std::optional<TimePoint> deadline;
  std::string cache_salt;
  int64_t num_reserved_blocks = 0;  // under guaranteed_no_evict
  std::vector<Sequence> sequences;

  int64_t num_undecided = 0;      // steps in flight that decide its next tokens
  int64_t num_shared_tokens = 0;  // of a resumed group: what all its sequences begin with
  int64_t num_prompt_rows = 0;    // prompt tokens whose logits were asked for
  int64_t num_cached_tokens = 0;  // of the prompt, found in the prefix cache at its start
  int64_t num_preemptions = 0;
  int64_t first_step = 0;  // number of the first step it took part in
  bool has_started = false;
  bool has_ended = false;  // the scheduler knows it no more; steps in flight may

  /// Tokens left to schedule, the one that a step in flight decides included. The last token of an
  /// output is never computed.
  int64_t num_pending(const Sequence& sequence) const;
  /// One token to compute per sequence.
  bool is_decoding() const;
  /// Rows of logits that decide what follows a sequence: at the prompt's end, of all to fork there.
  int64_t num_rows_to_decide() const;
  /// Of `count` tokens from `position` on, those of the prompt whose logits are still wanted.
  int64_t num_prompt_rows_of(int64_t position, int64_t count) const;
  /// Rows of logits of the next `count` tokens of a sequence. Several sequences decide together,
  /// when each has one token left.
  int64_t num_rows_of_chunk(const Sequence& sequence, int64_t count) const;
  /// Several sequences that were paused and still are to share the cache of what they begin with:
  /// the first one computes it for all.
  bool is_to_be_spread() const {
    return sequences.size() > 1 && sequences.back().num_scheduled == 0;
  }
};

}  // namespace veloz::serving
