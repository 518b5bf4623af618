// SPDX-License-Identifier: Apache-2.0
// Which groups have blocks: who begins, and who is paused for others.
#include <algorithm>
#include <utility>

#include "base/numeric.h"
#include "serving/pause.h"
#include "serving/scheduler.h"
#include "serving/step_builder.h"

namespace veloz::serving {

/// Frees blocks by pausing groups less urgent than this one. What takes part in a step stays.
bool Scheduler::make_room(const SequenceGroup& group, int64_t num_blocks,
                          const StepBuilder& builder) {
  while (pool_.num_free() < num_blocks) {
    const SequenceGroup& last = *running_.back();
    if (last.urgency <= group.urgency || builder.has(last)) return false;
    if (num_in_flight_ > 0) {
      needs_pause_ = true;
      return false;
    }
    pause_last();
  }
  return true;
}

void Scheduler::pause_last() {
  const Group group = std::move(running_.back());
  running_.pop_back();
  num_reserved_blocks_ -= group->num_reserved_blocks;
  num_reserved_seqs_ -= group->width;
  pause(*group);
  ++counts_.num_preemptions;
  num_waiting_tokens_ += group->num_prompt_tokens;
  waiting_.emplace(group->urgency, group);
}

/// Takes the first of those that wait, or nobody: who cannot begin is not overtaken.
Scheduler::Group Scheduler::try_admit(Budget& budget) {
  if (waiting_.empty()) return nullptr;
  Group group = waiting_.begin()->second;
  if (!has_time(*group, budget)) return nullptr;
  const int64_t width = group->width;
  if (num_reserved_seqs_ + width > limits_.max_num_seqs || width > budget.num_rows) return nullptr;
  if (!try_begin(*group)) return nullptr;
  budget.num_rows -= width;
  waiting_.erase(waiting_.begin());
  num_waiting_tokens_ -= group->num_prompt_tokens;
  num_reserved_seqs_ += width;
  num_reserved_blocks_ += group->num_reserved_blocks;
  const auto less_urgent = [](const Group& a, const Group& b) { return a->urgency < b->urgency; };
  running_.insert(std::upper_bound(running_.begin(), running_.end(), group, less_urgent), group);
  return group;
}

bool Scheduler::try_begin(SequenceGroup& group) {
  if (num_reserved_blocks_ + group.num_reserved_blocks > limits_.num_kv_blocks) return false;
  Sequence& first = group.sequences.front();
  if (prefixes_) {
    // The last token is always computed, for its logits, and so is every one whose logits are
    // still wanted.
    int64_t num_usable = first.num_known() - 1;
    if (group.sequences.size() > 1) num_usable = group.num_shared_tokens;
    if (group.wants_prompt_logits) num_usable = std::min(num_usable, group.num_prompt_rows);
    first.table = prefixes_->find(std::span(first.tokens).first(static_cast<size_t>(num_usable)),
                                  group.cache_salt);
  }
  if (options_.policy == SchedulingPolicy::max_utilization) {
    const int64_t num_missing =
        num_blocks_of_known_tokens(group, limits_.block_size) - first.table.num_blocks();
    if (num_missing + headroom() > pool_.num_free()) {
      first.table.clear();
      return false;
    }
  }
  first.num_scheduled = first.num_computed = first.table.num_positions();
  first.num_entered = first.table.num_blocks();
  if (!std::exchange(group.has_started, true) && prefixes_) {
    group.num_cached_tokens = first.num_scheduled;
    counts_.num_prefix_hits += first.num_scheduled;
    if (!group.wants_prompt_logits) counts_.num_prefix_queries += group.num_prompt_tokens;
  }
  return true;
}

/// Blocks left free for those that run: of the tokens they know already, and what they take in the
/// next steps, so that a newcomer is not paused right after it began.
int64_t Scheduler::headroom() const {
  constexpr int64_t kSteps = 4;
  int64_t num_blocks =
      ceil_div(num_reserved_seqs_ * std::min(kSteps, limits_.block_size), limits_.block_size);
  for (const Group& group : running_)
    for (const Sequence& sequence : group->sequences)
      num_blocks += std::max<int64_t>(
          0, ceil_div(sequence.num_known(), limits_.block_size) - sequence.table.num_blocks());
  return num_blocks;
}

}  // namespace veloz::serving
