// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "serving/random.h"
#include "serving/scheduler.h"

namespace veloz::serving {

/// A made-up device and model behind a Scheduler: it keeps token ids where a real one keeps keys
/// and values, reads every sequence back through its block table, and so sees each wrong slot,
/// table, copy, feed and position. Plays all parts of the executor, with a clock of its own.
class SchedulerModel {
 public:
  SchedulerModel(const SchedulerLimits& limits, const SchedulerOptions& options, uint32_t seed)
      : scheduler(limits, options),
        target_step_s_(options.target_step_s),
        cache_(static_cast<size_t>(limits.num_kv_blocks * limits.block_size), -1),
        random_(seed) {}

  enum class Kind { choices, beams };

  void submit(Submission submission, Kind kind) {
    submission.arrival = now;
    kinds_[submission.id] = kind;
    open.insert(submission.id);
    scheduler.submit(std::move(submission));
  }
  void cancel(RequestId id) {
    if (open.count(id) > 0) end(id);
    scheduler.remove(id);
    scheduler.check_invariants();
  }
  void expire() {
    for (const RequestId id : scheduler.remove_expired(now)) {
      end(id);
      ++num_expired;
    }
  }

  /// Schedules and runs a step; false where there was none. Its results wait for `apply_oldest`.
  bool launch() {
    const bool is_idle = in_flight_.empty();
    Step step = scheduler.schedule();
    scheduler.check_invariants();
    if (step.is_empty()) return false;
    check_limits(step);
    check_target(step);
    if (is_idle) check_most_urgent_takes_part(step);
    max_seqs_in_step = std::max(max_seqs_in_step, step.num_seqs);
    num_tokens += step.work.num_tokens;
    ++num_steps;
    if (!is_idle) ++num_steps_ahead;
    num_feeds += std::ssize(step.batch.feeds);
    std::vector<std::vector<int32_t>> rows = run(step);
    in_flight_.push_back({std::move(step), std::move(rows)});
    return true;
  }
  bool has_in_flight() const { return !in_flight_.empty(); }

  void apply_oldest(bool is_broken = false) {
    const Flight flight = std::move(in_flight_.front());
    in_flight_.pop_front();
    if (is_broken) {
      scheduler.abandon(flight.step);
      for (const auto& group : flight.step.groups) {
        if (group->has_ended) continue;
        end(group->id);
        scheduler.remove(group->id);
      }
    } else {
      scheduler.complete(flight.step);
      size_t row = 0;
      for (const GroupRows& rows : flight.step.rows) {
        if (!rows.group->has_ended) take(rows, row, flight.rows);
        row += static_cast<size_t>(rows.num_rows);
      }
    }
    scheduler.check_invariants();
  }

  Scheduler scheduler;
  TimePoint now;
  std::set<RequestId> open;  // submitted and not ended
  std::map<RequestId, int64_t> ended_in_step;
  int64_t num_steps = 0;
  int64_t num_steps_ahead = 0;
  int64_t num_feeds = 0;
  int64_t num_tokens = 0;
  int64_t num_expired = 0;
  int64_t max_seqs_in_step = 0;

 private:
  struct Flight {
    Step step;
    std::vector<std::vector<int32_t>> rows;  // what each row of logits was computed from
  };

  static int32_t next_token(const std::vector<int32_t>& tokens, int64_t choice) {
    uint64_t state = 17 + static_cast<uint64_t>(choice);
    for (const int32_t token : tokens)
      state = state * 6364136223846793005u + static_cast<uint64_t>(token) + 1;
    return static_cast<int32_t>((state >> 33) % 3);  // few, so that outputs are equal by chance
  }

  void end(RequestId id) {
    VELOZ_CHECK(open.erase(id) == 1, "request {} ends a second time", static_cast<uint64_t>(id));
    ended_in_step[id] = num_steps;
  }

  void check_limits(const Step& step) {
    const SchedulerLimits& limits = scheduler.limits();
    const runtime::Batch& batch = step.batch;
    VELOZ_CHECK(batch.num_tokens() <= limits.max_num_batched_tokens, "{} tokens",
                batch.num_tokens());
    VELOZ_CHECK(batch.num_seqs() <= limits.max_num_seqs, "{} sequences", batch.num_seqs());
    VELOZ_CHECK(std::ssize(batch.logit_rows) <= limits.max_logit_rows, "{} rows",
                batch.logit_rows.size());
    for (const int32_t length : batch.q_lens)
      VELOZ_CHECK(length <= limits.max_prefill_chunk, "a chunk of {}", length);
    const std::set<int64_t> slots(batch.slots.begin(), batch.slots.end());
    VELOZ_CHECK(slots.size() == batch.slots.size(), "a slot is written twice");
  }

  /// Only a step of decodes alone, or of them and the smallest chunk, may be over its target.
  void check_target(const Step& step) const {
    if (target_step_s_ == 0) return;
    constexpr int64_t kSmallestChunk = 16;
    constexpr double kTolerance_s = 1e-9;
    const std::vector<int64_t> chunks = chunks_of(step);
    const bool may_exceed =
        chunks.empty() || (chunks.size() == 1 && chunks.front() <= kSmallestChunk);
    VELOZ_CHECK(may_exceed || step.predicted_s <= target_step_s_ + kTolerance_s,
                "a step of {} chunks, the first of {} tokens, is to take {} s, the target is {}",
                chunks.size(), chunks.front(), step.predicted_s, target_step_s_);
  }

