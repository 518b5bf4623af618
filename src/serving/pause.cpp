// SPDX-License-Identifier: Apache-2.0
#include "serving/pause.h"

#include <algorithm>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::serving {
namespace {

/// Tokens that all sequences begin with, the last of each left out: it is computed by each for its
/// logits.
int64_t count_shared_tokens(const SequenceGroup& group) {
  const std::span<const int32_t> first(group.sequences.front().tokens);
  int64_t shared = std::ssize(first) - 1;
  for (const Sequence& sequence : group.sequences) {
    const auto length = static_cast<size_t>(std::min(shared, sequence.num_known() - 1));
    const auto [end, _] = std::mismatch(first.begin(), first.begin() + static_cast<int64_t>(length),
                                        sequence.tokens.begin());
    shared = end - first.begin();
  }
  return shared;
}

}  // namespace

void pause(SequenceGroup& group) {
  VELOZ_CHECK(group.num_undecided == 0, "a group is paused while {} steps decide its tokens",
              group.num_undecided);
  for (Sequence& sequence : group.sequences) {
    sequence.table.clear();
    sequence.num_scheduled = sequence.num_computed = sequence.num_entered = 0;
    sequence.last_step = sequence.num_before_last_step = 0;
  }
  group.num_shared_tokens = count_shared_tokens(group);
  ++group.num_preemptions;
}

int64_t num_blocks_of_known_tokens(const SequenceGroup& group, int64_t block_size) {
  if (group.sequences.size() == 1) return ceil_div(group.sequences.front().num_known(), block_size);
  const int64_t num_shared = group.num_shared_tokens / block_size;
  int64_t num_blocks = num_shared;
  for (const Sequence& sequence : group.sequences)
    num_blocks += ceil_div(sequence.num_known(), block_size) - num_shared;
  return num_blocks;
}

void spread_if_ready(SequenceGroup& group) {
  const Sequence& first = group.sequences.front();
  if (!group.is_to_be_spread() || first.num_scheduled < group.num_shared_tokens) return;
  for (Sequence& sequence : std::span(group.sequences).subspan(1)) {
    std::vector<int32_t> tokens = std::move(sequence.tokens);
    sequence = first.fork();
    sequence.tokens = std::move(tokens);
  }
}

int64_t num_blocks_to_decode(const SequenceGroup& group, const kv::BlockPool& pool) {
  if (group.sequences.size() == 1) return group.sequences.front().table.num_blocks_to_extend(1);
  int64_t num_blocks = 0;
  std::vector<kv::BlockId> shared_tails;
  for (const Sequence& sequence : group.sequences) {
    num_blocks += sequence.table.num_blocks_to_extend(1);
    if (sequence.table.has_shared_tail())
      shared_tails.push_back(sequence.table.block(sequence.table.num_blocks() - 1));
  }
  // Where nobody else holds a shared tail, the last of the group writes in place.
  std::ranges::sort(shared_tails);
  for (size_t begin = 0; begin < shared_tails.size();) {
    const auto last = std::ranges::upper_bound(shared_tails, shared_tails[begin]);
    const auto end = static_cast<size_t>(last - shared_tails.begin());
    if (std::cmp_equal(end - begin, pool.num_holders(shared_tails[begin]))) --num_blocks;
    begin = end;
  }
  return num_blocks;
}

}  // namespace veloz::serving
