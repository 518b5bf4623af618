// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "serving/demand.h"
#include "serving/step.h"

namespace veloz::serving {

/// Writes a step, run by run. Knows how a batch is laid out, not who gets into it; the blocks that
/// a run needs are free when it is added.
class StepBuilder {
 public:
  explicit StepBuilder(int64_t number) { step_.number = number; }

  const StepWork& work() const { return step_.work; }
  int64_t num_rows() const { return static_cast<int64_t>(step_.batch.logit_rows.size()); }
  bool has(const SequenceGroup& group) const;

  /// The next `count` tokens of a sequence, the one that is not known yet being fed by the step
  /// before. Runs of one group follow each other.
  void add_run(const std::shared_ptr<SequenceGroup>& group, Sequence& sequence, int64_t count);
  /// Of the group whose runs were added last: it decides in this step.
  void decide(SequenceGroup& group);

  Step finish();

 private:
  void add_prompt_rows(const std::shared_ptr<SequenceGroup>& group, int64_t position,
                       int64_t count);
  void add_rows(int64_t token, int64_t count);
  void fill_block_tables();

  Step step_;
  std::vector<Sequence*> sequences_;  // [S], as in the batch
};

}  // namespace veloz::serving
