// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/tensor_view.h"

namespace veloz::runtime {

/// A token that the step before gives: what it sampled from its row of logits.
struct TokenFeed {
  int32_t token = 0;  // of this batch
  int32_t row = 0;    // of the batch before
};

/// One step's work: a ragged, unpadded list of token runs, one per sequence, prefill chunks and
/// decode tokens alike. Arrays are host memory; the session copies them to its device.
struct Batch {
  std::vector<int32_t> tokens;     // [T]
  std::vector<int32_t> positions;  // [T], place of each token in its sequence
  std::vector<int64_t>
      slots;  // [T], cache slot (block * block_size + offset) each token's k and v go to
  std::vector<int32_t> q_starts;      // [S], first token of each run
  std::vector<int32_t> q_lens;        // [S], tokens of each run, >= 1
  std::vector<int32_t> kv_lens;       // [S], positions in the cache after this step
  std::vector<int32_t> block_tables;  // [S, blocks_per_seq], padded with 0
  int64_t blocks_per_seq = 0;         // B, the longest table of this step
  std::vector<int32_t> logit_rows;    // [R], tokens whose logits are wanted
  std::vector<TokenFeed> feeds;       // tokens not known yet; 0 stands in their place
  // int32 [rows of the batch before], on the device: where feeds are read from by the device itself
  // (StepRunner::takes_device_tokens). No data: `tokens` are complete.
  TensorView sampled = {};

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_seqs() const { return static_cast<int64_t>(q_starts.size()); }
};

}  // namespace veloz::runtime
