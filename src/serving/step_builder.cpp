// SPDX-License-Identifier: Apache-2.0
#include "serving/step_builder.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::serving {

bool StepBuilder::has(const SequenceGroup& group) const {
  return std::ranges::any_of(group.sequences,
                             [this](const Sequence& s) { return s.last_step == step_.number; });
}

void StepBuilder::add_run(const std::shared_ptr<SequenceGroup>& group, Sequence& sequence,
                          int64_t count) {
  VELOZ_CHECK(sequence.table.try_extend(count, step_.copies),
              "{} blocks for {} tokens were promised and are not free",
              sequence.table.num_blocks_to_extend(count), count);
  if (step_.groups.empty() || step_.groups.back() != group) step_.groups.push_back(group);
  runtime::Batch& batch = step_.batch;
  const int64_t begin = sequence.num_scheduled;
  batch.q_starts.push_back(narrow<int32_t>(batch.num_tokens()));
  batch.q_lens.push_back(narrow<int32_t>(count));
  for (int64_t position = begin; position < begin + count; ++position) {
    if (position < sequence.num_known()) {
      batch.tokens.push_back(sequence.tokens[static_cast<size_t>(position)]);
    } else {
      VELOZ_CHECK(sequence.last_step + 1 == step_.number, "nobody decides token {}", position);
      batch.feeds.push_back({narrow<int32_t>(batch.num_tokens()), sequence.row});
      batch.tokens.push_back(0);
    }
    batch.positions.push_back(narrow<int32_t>(position));
    batch.slots.push_back(sequence.table.slot(position));
  }
  add_prompt_rows(group, begin, count);
  if (count > 1 || begin < group->num_prompt_tokens) step_.num_prefill_tokens += count;
  step_.work.add_run(begin, count);
  sequence.num_before_last_step = begin;
  sequence.last_step = step_.number;
  sequence.num_scheduled += count;
  batch.kv_lens.push_back(narrow<int32_t>(sequence.num_scheduled));
  sequences_.push_back(&sequence);
}

void StepBuilder::add_prompt_rows(const std::shared_ptr<SequenceGroup>& group, int64_t position,
                                  int64_t count) {
  const int64_t num_rows = group->num_prompt_rows_of(position, count);
  if (num_rows == 0) return;
  const int64_t begin = std::max(position, group->num_prompt_rows);
  const int64_t first_token = step_.batch.num_tokens() - count - position;
  for (int64_t p = begin; p < begin + num_rows; ++p) add_rows(first_token + p, 1);
  step_.rows.push_back({group, num_rows, begin});
  group->num_prompt_rows = begin + num_rows;
}

void StepBuilder::decide(SequenceGroup& group) {
  const auto num_sequences = std::ssize(group.sequences);
  const int64_t rows_each = group.num_rows_to_decide();
  const auto first_sequence = std::ssize(sequences_) - num_sequences;
  for (int64_t i = 0; i < num_sequences; ++i) {
    const auto s = static_cast<size_t>(first_sequence + i);
    sequences_[s]->row = narrow<int32_t>(num_rows());
    add_rows(step_.batch.q_starts[s] + step_.batch.q_lens[s] - 1, rows_each);
  }
  step_.rows.push_back({step_.groups.back(), num_sequences * rows_each});
  ++group.num_undecided;
}

void StepBuilder::add_rows(int64_t token, int64_t count) {
  step_.batch.logit_rows.insert(step_.batch.logit_rows.end(), static_cast<size_t>(count),
                                narrow<int32_t>(token));
}

Step StepBuilder::finish() {
  step_.work.num_rows = num_rows();
  step_.num_seqs = std::ssize(sequences_);
  fill_block_tables();
  return std::move(step_);
}

void StepBuilder::fill_block_tables() {
  runtime::Batch& batch = step_.batch;
  for (const Sequence* sequence : sequences_)
    batch.blocks_per_seq = std::max(batch.blocks_per_seq, sequence->table.num_blocks());
  batch.block_tables.assign(sequences_.size() * static_cast<size_t>(batch.blocks_per_seq), 0);
  auto row = batch.block_tables.begin();
  for (const Sequence* sequence : sequences_) {
    for (int64_t i = 0; i < sequence->table.num_blocks(); ++i)
      row[i] = static_cast<int32_t>(sequence->table.block(i));
    row += batch.blocks_per_seq;
  }
}

}  // namespace veloz::serving
