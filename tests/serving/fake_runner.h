// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <limits>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "serving/hash_model.h"
#include "serving/scheduler.h"
#include "support/deferred_runner.h"

namespace veloz::serving {

/// Runs a HashModel over a paged cache of token ids: the logits of a row come from the tokens read
/// back through its sequence's block table. So every mistake in slots, tables, copies and positions
/// changes the output. Throws where a step breaks the limits or writes what another sequence reads.
class FakeRunner final : public test::DeferredRunner {
 public:
  /// With `takes_tokens` feeds are left to it, as to a device that works while the host goes on.
  FakeRunner(HashModel model, const SchedulerLimits& limits, bool takes_tokens = true)
      : model_(std::move(model)),
        takes_tokens_(takes_tokens),
        limits_(limits),
        cache_(static_cast<size_t>(limits.num_kv_blocks * limits.block_size), -1),
        logits_(static_cast<size_t>(limits.max_num_seqs * model_.vocab_size)) {}

  /// Called at the start of each step with its number, from 1: to throw in the middle of things.
  std::function<void(int64_t)> on_step;
  /// A sequence that holds this token has NaN logits.
  int32_t poison_token = -1;

  TensorView run(const runtime::Batch& batch) override {
    ++num_steps;
    if (on_step) on_step(num_steps);
    check(batch);
    num_fed_tokens += std::ssize(batch.feeds);
    if (batch.sampled.data != nullptr) num_taken_tokens += std::ssize(batch.feeds);
    stream_.enqueue([this, batch = runtime::Batch(batch)]() mutable {
      if (batch.sampled.data != nullptr) feed(batch);
      compute(batch);
    });
    return {logits_.data(),
            DType::fp32,
            {static_cast<int64_t>(batch.logit_rows.size()), int64_t{model_.vocab_size}}};
  }

  bool takes_device_tokens() const override { return takes_tokens_; }

  void copy_kv_blocks(std::span<const std::pair<int32_t, int32_t>> pairs) override {
    num_copies += std::ssize(pairs);
    std::set<int32_t> sources;
    for (const auto& [from, to] : pairs) sources.insert(from);
    for (const auto& [from, to] : pairs)
      VELOZ_CHECK(sources.count(to) == 0, "block {} is copied from and to", to);
    stream_.enqueue([this, copies = std::vector(pairs.begin(), pairs.end())] {
      for (const auto& [from, to] : copies)
        std::copy_n(cache_.begin() + from * limits_.block_size, limits_.block_size,
                    cache_.begin() + to * limits_.block_size);
    });
  }

  std::atomic<int64_t> num_steps = 0;
  std::atomic<int64_t> num_copies = 0;
  std::atomic<int64_t> num_fed_tokens = 0;
  std::atomic<int64_t> num_taken_tokens = 0;  // of them, by the runner itself
  std::atomic<int64_t> max_tokens_in_step = 0;

 private:
  void check(const runtime::Batch& batch) {
    max_tokens_in_step = std::max(max_tokens_in_step.load(), batch.num_tokens());
    VELOZ_CHECK(batch.num_tokens() <= limits_.max_num_batched_tokens, "{} tokens in a step",
                batch.num_tokens());
    VELOZ_CHECK(batch.num_seqs() <= limits_.max_num_seqs, "{} sequences", batch.num_seqs());
    VELOZ_CHECK(std::ssize(batch.logit_rows) <= limits_.max_num_seqs, "{} rows of logits",
                batch.logit_rows.size());
    const std::set<int64_t> slots(batch.slots.begin(), batch.slots.end());
    VELOZ_CHECK(slots.size() == batch.slots.size(), "a slot is written twice in a step");
    std::set<int64_t> written;
    for (const int64_t slot : batch.slots) written.insert(slot / limits_.block_size);
    std::set<int64_t> seen;
    for (int64_t s = 0; s < batch.num_seqs(); ++s)
      for (int64_t i = 0; i * limits_.block_size < batch.kv_lens[static_cast<size_t>(s)]; ++i) {
        const int64_t block = batch.block_tables[static_cast<size_t>(s * batch.blocks_per_seq + i)];
        VELOZ_CHECK(seen.insert(block).second || written.count(block) == 0,
                    "block {} is written while two sequences share it", block);
      }
  }

  static void feed(runtime::Batch& batch) {
    for (const runtime::TokenFeed& feed : batch.feeds) {
      VELOZ_CHECK(feed.row >= 0 && feed.row < batch.sampled.shape[0], "row {}", feed.row);
      batch.tokens.at(static_cast<size_t>(feed.token)) =
          batch.sampled.as<const int32_t>()[feed.row];
    }
  }

  void compute(const runtime::Batch& batch) {
    for (size_t t = 0; t < batch.tokens.size(); ++t)
      cache_[static_cast<size_t>(batch.slots[t])] = batch.tokens[t];
    for (size_t r = 0; r < batch.logit_rows.size(); ++r) {
      const std::vector<int32_t> tokens = read_back(batch, batch.logit_rows[r]);
      std::vector<float> row = model_.logits(tokens);
      if (std::count(tokens.begin(), tokens.end(), poison_token) > 0)
        row[row.size() / 2] = std::numeric_limits<float>::quiet_NaN();
      std::copy(row.begin(), row.end(), logits_.begin() + static_cast<int64_t>(r * row.size()));
    }
  }

  std::vector<int32_t> read_back(const runtime::Batch& batch, int32_t token) const {
    size_t s = 0;
    while (token >= batch.q_starts[s] + batch.q_lens[s]) ++s;
    std::vector<int32_t> tokens;
    for (int64_t position = 0; position <= batch.positions[static_cast<size_t>(token)];
         ++position) {
      const auto entry = static_cast<size_t>(static_cast<int64_t>(s) * batch.blocks_per_seq +
                                             position / limits_.block_size);
      tokens.push_back(cache_[static_cast<size_t>(batch.block_tables[entry] * limits_.block_size +
                                                  position % limits_.block_size)]);
    }
    return tokens;
  }

  const HashModel model_;
  const bool takes_tokens_;
  const SchedulerLimits limits_;
  std::vector<int32_t> cache_;  // [num_kv_blocks * block_size] token ids
  std::vector<float> logits_;
};

}  // namespace veloz::serving
