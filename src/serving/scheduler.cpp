// SPDX-License-Identifier: Apache-2.0
#include "serving/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::serving {

int64_t num_blocks_needed(const Demand& demand, int64_t block_size) {
  const int64_t shared = demand.num_prompt_tokens / block_size;
  const int64_t longest = ceil_div(demand.num_prompt_tokens + demand.max_tokens - 1, block_size);
  return shared + demand.width * (longest - shared);
}

void check_fits(const Demand& demand, const SchedulerLimits& limits) {
  const int64_t prompt = demand.num_prompt_tokens;
  if (prompt >= limits.max_model_len)
    throw Error(ErrorKind::invalid_input,
                fmt::format("a prompt of {} tokens leaves no room for output: the engine's "
                            "max_model_len is {}",
                            prompt, limits.max_model_len),
                fmt::format("shorten the prompt by {} tokens or more, or build the engine with a "
                            "larger --max-model-len",
                            prompt - limits.max_model_len + 1));
  if (demand.max_tokens > limits.max_model_len - prompt)
    throw Error(ErrorKind::invalid_input,
                fmt::format("a prompt of {} tokens and max_tokens {} exceed the engine's "
                            "max_model_len {}",
                            prompt, demand.max_tokens, limits.max_model_len),
                fmt::format("lower max_tokens to {}, or build the engine with a larger "
                            "--max-model-len",
                            limits.max_model_len - prompt));
  if (demand.width > limits.max_num_seqs)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} sequences at once (n or num_beams) exceed max_num_seqs {}",
                            demand.width, limits.max_num_seqs),
                "ask for fewer, or run with a larger --max-num-seqs");
  const int64_t needed = num_blocks_needed(demand, limits.block_size);
  if (needed > limits.num_kv_blocks)
    throw Error(ErrorKind::invalid_input,
                fmt::format("{} prompt tokens and {} x {} new ones need {} KV blocks of {} "
                            "positions, the cache has {}",
                            prompt, demand.width, demand.max_tokens, needed, limits.block_size,
                            limits.num_kv_blocks),
                "lower max_tokens, n or num_beams, or give the cache more memory");
}

Scheduler::Scheduler(const SchedulerLimits& limits) : limits_(limits), pool_(limits.num_kv_blocks) {
  VELOZ_CHECK(limits.max_num_seqs >= 1 && limits.max_num_batched_tokens >= limits.max_num_seqs,
              "max_num_batched_tokens {} must be at least max_num_seqs {}",
              limits.max_num_batched_tokens, limits.max_num_seqs);
  VELOZ_CHECK(limits.block_size >= 1 && limits.max_prefill_chunk >= 1,
              "block_size {}, max_prefill_chunk {}", limits.block_size, limits.max_prefill_chunk);
}

void Scheduler::submit(RequestId id, std::vector<int32_t> prompt_tokens, const Demand& demand,
                       int64_t prompt_rows) {
  check_fits(demand, limits_);
  SequenceGroup group{.id = id,
                      .num_prompt_tokens = demand.num_prompt_tokens,
                      .prompt_rows = prompt_rows,
                      .num_reserved_seqs = demand.width,
                      .num_reserved_blocks = num_blocks_needed(demand, limits_.block_size),
                      .sequences = {}};
  group.sequences.push_back(
      {.tokens = std::move(prompt_tokens), .table = kv::BlockTable(pool_, limits_.block_size)});
  waiting_.push_back(std::move(group));
}

Step Scheduler::schedule() {
  Step step;
  for (SequenceGroup& group : running_)
    if (group.is_decoding()) add_group(group, step);
  for (SequenceGroup& group : running_)
    if (group.has_pending()) add_group(group, step);
  while (budget_left(step) > 0 && try_admit_first()) add_group(running_.back(), step);
  fill_block_tables(step);
  return step;
}

bool Scheduler::try_admit_first() {
  if (waiting_.empty()) return false;
  const SequenceGroup& first = waiting_.front();
  if (num_reserved_blocks_ + first.num_reserved_blocks > limits_.num_kv_blocks) return false;
  if (num_reserved_seqs_ + first.num_reserved_seqs > limits_.max_num_seqs) return false;
  num_reserved_blocks_ += first.num_reserved_blocks;
  num_reserved_seqs_ += first.num_reserved_seqs;
  running_.splice(running_.end(), waiting_, waiting_.begin());
  return true;
}

int64_t Scheduler::budget_left(const Step& step) const {
  return limits_.max_num_batched_tokens - step.batch.num_tokens();
}

void Scheduler::add_group(SequenceGroup& group, Step& step) {
  if (budget_left(step) == 0) return;
  step.groups.push_back(&group);
  for (Sequence& sequence : group.sequences) {
    add_run(sequence, step);
    if (sequence.num_pending() > 0) return;  // the prompt goes on in the next step
    const bool is_prompt_end = sequence.num_known() == group.num_prompt_tokens;
    step.batch.logit_rows.insert(step.batch.logit_rows.end(),
                                 static_cast<size_t>(is_prompt_end ? group.prompt_rows : 1),
                                 narrow<int32_t>(step.batch.num_tokens() - 1));
  }
  step.deciding.push_back(&group);
}

