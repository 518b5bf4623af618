// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/sampler.h"
#include "serving/scheduler.h"
#include "veloz/types.h"

namespace veloz::serving {

struct BeamParams {
  int64_t num_beams = 2;
  int64_t max_tokens = 1;  // of an output
  double length_penalty = 1.0;
  EarlyStopping early_stopping = EarlyStopping::no;
  std::vector<int32_t> end_token_ids;  // sorted
};

/// A completed output.
struct Hypothesis {
  std::vector<runtime::TokenLogprob> tokens;  // the end token included
  float score = 0;                            // sum of the tokens' scores / length ^ length_penalty
};

/// The books of one beam search, as Hugging Face transformers 5 runs it: device-free, knows nothing
/// of blocks. A step takes the best continuations of each running beam, keeps the num_beams best
/// that go on, and moves those that end, if they rank among the num_beams best of all, to the
/// finished list, which holds the num_beams best by length-penalised score. All scores are fp32,
/// added and divided in the order transformers does it. Ties: the lower beam, then the lower token.
///
/// Unlike there, a continuation of probability zero is dropped instead of kept with score -inf, so
/// that a banned token is never produced; fewer beams go on then.
class BeamState {
 public:
  explicit BeamState(BeamParams params);

  /// Continuations wanted of each running beam: enough that num_beams go on whatever ends.
  int64_t num_candidates() const;
  /// Running beams: rows that `advance` expects; 1 at first.
  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }

  /// rows[i]: continuations of running beam i, best first. Returns the beams that go on, best
  /// first: what each continues and with which token. None: the search is over.
  std::vector<Child> advance(std::span<const runtime::RowResult> rows);

  /// Completed outputs, best first, at most num_beams; final when the search is over.
  const std::vector<Hypothesis>& finished() const { return finished_; }

 private:
  struct Candidate {
    int64_t parent;
    runtime::TokenLogprob token;
    float score;  // sum over the output
  };

  std::vector<Candidate> best_candidates(std::span<const runtime::RowResult> rows) const;
  bool is_end(const Candidate& candidate) const;
  Hypothesis extend(const Candidate& candidate) const;
  void finish(const Candidate& candidate);
  bool can_improve() const;
  float penalised(float score, int64_t length) const;

  BeamParams params_;
  int64_t length_ = 0;                // tokens of each running beam
  std::vector<Hypothesis> running_;   // `score` without length penalty
  std::vector<Hypothesis> finished_;  // best first
};

}  // namespace veloz::serving
