// SPDX-License-Identifier: Apache-2.0
#include "runtime/decode_graphs.h"

#include <algorithm>
#include <bit>

#include "base/numeric.h"

namespace veloz::runtime {
namespace {

constexpr size_t kMaxEntries = 128;  // a graph of 80 layers takes about 10 MB
constexpr int64_t kLeastBlocks = 8;

}  // namespace

bool is_decode(const Batch& batch) {
  const auto num_seqs = batch.num_seqs();
  if (batch.num_tokens() != num_seqs || std::ssize(batch.logit_rows) != num_seqs) return false;
  for (int64_t s = 0; s < num_seqs; ++s) {
    const auto i = static_cast<size_t>(s);
    if (batch.q_starts[i] != s || batch.q_lens[i] != 1 || batch.logit_rows[i] != s) return false;
  }
  return true;
}

DecodeBucket choose_bucket(const Batch& batch, const engine::Limits& limits) {
  const int64_t n = batch.num_seqs();
  int64_t num_seqs = n;
  if (n <= 64)
    num_seqs = round_up(n, int64_t{8});
  else if (n <= 256)
    num_seqs = round_up(n, int64_t{16});
  else
    num_seqs = round_up(n, int64_t{64});
  const auto blocks =
      static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(batch.blocks_per_seq)));
  const int64_t most =
      std::min({limits.max_num_seqs, limits.max_num_batched_tokens, limits.max_logit_rows});
  return {std::min(num_seqs, most),
          std::min(std::max(blocks, kLeastBlocks), limits.max_blocks_per_seq())};
}

void pad_decode(const Batch& batch, const DecodeBucket& bucket, int64_t spare_block,
                int64_t block_size, Batch& padded) {
  const auto n = static_cast<size_t>(batch.num_seqs());
  const auto total = static_cast<size_t>(bucket.num_seqs);
  const auto columns = static_cast<size_t>(bucket.blocks_per_seq);
  const auto extend = [total](auto& to, const auto& from, auto fill) {
    to.assign(from.begin(), from.end());
    to.resize(total, fill);
  };
  extend(padded.tokens, batch.tokens, 0);
  extend(padded.positions, batch.positions, 0);
  extend(padded.slots, batch.slots, int64_t{0});
  extend(padded.q_starts, batch.q_starts, 0);
  extend(padded.q_lens, batch.q_lens, 1);
  extend(padded.kv_lens, batch.kv_lens, 1);
  extend(padded.logit_rows, batch.logit_rows, 0);
  padded.feeds = batch.feeds;
  padded.sampled = batch.sampled;
  padded.blocks_per_seq = bucket.blocks_per_seq;
  padded.block_tables.assign(total * columns, 0);
  const auto from_columns = static_cast<size_t>(batch.blocks_per_seq);
  for (size_t s = 0; s < n; ++s)
    std::copy_n(batch.block_tables.begin() + static_cast<std::ptrdiff_t>(s * from_columns),
                from_columns,
                padded.block_tables.begin() + static_cast<std::ptrdiff_t>(s * columns));
  for (size_t s = n; s < total; ++s) {
    padded.slots[s] = spare_block * block_size + static_cast<int64_t>(s) % block_size;
    padded.q_starts[s] = narrow<int32_t>(s);
    padded.logit_rows[s] = narrow<int32_t>(s);
    padded.block_tables[s * columns] = narrow<int32_t>(spare_block);
  }
}

DecodeGraphs::Entry* DecodeGraphs::find(const DecodeBucket& bucket) {
  const auto found = entries_.find(bucket);
  if (found != entries_.end()) return &found->second;
  if (entries_.size() >= kMaxEntries) return nullptr;
  return &entries_[bucket];
}

}  // namespace veloz::runtime
