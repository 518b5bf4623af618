// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "serving/scheduler.h"

namespace veloz::serving {
namespace {

using Holders = std::map<kv::BlockId, int64_t>;

void check_sequence(const SequenceGroup& group, const Sequence& sequence) {
  VELOZ_CHECK(sequence.num_computed <= sequence.num_scheduled &&
                  sequence.num_scheduled <= sequence.num_known() + group.num_undecided,
              "{} computed, {} scheduled, {} known, {} undecided", sequence.num_computed,
              sequence.num_scheduled, sequence.num_known(), group.num_undecided);
  VELOZ_CHECK(sequence.table.num_positions() == sequence.num_scheduled,
              "a table of {} positions for {} tokens", sequence.table.num_positions(),
              sequence.num_scheduled);
}

void check_running(const SequenceGroup& group, bool is_reserved, Holders& num_holders) {
  VELOZ_CHECK(!group.has_ended, "a group that has ended is running");
  std::set<kv::BlockId> blocks;
  for (const Sequence& sequence : group.sequences) {
    check_sequence(group, sequence);
    for (int64_t i = 0; i < sequence.table.num_blocks(); ++i) {
      blocks.insert(sequence.table.block(i));
      ++num_holders[sequence.table.block(i)];
    }
  }
  VELOZ_CHECK(!is_reserved || std::ssize(blocks) <= group.num_reserved_blocks,
              "{} blocks of {} reserved", blocks.size(), group.num_reserved_blocks);
  VELOZ_CHECK(std::ssize(group.sequences) <= group.width, "{} sequences of {} reserved",
              group.sequences.size(), group.width);
}

void check_waiting(const SequenceGroup& group) {
  VELOZ_CHECK(!group.has_ended && group.num_undecided == 0, "a waiting group is being decided");
  for (const Sequence& sequence : group.sequences) {
    check_sequence(group, sequence);
    VELOZ_CHECK(sequence.num_scheduled == 0, "a waiting group has {} tokens scheduled",
                sequence.num_scheduled);
  }
}

}  // namespace

void Scheduler::check_invariants() const {
  pool_.check_invariants();
  if (prefixes_) prefixes_->check_invariants();
  VELOZ_CHECK(groups_.size() == waiting_.size() + running_.size(), "{} groups, {} wait and {} run",
              groups_.size(), waiting_.size(), running_.size());
  VELOZ_CHECK(num_in_flight_ >= 0 && num_in_flight_ <= 2, "{} steps in flight", num_in_flight_);
  const bool is_reserved = options_.policy == SchedulingPolicy::guaranteed_no_evict;
  int64_t num_reserved_blocks = 0;
  int64_t num_reserved_seqs = 0;
  int64_t num_waiting_tokens = 0;
  Holders num_holders;
  for (const Group& group : running_) {
    check_running(*group, is_reserved, num_holders);
    num_reserved_blocks += group->num_reserved_blocks;
    num_reserved_seqs += group->width;
  }
  for (const auto& [urgency, group] : waiting_) {
    check_waiting(*group);
    num_waiting_tokens += group->num_prompt_tokens;
  }
  VELOZ_CHECK(std::ranges::is_sorted(running_, {}, [](const Group& g) { return g->urgency; }),
              "the running groups are out of order");
  VELOZ_CHECK(
      num_reserved_blocks == num_reserved_blocks_ && num_reserved_blocks <= limits_.num_kv_blocks,
      "{} blocks reserved, {} noted, {} there are", num_reserved_blocks, num_reserved_blocks_,
      limits_.num_kv_blocks);
  VELOZ_CHECK(num_reserved_seqs == num_reserved_seqs_ && num_reserved_seqs <= limits_.max_num_seqs,
              "{} sequences reserved, {} noted, at most {}", num_reserved_seqs, num_reserved_seqs_,
              limits_.max_num_seqs);
  VELOZ_CHECK(num_waiting_tokens == num_waiting_tokens_, "{} tokens wait, {} noted",
              num_waiting_tokens, num_waiting_tokens_);
  VELOZ_CHECK(pool_.num_held() == std::ssize(num_holders), "{} blocks held, {} in tables",
              pool_.num_held(), num_holders.size());
  for (const auto& [id, holders] : num_holders)
    VELOZ_CHECK(pool_.num_holders(id) == holders, "block {} has {} holders, {} in tables",
                static_cast<int32_t>(id), pool_.num_holders(id), holders);
}

}  // namespace veloz::serving
