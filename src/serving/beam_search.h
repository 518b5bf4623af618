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
  std::vector<int32_t> tokens;  // the end token included
  float score = 0;              // sum of the tokens' scores / length ^ length_penalty
};

/// The books of one beam search, as Hugging Face transformers 5 runs it: device-free, knows nothing
/// of blocks. A step takes the best continuations of each running beam, keeps the num_beams best
/// that go on, and moves those that end, if they rank among the num_beams best of all, to the
/// finished list, which holds the num_beams best by length-penalised score. All scores are fp32,
/// added and divided in the order transformers does it.
///
/// Unlike there, a continuation of probability zero is dropped instead of kept with score -inf, so
/// that a banned token is never produced; fewer beams go on then.
class BeamState {
 public:
  explicit BeamState(BeamParams params);

  /// Best continuations wanted of all running beams together: enough that num_beams go on,
  /// whatever ends.
  int64_t num_candidates() const;
  /// Running beams, best first; one at the start. Their scores, without length penalty, go into
  /// those of the candidates.
  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }
  float running_score(int64_t beam) const { return running_[static_cast<size_t>(beam)].score; }

  /// `candidates`: the num_candidates best continuations, best first, ties by beam, then by token.
  /// Returns the beams that go on, best first: what each continues and with which token. None: the
  /// search is over.
  std::vector<Child> advance(std::span<const runtime::BeamCandidate> candidates);

  /// Completed outputs, best first, at most num_beams; final when the search is over.
  const std::vector<Hypothesis>& finished() const { return finished_; }

 private:
  bool is_end(int32_t token) const;
  Hypothesis extend(const runtime::BeamCandidate& candidate) const;
  void finish(const runtime::BeamCandidate& candidate);
  bool can_improve() const;
  float penalised(float score, int64_t length) const;

  BeamParams params_;
  int64_t length_ = 0;                // tokens of each running beam
  std::vector<Hypothesis> running_;   // `score` without length penalty
  std::vector<Hypothesis> finished_;  // best first
};

}  // namespace veloz::serving
