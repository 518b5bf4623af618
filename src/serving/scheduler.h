// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "kv/block_pool.h"
#include "kv/block_table.h"
#include "runtime/batch.h"
#include "serving/request.h"
#include "serving/sequence.h"

namespace veloz::serving {

/// What no step and no request may exceed.
struct SchedulerLimits {
  int64_t max_num_seqs = 64;
  int64_t max_num_batched_tokens = 2048;  // >= max_num_seqs
  int64_t max_model_len = 2048;
  int64_t block_size = 64;
  int64_t num_kv_blocks = 0;
  int64_t max_prefill_chunk = 2048;  // tokens of one sequence in one step
};

/// What a request will need, as far as the scheduler cares.
struct Demand {
  int64_t num_prompt_tokens = 0;
  int64_t max_tokens = 0;
  int64_t width = 1;  // sequences it grows to: n, or num_beams
};

/// Blocks that a request may come to hold: all sequences share the full blocks of the prompt, each
/// has the rest to itself. The last token is never computed, so it needs no room.
int64_t num_blocks_needed(const Demand& demand, int64_t block_size);

/// Throws Error(invalid_input) with the arithmetic where a request could never run.
void check_fits(const Demand& demand, const SchedulerLimits& limits);

/// What to do next: make the copies, then run the batch. Empty where nothing can run.
struct Step {
  runtime::Batch batch;
  std::vector<kv::BlockCopy> copies;
  std::vector<SequenceGroup*>
      deciding;                        // those whose next tokens it decides, in order of logit_rows
  std::vector<SequenceGroup*> groups;  // all that take part
  std::vector<Sequence*> sequences;    // [S], as in the batch

  bool is_empty() const { return groups.empty(); }
};

/// A sequence to go on with: sequence `parent` of the group, then `token`.
struct Child {
  int64_t parent = 0;
  int32_t token = 0;
};

/// Decides which tokens are computed next. Pure and deterministic: no clock, thread, device or log.
/// First come, first served; every running sequence gets its next token in every step, and prompts
/// share what is left of the step's token budget, in chunks. A request starts only when all blocks
/// it may ever need are reserved, so nothing that runs is ever put back.
/// Invariants: check_invariants().
class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits);

  /// `prompt_rows` rows of logits are wanted at the end of the prompt: one per choice, one for
  /// beams. Throws as check_fits.
  void submit(RequestId id, std::vector<int32_t> prompt_tokens, const Demand& demand,
              int64_t prompt_rows);

  /// The next step. Its group pointers are valid until the group ends.
  Step schedule();
  /// The step ran: what it scheduled is in the cache.
  void complete(const Step& step);
  /// The group's sequences become these, in this order; those without a child give their blocks
  /// back. No children: the group ends.
  void advance(SequenceGroup& group, std::span<const Child> children);
  /// Ends a waiting or running group; unknown ids are ignored.
  void remove(RequestId id);

  const SchedulerLimits& limits() const { return limits_; }
  const kv::BlockPool& pool() const { return pool_; }
  int64_t num_waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }

  /// Throws Error(internal) where a rule is broken.
  void check_invariants() const;

 private:
  bool try_admit_first();
  void add_group(SequenceGroup& group, Step& step);
  void add_run(Sequence& sequence, Step& step);
  void fill_block_tables(Step& step) const;
  int64_t budget_left(const Step& step) const;

  SchedulerLimits limits_;
  kv::BlockPool pool_;
  std::list<SequenceGroup> waiting_;  // a list: groups keep their address when admitted
  std::list<SequenceGroup> running_;  // in order of admission
  int64_t num_reserved_blocks_ = 0;   // by running groups
  int64_t num_reserved_seqs_ = 0;
};

}  // namespace veloz::serving
