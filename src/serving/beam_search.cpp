// SPDX-License-Identifier: Apache-2.0
#include "serving/beam_search.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/error.h"

namespace veloz::serving {

BeamState::BeamState(BeamParams params) : params_(std::move(params)), running_(1) {}

int64_t BeamState::num_candidates() const {
  return std::max<int64_t>(2, 1 + std::ssize(params_.end_token_ids)) * params_.num_beams;
}

std::vector<Child> BeamState::advance(std::span<const runtime::BeamCandidate> candidates) {
  const bool is_last = length_ + 1 == params_.max_tokens;
  std::vector<Hypothesis> next;
  std::vector<Child> children;
  for (size_t rank = 0; rank < candidates.size(); ++rank) {
    const runtime::BeamCandidate& candidate = candidates[rank];
    if (is_last || is_end(candidate.token)) {
      // Only the num_beams best may finish; those behind stand by to keep enough beams running.
      if (std::cmp_less(rank, params_.num_beams)) finish(candidate);
    } else if (std::ssize(next) < params_.num_beams) {
      next.push_back(extend(candidate));
      children.push_back({candidate.beam, candidate.token});
    }
  }
  ++length_;
  running_ = std::move(next);
  const bool is_full = std::ssize(finished_) == params_.num_beams;
  const bool is_over = running_.empty() || !can_improve() ||
                       (is_full && params_.early_stopping == EarlyStopping::yes);
  if (is_over) {
    running_.clear();
    children.clear();
  }
  return children;
}

bool BeamState::is_end(int32_t token) const {
  return std::binary_search(params_.end_token_ids.begin(), params_.end_token_ids.end(), token);
}

Hypothesis BeamState::extend(const runtime::BeamCandidate& candidate) const {
  VELOZ_CHECK(candidate.beam >= 0 && candidate.beam < num_running(), "beam {} of {}",
              candidate.beam, num_running());
  Hypothesis hypothesis = running_[static_cast<size_t>(candidate.beam)];
  hypothesis.tokens.push_back(candidate.token);
  hypothesis.score = candidate.score;
  return hypothesis;
}

void BeamState::finish(const runtime::BeamCandidate& candidate) {
  Hypothesis hypothesis = extend(candidate);
  hypothesis.score = penalised(candidate.score, length_ + 1);
  const auto is_worse = [](float score, const Hypothesis& h) { return h.score < score; };
  finished_.insert(std::upper_bound(finished_.begin(), finished_.end(), hypothesis.score, is_worse),
                   std::move(hypothesis));
  if (std::ssize(finished_) > params_.num_beams) finished_.pop_back();
}

// Whether the best running beam might still beat the worst finished one. How long it will get is
// not known: it is scored at its present length or, where the search must not stop early and length
// is rewarded, at the greatest.
bool BeamState::can_improve() const {
  if (std::ssize(finished_) < params_.num_beams) return true;
  const bool use_max_length =
      params_.early_stopping == EarlyStopping::never && params_.length_penalty > 0;
  const float best =
      penalised(running_.front().score, use_max_length ? params_.max_tokens : length_);
  return best > finished_.back().score;
}

float BeamState::penalised(float score, int64_t length) const {
  return score / static_cast<float>(std::pow(static_cast<double>(length), params_.length_penalty));
}

}  // namespace veloz::serving
