// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "kv/block_table.h"
#include "serving/request.h"

namespace veloz::serving {

/// One text in the making. Its state is three counts: tokens known, scheduled and computed
/// (computed <= scheduled <= known); prefill and decode are what they imply.
struct Sequence {
  std::vector<int32_t> tokens;  // known: the prompt, then the output
  int64_t num_scheduled = 0;    // of them, handed to a step
  int64_t num_computed = 0;     // of them, in the cache
  kv::BlockTable table;         // covers the scheduled ones

  int64_t num_known() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_pending() const { return num_known() - num_scheduled; }
  Sequence fork() const { return {tokens, num_scheduled, num_computed, table.fork()}; }
};

/// The sequences of one request, scheduled as one: the choices of `n`, or the beams. They begin as
/// one sequence that computes the prompt.
struct SequenceGroup {
  RequestId id{};
  int64_t num_prompt_tokens = 0;
  int64_t prompt_rows = 1;  // rows of logits wanted at the end of the prompt
  int64_t num_reserved_seqs = 1;
  int64_t num_reserved_blocks = 0;
  std::vector<Sequence> sequences;

  /// One token to compute per sequence: cheap, and goes first.
  bool is_decoding() const { return sequences.front().num_pending() == 1; }
  /// Something is left to schedule. Sequences of one group are always equally far.
  bool has_pending() const { return sequences.front().num_pending() > 0; }
};

}  // namespace veloz::serving