void Scheduler::add_run(Sequence& sequence, Step& step) {
  const int64_t count =
      std::min({sequence.num_pending(), limits_.max_prefill_chunk, budget_left(step)});
  VELOZ_CHECK(count > 0, "no budget is left for a sequence of a group that has begun");
  VELOZ_CHECK(sequence.table.try_extend(count, step.copies),
              "{} reserved blocks were not enough: {} of {} are free", num_reserved_blocks_,
              pool_.num_free(), pool_.num_blocks());
  runtime::Batch& batch = step.batch;
  batch.q_starts.push_back(narrow<int32_t>(batch.num_tokens()));
  batch.q_lens.push_back(narrow<int32_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t position = sequence.num_scheduled + i;
    batch.tokens.push_back(sequence.tokens[static_cast<size_t>(position)]);
    batch.positions.push_back(narrow<int32_t>(position));
    batch.slots.push_back(sequence.table.slot(position));
  }
  sequence.num_scheduled += count;
  batch.kv_lens.push_back(narrow<int32_t>(sequence.num_scheduled));
  step.sequences.push_back(&sequence);
}

void Scheduler::fill_block_tables(Step& step) const {
  runtime::Batch& batch = step.batch;
  for (const Sequence* sequence : step.sequences)
    batch.blocks_per_seq = std::max(batch.blocks_per_seq, sequence->table.num_blocks());
  batch.block_tables.assign(step.sequences.size() * static_cast<size_t>(batch.blocks_per_seq), 0);
  auto row = batch.block_tables.begin();
  for (const Sequence* sequence : step.sequences) {
    for (int64_t i = 0; i < sequence->table.num_blocks(); ++i)
      row[i] = static_cast<int32_t>(sequence->table.block(i));
    row += batch.blocks_per_seq;
  }
}

void Scheduler::complete(const Step& step) {
  for (Sequence* sequence : step.sequences) sequence->num_computed = sequence->num_scheduled;
}

void Scheduler::advance(SequenceGroup& group, std::span<const Child> children) {
  if (children.empty()) return remove(group.id);
  std::vector<int64_t> num_uses(group.sequences.size(), 0);
  for (const Child& child : children) ++num_uses[static_cast<size_t>(child.parent)];
  std::vector<Sequence> next;
  next.reserve(children.size());
  for (const Child& child : children) {
    const auto parent = static_cast<size_t>(child.parent);
    Sequence& sequence = group.sequences[parent];
    const bool is_last_use = --num_uses[parent] == 0;
    next.push_back(is_last_use ? std::move(sequence) : sequence.fork());
    next.back().tokens.push_back(child.token);
  }
  group.sequences = std::move(next);
}

void Scheduler::remove(RequestId id) {
  const auto has_id = [id](const SequenceGroup& group) { return group.id == id; };
  if (const auto it = std::find_if(running_.begin(), running_.end(), has_id);
      it != running_.end()) {
    num_reserved_blocks_ -= it->num_reserved_blocks;
    num_reserved_seqs_ -= it->num_reserved_seqs;
    running_.erase(it);
    return;
  }
  waiting_.remove_if(has_id);
}

void Scheduler::check_invariants() const {
  pool_.check_invariants();
  int64_t num_reserved_blocks = 0;
  int64_t num_reserved_seqs = 0;
  std::map<kv::BlockId, int64_t> num_holders;
  for (const SequenceGroup& group : running_) {
    std::set<kv::BlockId> blocks;
    for (const Sequence& sequence : group.sequences) {
      VELOZ_CHECK(sequence.num_computed <= sequence.num_scheduled &&
                      sequence.num_scheduled <= sequence.num_known(),
                  "{} computed, {} scheduled, {} known", sequence.num_computed,
                  sequence.num_scheduled, sequence.num_known());
      VELOZ_CHECK(sequence.table.num_positions() == sequence.num_scheduled,
                  "a table of {} positions for {} tokens", sequence.table.num_positions(),
                  sequence.num_scheduled);
      for (int64_t i = 0; i < sequence.table.num_blocks(); ++i) {
        blocks.insert(sequence.table.block(i));
        ++num_holders[sequence.table.block(i)];
      }
    }
    VELOZ_CHECK(std::ssize(blocks) <= group.num_reserved_blocks, "{} blocks of {} reserved",
                blocks.size(), group.num_reserved_blocks);
    VELOZ_CHECK(std::ssize(group.sequences) <= group.num_reserved_seqs,
                "{} sequences of {} reserved", group.sequences.size(), group.num_reserved_seqs);
    num_reserved_blocks += group.num_reserved_blocks;
    num_reserved_seqs += group.num_reserved_seqs;
  }
  VELOZ_CHECK(
      num_reserved_blocks == num_reserved_blocks_ && num_reserved_blocks <= limits_.num_kv_blocks,
      "{} blocks reserved, {} noted, {} there are", num_reserved_blocks, num_reserved_blocks_,
      limits_.num_kv_blocks);
  VELOZ_CHECK(num_reserved_seqs == num_reserved_seqs_ && num_reserved_seqs <= limits_.max_num_seqs,
              "{} sequences reserved, {} noted, at most {}", num_reserved_seqs, num_reserved_seqs_,
              limits_.max_num_seqs);
  VELOZ_CHECK(pool_.num_held() == std::ssize(num_holders), "{} blocks held, {} in tables",
              pool_.num_held(), num_holders.size());
  for (const auto& [id, holders] : num_holders)
    VELOZ_CHECK(pool_.num_holders(id) == holders, "block {} has {} holders, {} in tables",
                static_cast<int32_t>(id), pool_.num_holders(id), holders);
}

}  // namespace veloz::serving