  /// How many tokens each has.
  static std::vector<int64_t> chunks_of(const Step& step) {
    std::vector<int64_t> chunks;
    for (const auto& group : step.groups) {
      const bool is_deciding = std::ranges::any_of(step.rows, [&](const GroupRows& rows) {
        return rows.group == group && rows.is_deciding();
      });
      for (const Sequence& sequence : group->sequences) {
        if (sequence.last_step != step.number) continue;
        const int64_t count = sequence.num_scheduled - sequence.num_before_last_step;
        const bool is_decode = count == 1 && is_deciding && group->first_step < step.number;
        if (!is_decode) chunks.push_back(count);
      }
    }
    return chunks;
  }

  /// Unless it has just begun again and forks in the next step.
  void check_most_urgent_takes_part(const Step& step) {
    const auto& first = scheduler.running().front();
    VELOZ_CHECK(std::ranges::count(step.groups, first) == 1 || first->is_to_be_spread(),
                "the most urgent, request {} with {} sequences, {} of {} tokens scheduled, {} "
                "undecided, does not take part",
                static_cast<uint64_t>(first->id), first->sequences.size(),
                first->sequences.front().num_scheduled, first->sequences.front().num_known(),
                first->num_undecided);
  }

  std::vector<std::vector<int32_t>> run(Step& step) {
    runtime::Batch& batch = step.batch;
    const int64_t block_size = scheduler.limits().block_size;
    for (const runtime::TokenFeed& feed : batch.feeds)
      batch.tokens[static_cast<size_t>(feed.token)] = fed_.at(static_cast<size_t>(feed.row));
    std::vector<std::vector<int32_t>> sources;
    for (const kv::BlockCopy& copy : step.copies)
      for (int64_t i = 0; i < block_size; ++i)
        cache_[slot(copy.to, i)] = cache_[slot(copy.from, i)];
    for (size_t t = 0; t < batch.tokens.size(); ++t)
      cache_[static_cast<size_t>(batch.slots[t])] = batch.tokens[t];
    std::vector<std::vector<int32_t>> rows;
    fed_.clear();
    for (const int32_t token : batch.logit_rows) {
      rows.push_back(read_back(batch, token));
      fed_.push_back(next_token(rows.back(), 0));
    }
    return rows;
  }

  size_t slot(kv::BlockId block, int64_t offset) const {
    return static_cast<size_t>(static_cast<int64_t>(block) * scheduler.limits().block_size +
                               offset);
  }

  std::vector<int32_t> read_back(const runtime::Batch& batch, int32_t token) const {
    const int64_t block_size = scheduler.limits().block_size;
    size_t s = 0;
    while (token >= batch.q_starts[s] + batch.q_lens[s]) ++s;
    std::vector<int32_t> tokens;
    for (int64_t p = 0; p <= batch.positions[static_cast<size_t>(token)]; ++p) {
      const auto entry =
          static_cast<size_t>(static_cast<int64_t>(s) * batch.blocks_per_seq + p / block_size);
      tokens.push_back(cache_[slot(kv::BlockId{batch.block_tables[entry]}, p % block_size)]);
    }
    return tokens;
  }

  void take(const GroupRows& rows, size_t row, const std::vector<std::vector<int32_t>>& read) {
    SequenceGroup& group = *rows.group;
    if (!rows.is_deciding()) return check_prompt_rows(rows, row, read);
    const auto num_sequences = std::ssize(group.sequences);
    const int64_t rows_each = rows.num_rows / num_sequences;
    for (int64_t i = 0; i < rows.num_rows; ++i)
      VELOZ_CHECK(read[row + static_cast<size_t>(i)] ==
                      group.sequences[static_cast<size_t>(i / rows_each)].tokens,
                  "request {} reads back other tokens than its own",
                  static_cast<uint64_t>(group.id));
    const int64_t length = group.sequences.front().num_known() - group.num_prompt_tokens;
    std::vector<Child> children;
    if (length + 1 < group.max_tokens)
      children =
          kinds_.at(group.id) == Kind::beams ? beams_of(group) : choices_of(group, rows.num_rows);
    if (children.empty()) end(group.id);
    scheduler.advance(group, children);
  }

  void check_prompt_rows(const GroupRows& rows, size_t row,
                         const std::vector<std::vector<int32_t>>& read) {
    int64_t& next = next_prompt_row_[rows.group->id];
    VELOZ_CHECK(*rows.first_prompt_token == next, "prompt rows from {}, {} were expected",
                *rows.first_prompt_token, next);
    for (int64_t i = 0; i < rows.num_rows; ++i, ++next)
      VELOZ_CHECK(std::ssize(read[row + static_cast<size_t>(i)]) == next + 1,
                  "the logits of prompt token {} are another's", next);
  }

  std::vector<Child> choices_of(const SequenceGroup& group, int64_t num_rows) {
    std::vector<Child> children;
    const bool is_fork = std::ssize(group.sequences) < num_rows;
    for (int64_t i = 0; i < num_rows; ++i) {
      const int64_t parent = is_fork ? 0 : i;
      const int64_t choice = group.width == 1 ? 0 : i;
      const int32_t token = next_token(group.sequences[static_cast<size_t>(parent)].tokens, choice);
      if (!random_.one_in(25)) children.push_back({parent, token});
    }
    return children;
  }
  std::vector<Child> beams_of(const SequenceGroup& group) {
    if (random_.one_in(25)) return {};
    std::vector<Child> children;
    for (int64_t i = random_.in(1, group.width); i > 0; --i)
      children.push_back(
          {random_.in(0, std::ssize(group.sequences) - 1), static_cast<int32_t>(random_.in(0, 2))});
    return children;
  }

  const double target_step_s_;
  std::vector<int32_t> cache_;  // token id of each slot
  std::vector<int32_t> fed_;    // what each row of the last step sampled
  std::map<RequestId, Kind> kinds_;
  std::map<RequestId, int64_t> next_prompt_row_;
  std::deque<Flight> in_flight_;
  Random random_;
};

}  // namespace veloz::serving
