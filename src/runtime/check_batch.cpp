// SPDX-License-Identifier: Apache-2.0
#include "runtime/check_batch.h"

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::runtime {
namespace {

/// The run of one sequence: rows of the batch, and the blocks that hold its positions.
void check_sequence(const Batch& batch, int64_t seq, const engine::Limits& limits,
                    const BatchBounds& bounds) {
  const auto s = static_cast<size_t>(seq);
  const int64_t start = batch.q_starts[s];
  const int64_t length = batch.q_lens[s];
  const int64_t kv_len = batch.kv_lens[s];
  VELOZ_CHECK(start >= 0 && length >= 1 && start + length <= batch.num_tokens(),
              "sequence {} runs from token {} to {} of {}", seq, start, start + length,
              batch.num_tokens());
  VELOZ_CHECK(kv_len >= length && kv_len <= limits.max_model_len &&
                  kv_len <= batch.blocks_per_seq * limits.block_size,
              "sequence {} has {} positions, {} tokens of this step and {} blocks of {}", seq,
              kv_len, length, batch.blocks_per_seq, limits.block_size);
  const int64_t num_blocks = ceil_div(kv_len, limits.block_size);
  for (int64_t i = 0; i < batch.blocks_per_seq; ++i) {
    const int64_t block = batch.block_tables[static_cast<size_t>(seq * batch.blocks_per_seq + i)];
    VELOZ_CHECK(block >= 0 && (i >= num_blocks || block < bounds.num_kv_blocks),
                "block {} of sequence {} is {}, the cache has {}", i, seq, block,
                bounds.num_kv_blocks);
  }
}

void check_token(const Batch& batch, int64_t token, const engine::Limits& limits,
                 const BatchBounds& bounds) {
  const auto t = static_cast<size_t>(token);
  VELOZ_CHECK(batch.tokens[t] >= 0 && batch.tokens[t] < bounds.vocab_rows,
              "token {} has id {}, the embedding {} rows", token, batch.tokens[t],
              bounds.vocab_rows);
  VELOZ_CHECK(batch.positions[t] >= 0 && batch.positions[t] < limits.max_model_len,
              "token {} sits at position {}, max_model_len is {}", token, batch.positions[t],
              limits.max_model_len);
  VELOZ_CHECK(batch.slots[t] >= 0 && batch.slots[t] < bounds.num_kv_blocks * limits.block_size,
              "token {} goes to slot {} of a cache of {}", token, batch.slots[t],
              bounds.num_kv_blocks * limits.block_size);
}

}  // namespace

void check_batch(const Batch& batch, const engine::Limits& limits, const BatchBounds& bounds) {
  const int64_t num_tokens = batch.num_tokens();
  const int64_t num_seqs = batch.num_seqs();
  const auto num_rows = static_cast<int64_t>(batch.logit_rows.size());
  VELOZ_CHECK(num_tokens >= 1 && num_tokens <= limits.max_num_batched_tokens,
              "a step of {} tokens, max_num_batched_tokens is {}", num_tokens,
              limits.max_num_batched_tokens);
  VELOZ_CHECK(num_seqs >= 1 && num_seqs <= limits.max_num_seqs,
              "a step of {} sequences, max_num_seqs is {}", num_seqs, limits.max_num_seqs);
  VELOZ_CHECK(num_rows <= limits.max_logit_rows, "a step with {} logit rows, max_logit_rows is {}",
              num_rows, limits.max_logit_rows);
  VELOZ_CHECK(batch.blocks_per_seq >= 1 && batch.blocks_per_seq <= limits.max_blocks_per_seq(),
              "block tables of {} entries, max_model_len needs {}", batch.blocks_per_seq,
              limits.max_blocks_per_seq());
  const auto tokens = static_cast<size_t>(num_tokens);
  const auto seqs = static_cast<size_t>(num_seqs);
  VELOZ_CHECK(batch.positions.size() == tokens && batch.slots.size() == tokens,
              "{} tokens with {} positions and {} slots", tokens, batch.positions.size(),
              batch.slots.size());
  VELOZ_CHECK(batch.q_lens.size() == seqs && batch.kv_lens.size() == seqs &&
                  batch.block_tables.size() == seqs * static_cast<size_t>(batch.blocks_per_seq),
              "{} sequences with {} q_lens, {} kv_lens and {} block table entries", seqs,
              batch.q_lens.size(), batch.kv_lens.size(), batch.block_tables.size());
  for (int64_t seq = 0; seq < num_seqs; ++seq) check_sequence(batch, seq, limits, bounds);
  for (int64_t token = 0; token < num_tokens; ++token) check_token(batch, token, limits, bounds);
  for (const int32_t row : batch.logit_rows)
    VELOZ_CHECK(row >= 0 && row < num_tokens, "logits of token {} of {}", row, num_tokens);
  if (batch.sampled.data == nullptr) return;
  for (const TokenFeed& feed : batch.feeds)
    VELOZ_CHECK(feed.token >= 0 && feed.token < num_tokens && feed.row >= 0 &&
                    feed.row < batch.sampled.shape[0],
                "token {} of {} is fed row {} of {}", feed.token, num_tokens, feed.row,
                batch.sampled.shape[0]);
}

}  // namespace veloz::runtime
