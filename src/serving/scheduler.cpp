// SPDX-License-Identifier: Apache-2.0
#include "serving/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"
#include "serving/pause.h"
#include "serving/step_builder.h"

namespace veloz::serving {
namespace {

/// The work of a step with the next `count` tokens of a sequence too.
StepWork with_chunk(StepWork work, const SequenceGroup& group, const Sequence& sequence,
                    int64_t count) {
  work.add_run(sequence.num_scheduled, count);
  work.num_rows += group.num_rows_of_chunk(sequence, count);
  return work;
}

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits, const SchedulerOptions& options)
    : limits_(limits), options_(options), cost_(options.costs), pool_(limits.num_kv_blocks) {
  if (limits_.max_logit_rows == 0) limits_.max_logit_rows = limits.max_num_seqs;
  VELOZ_CHECK(limits.max_num_seqs >= 1 && limits.max_num_batched_tokens >= limits.max_num_seqs,
              "max_num_batched_tokens {} must be at least max_num_seqs {}",
              limits.max_num_batched_tokens, limits.max_num_seqs);
  VELOZ_CHECK(limits_.max_logit_rows >= limits.max_num_seqs, "{} logit rows for {} sequences",
              limits_.max_logit_rows, limits.max_num_seqs);
  VELOZ_CHECK(limits.block_size >= 1 && limits.max_prefill_chunk >= 1,
              "block_size {}, max_prefill_chunk {}", limits.block_size, limits.max_prefill_chunk);
  if (options.enable_prefix_caching) prefixes_.emplace(pool_, limits.block_size);
}

void Scheduler::submit(Submission submission) {
  check_fits(submission.demand, limits_);
  auto group = std::make_shared<SequenceGroup>();
  group->id = submission.id;
  group->num_prompt_tokens = submission.demand.num_prompt_tokens;
  group->max_tokens = submission.demand.max_tokens;
  group->width = submission.demand.width;
  if (options_.policy == SchedulingPolicy::guaranteed_no_evict)
    group->num_reserved_blocks = num_blocks_needed(submission.demand, limits_.block_size);
  group->prompt_rows = submission.prompt_rows;
  group->wants_prompt_logits = submission.wants_prompt_logits;
  group->arrival = submission.arrival;
  group->urgency = {
      submission.arrival +
          std::clamp(submission.priority, -kMaxPriority, kMaxPriority) * options_.priority_step,
      next_ticket_++};
  group->deadline = submission.deadline;
  group->cache_salt = std::move(submission.cache_salt);
  group->sequences.push_back({.tokens = std::move(submission.prompt_tokens),
                              .table = kv::BlockTable(pool_, limits_.block_size)});
  VELOZ_CHECK(groups_.emplace(group->id, group).second, "a request is submitted twice");
  if (group->deadline) deadlines_.emplace(*group->deadline, group->id);
  num_waiting_tokens_ += group->num_prompt_tokens;
  waiting_.emplace(group->urgency, std::move(group));
}

std::vector<RequestId> Scheduler::remove_expired(TimePoint now) {
  std::vector<RequestId> expired;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    expired.push_back(deadlines_.begin()->second);
    remove(expired.back());
  }
  return expired;
}

Step Scheduler::schedule() {
  if (must_wait_for_step_in_flight()) return {};
  needs_pause_ = false;
  StepBuilder builder(num_steps_ + 1);
  for (const Group& group : running_) spread_if_ready(*group);
  Budget budget = open_budget();
  bool has_room = true;
  // By index: pausing takes groups from the end.
  for (size_t i = 0; i < running_.size(); ++i) {
    const Group group = running_[i];
    const bool fits =
        group->is_decoding() ? add_decode(group, builder) : add_chunks(group, builder, budget);
    has_room = has_room && fits;
  }
  while (has_room) {
    const Group group = try_admit(budget);
    if (group == nullptr) break;
    has_room = add_chunks(group, builder, budget);
  }
  return begin(builder.finish());
}

Step Scheduler::begin(Step step) {
  if (step.is_empty()) return step;
  ++num_steps_;
  ++num_in_flight_;
  can_run_ahead_ = std::ranges::all_of(step.rows, [](const GroupRows& rows) {
    return !rows.is_deciding() || rows.group->width == 1;
  });
  for (const Group& group : step.groups)
    if (group->first_step == 0) group->first_step = step.number;
  step.predicted_s = cost_.predict(step.work);
  return step;
}

// Forks are made on the host, when the tokens of all sequences are known.
bool Scheduler::must_wait_for_step_in_flight() const {
  if (num_in_flight_ == 0) return false;
  return num_in_flight_ == 2 || !can_run_ahead_ || needs_pause_;
}

Scheduler::Budget Scheduler::open_budget() const {
  Budget budget;
  for (const Group& group : running_) {
    if (!group->is_decoding()) continue;
    for (const Sequence& sequence : group->sequences) {
      budget.work.add_run(sequence.num_scheduled, 1);
      budget.work.num_rows += group->num_rows_to_decide();
    }
  }
  budget.num_tokens = limits_.max_num_batched_tokens - budget.work.num_tokens;
  budget.num_rows = limits_.max_logit_rows - num_reserved_seqs_;
  return budget;
}

/// For the newcomer's first token, wherever its cached prefix ends and even if it ends the prompt.
bool Scheduler::has_time(const SequenceGroup& newcomer, const Budget& budget) const {
  if (budget.num_tokens <= 0) return false;
  if (options_.target_step_s == 0 || budget.is_first) return true;
  StepWork work = budget.work;
  work.add_run(newcomer.sequences.front().num_known() - 1, 1);
  work.num_rows += newcomer.num_rows_to_decide();
  return cost_.predict(work) <= options_.target_step_s;
}

