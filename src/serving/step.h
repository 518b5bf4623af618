// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kv/block_table.h"
#include "runtime/batch.h"
#include "serving/cost_model.h"
#include "serving/sequence.h"

namespace veloz::serving {

/// Rows of a step's logits that belong to one group, one after the other. They decide its next
/// tokens, or are those of prompt tokens from `first_prompt_token` on.
struct GroupRows {
  std::shared_ptr<SequenceGroup> group;
  int64_t num_rows = 0;
  std::optional<int64_t> first_prompt_token = std::nullopt;

  bool is_deciding() const { return !first_prompt_token; }
};

/// What to do next: make the copies, then run the batch. Empty where nothing can run. A group that
/// ends while the step is in flight keeps its tokens until the step is gone.
struct Step {
  int64_t number = 0;
  runtime::Batch batch;
  std::vector<kv::BlockCopy> copies;
  std::vector<std::shared_ptr<SequenceGroup>> groups;  // all that take part
  std::vector<GroupRows> rows;                         // in order of batch.logit_rows
  int64_t num_seqs = 0;                                // that take part
  StepWork work;
  double predicted_s = 0;
  int64_t num_prefill_tokens = 0;  // the rest are decoded

  bool is_empty() const { return groups.empty(); }
};

/// A sequence to go on with: sequence `parent` of the group, then `token`.
struct Child {
  int64_t parent = 0;
  int32_t token = 0;
};

}  // namespace veloz::serving
