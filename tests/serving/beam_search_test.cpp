// SPDX-License-Identifier: Apache-2.0
#include "serving/beam_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "serving/beam_golden.h"

namespace veloz::serving {
namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

// What the sampling ops do for a beam, in the plainest form: log-softmax, bias, repetition penalty,
// bans.
std::vector<float> beam_scores(const BeamCase& c, const std::vector<int32_t>& tokens) {
  std::vector<float> row = c.model.logits(tokens);
  const double max = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float x : row) sum += std::exp(x - max);
  for (float& x : row) x = static_cast<float>(x - max - std::log(sum));
  for (const auto& [id, bias] : c.params.logit_bias) row[static_cast<size_t>(id)] += bias;
  const auto penalty = static_cast<float>(c.params.repetition_penalty);
  for (const int32_t id : std::set(tokens.begin(), tokens.end())) {
    float& x = row[static_cast<size_t>(id)];
    x = x < 0 ? x * penalty : x / penalty;
  }
  const auto ngram = c.params.no_repeat_ngram_size;
  for (auto begin = tokens.begin(); ngram > 0 && tokens.end() - begin >= ngram; ++begin)
    if (std::equal(begin, begin + ngram - 1, tokens.end() - ngram + 1))
      row[static_cast<size_t>(begin[ngram - 1])] = kBanned;
  if (std::ssize(tokens) - std::ssize(c.prompt) < c.params.min_tokens)
    for (const int32_t id : c.model.eos_token_ids) row[static_cast<size_t>(id)] = kBanned;
  return row;
}

struct Beam {
  std::vector<int32_t> tokens;
  float score = 0;
};

// What op beam_candidates does.
std::vector<runtime::BeamCandidate> best_candidates(const BeamCase& c,
                                                    const std::vector<Beam>& beams, int64_t count) {
  std::vector<runtime::BeamCandidate> all;
  for (size_t i = 0; i < beams.size(); ++i) {
    const std::vector<float> scores = beam_scores(c, beams[i].tokens);
    for (size_t id = 0; id < scores.size(); ++id)
      if (scores[id] > kBanned)
        all.push_back(
            {static_cast<int64_t>(i), static_cast<int32_t>(id), scores[id] + beams[i].score});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  all.resize(std::min(all.size(), static_cast<size_t>(count)));
  return all;
}

BeamParams beam_params(const BeamCase& c) {
  return {.num_beams = c.params.num_beams,
          .max_tokens = c.params.max_tokens,
          .length_penalty = c.params.length_penalty,
          .early_stopping = c.params.early_stopping,
          .end_token_ids = c.model.eos_token_ids};
}

std::vector<Hypothesis> search(const BeamCase& c) {
  BeamState state(beam_params(c));
  std::vector<Beam> beams = {{c.prompt, 0}};
  while (!beams.empty()) {
    std::vector<Beam> next;
    for (const Child& child : state.advance(best_candidates(c, beams, state.num_candidates()))) {
      next.push_back(
          {beams[static_cast<size_t>(child.parent)].tokens, state.running_score(std::ssize(next))});
      next.back().tokens.push_back(child.token);
    }
    beams = std::move(next);
  }
  return state.finished();
}

TEST(BeamState, FindsWhatTransformersFinds) {
  const std::vector<BeamCase> cases = load_beam_cases();
  ASSERT_GE(cases.size(), 200u);
  for (const BeamCase& c : cases) {
    SCOPED_TRACE(c.name);
    const std::vector<Hypothesis> found = search(c);
    ASSERT_GE(found.size(), c.outputs.size());
    for (size_t i = 0; i < c.outputs.size(); ++i) {
      EXPECT_EQ(found[i].tokens, c.outputs[i].tokens) << "output " << i;
      // Sums of up to 30 fp32 terms, each off by an ulp or two of the log-softmax.
      EXPECT_NEAR(found[i].score, c.outputs[i].score, 1e-4 * (1 + std::abs(c.outputs[i].score)));
    }
  }
}

}  // namespace
}  // namespace veloz::serving