// These two: false where blocks were missing.
bool Scheduler::add_decode(const Group& group, StepBuilder& builder) {
  if (!make_room(*group, num_blocks_to_decode(*group, pool_), builder)) return false;
  for (Sequence& sequence : group->sequences) builder.add_run(group, sequence, 1);
  builder.decide(*group);
  return true;
}

bool Scheduler::add_chunks(const Group& group, StepBuilder& builder, Budget& budget) {
  const bool was_to_be_spread = group->is_to_be_spread();
  bool is_complete = true;
  for (Sequence& sequence : group->sequences) {
    if (was_to_be_spread && &sequence != &group->sequences.front()) break;
    int64_t count = wanted_chunk(*group, sequence, budget);
    if (count > 0 && !make_room(*group, sequence.table.num_blocks_to_extend(count), builder)) {
      is_complete = false;
      count = std::min(count, sequence.table.num_extendable());
    }
    if (count == 0) continue;
    budget.work = with_chunk(budget.work, *group, sequence, count);
    budget.num_tokens -= count;
    budget.is_first = false;
    if (group->wants_prompt_logits) budget.num_rows -= count;
    builder.add_run(group, sequence, count);
  }
  if (group->sequences.size() == 1 && builder.has(*group) &&
      group->num_pending(group->sequences.front()) == 0)
    builder.decide(*group);
  return is_complete;
}

/// Several sequences leave their last token for a step of all of them together.
int64_t Scheduler::wanted_chunk(const SequenceGroup& group, const Sequence& sequence,
                                const Budget& budget) const {
  constexpr int64_t kSmallestChunk = 16;  // a step over its target still moves one prompt on
  int64_t count = group.num_pending(sequence);
  if (group.is_to_be_spread())
    count = group.num_shared_tokens - sequence.num_scheduled;
  else if (group.sequences.size() > 1)
    --count;
  count = std::min({count, limits_.max_prefill_chunk, budget.num_tokens});
  if (group.wants_prompt_logits) count = std::min(count, budget.num_rows + 1);
  if (options_.target_step_s == 0 || count <= 0) return std::max<int64_t>(count, 0);
  const int64_t fitting = cost_.fitting_chunk(count, options_.target_step_s, [&](int64_t n) {
    return with_chunk(budget.work, group, sequence, n);
  });
  return budget.is_first ? std::max(fitting, std::min(count, kSmallestChunk)) : fitting;
}

void Scheduler::complete(const Step& step) {
  --num_in_flight_;
  for (const Group& group : step.groups) {
    if (group->has_ended) continue;
    for (Sequence& sequence : group->sequences) {
      // One step at most is behind this one.
      sequence.num_computed =
          sequence.last_step > step.number ? sequence.num_before_last_step : sequence.num_scheduled;
      if (prefixes_)
        sequence.num_entered = prefixes_->enter(
            sequence.table,
            std::span(sequence.tokens).first(static_cast<size_t>(sequence.num_computed)),
            group->cache_salt, sequence.num_entered);
    }
  }
}

void Scheduler::abandon(const Step&) { --num_in_flight_; }

void Scheduler::advance(SequenceGroup& group, std::span<const Child> children) {
  --group.num_undecided;
  if (children.empty()) return remove(group.id);
  if (group.sequences.size() == 1 && children.size() == 1)
    return group.sequences.front().tokens.push_back(children.front().token);
  std::vector<int64_t> num_uses(group.sequences.size(), 0);
  for (const Child& child : children) ++num_uses[static_cast<size_t>(child.parent)];
  // A fork takes the memory of a sequence without a child, where the prompt lies already.
  std::vector<std::vector<int32_t>> unused;
  for (size_t i = 0; i < num_uses.size(); ++i)
    if (num_uses[i] == 0) unused.push_back(std::move(group.sequences[i].tokens));
  const auto fork = [&](const Sequence& sequence) {
    if (unused.empty()) return sequence.fork();
    std::vector<int32_t> memory = std::move(unused.back());
    unused.pop_back();
    return sequence.fork(std::move(memory), group.num_prompt_tokens);
  };
  std::vector<Sequence> next;
  next.reserve(children.size());
  for (const Child& child : children) {
    const auto parent = static_cast<size_t>(child.parent);
    Sequence& sequence = group.sequences[parent];
    const bool is_last_use = --num_uses[parent] == 0;
    next.push_back(is_last_use ? std::move(sequence) : fork(sequence));
    next.back().tokens.push_back(child.token);
  }
  group.sequences = std::move(next);
}

void Scheduler::remove(RequestId id) {
  const auto it = groups_.find(id);
  if (it == groups_.end()) return;
  const Group group = std::move(it->second);
  groups_.erase(it);
  if (group->deadline) deadlines_.erase({*group->deadline, id});
  if (waiting_.erase(group->urgency) > 0) {
    num_waiting_tokens_ -= group->num_prompt_tokens;
  } else {
    std::erase(running_, group);
    num_reserved_blocks_ -= group->num_reserved_blocks;
    num_reserved_seqs_ -= group->width;
  }
  // A step in flight may still write to these blocks; whoever gets them next does so behind it.
  group->has_ended = true;
  for (Sequence& sequence : group->sequences) sequence.table.clear();
}

}  // namespace veloz::serving
