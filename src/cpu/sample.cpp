// SPDX-License-Identifier: Apache-2.0
#include "cpu/sample.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "ops/rows.h"

namespace veloz::cpu {
namespace {

using ops::Candidate;
using ops::SampleRow;

constexpr size_t kMaxTopK = 256;        // for more, selecting takes longer than weighing
constexpr double kColdest = 1e-6;       // below, exponents do not fit fp32
constexpr size_t kTokensPerChunk = 64;  // whose bounds are computed at once

/// At least 2^x for x <= 0: between powers of two the chord lies above the curve, and the fraction
/// of x in the place of a mantissa is the chord. Some more for the rounding of x.
float exp2_bound(float x) {
  constexpr float kOne = 0x1p23f;  // an exponent's step in the bits of a float
  constexpr float kSlack = 0x1p-10f;
  const float clamped = x > -126.0f ? x : -126.0f;
  return std::bit_cast<float>(static_cast<int32_t>((clamped + (127.0f + kSlack)) * kOne));
}

/// The race of all tokens that pass min_p.
int32_t race_all(std::span<const float> logits, float max, const SampleRow& row) {
  const auto scale = static_cast<float>(std::numbers::log2e / row.temperature);
  double best = std::numeric_limits<double>::infinity();
  int32_t winner = -1;
  for (size_t begin = 0; begin < logits.size(); begin += kTokensPerChunk) {
    const size_t end = std::min(begin + kTokensPerChunk, logits.size());
    std::array<float, kTokensPerChunk> bounds;
    for (size_t i = begin; i < end; ++i) bounds[i - begin] = exp2_bound((logits[i] - max) * scale);
    std::fill(bounds.begin() + static_cast<ptrdiff_t>(end - begin), bounds.end(), 0.0f);
    for (size_t first = begin; first < end; first += 4) {
      const float* const four = bounds.data() + (first - begin);
      if (std::max({four[0], four[1], four[2], four[3]}) < row.min_p) continue;
      const std::array<double, 4> uniforms =
          ops::race_uniforms(row.rng, static_cast<int32_t>(first));
      for (size_t i = first; i < std::min(first + 4, end); ++i) {
        const double uniform = uniforms[i - first];
        const double bound = four[i - first];
        if (bound < row.min_p || 1 - uniform > best * bound) continue;
        const double weight = row.weight(logits[i], max);
        if (!row.admits(weight)) continue;
        const double time = -std::log(uniform) / weight;
        if (time < best || winner < 0) {  // among equals the lower token came first
          best = time;
          winner = static_cast<int32_t>(i);
        }
      }
    }
  }
  return winner;
}

/// Weights grow with logits, so the best that pass min_p are among the best.
int32_t choose_from_top_k(std::span<const float> logits, float max, const SampleRow& row) {
  std::array<float, kMaxTopK> scores;
  std::array<int32_t, kMaxTopK> tokens;
  ops::BestScores top{std::span(scores).first(row.top_k), std::span(tokens).first(row.top_k)};
  for (size_t i = 0; i < logits.size(); ++i) top.offer(logits[i], static_cast<int32_t>(i));
  std::array<Candidate, kMaxTopK> candidates;
  size_t count = 0;
  for (size_t i = 0; i < top.count(); ++i) {
    const double weight = row.weight(scores[i], max);
    if (row.admits(weight)) candidates[count++] = {weight, scores[i], tokens[i]};
  }
  const std::span<Candidate> kept = std::span(candidates).first(count);
  std::ranges::sort(kept, {}, &Candidate::token);
  return ops::choose_candidate(kept, row);
}

int32_t choose(std::span<const float> logits, float max, const SampleRow& row,
               std::span<Candidate> memory) {
  if (row.temperature < kColdest) return ops::sample_row(logits, max, row, memory);
  if (row.top_k > 0 && row.top_k <= kMaxTopK) return choose_from_top_k(logits, max, row);
  const bool keeps_all = (row.top_k == 0 || row.top_k >= logits.size()) && row.top_p >= 1;
  if (keeps_all) return race_all(logits, max, row);
  return ops::sample_row(logits, max, row, memory);
}

}  // namespace

size_t sample_workspace_bytes(const ops::OpCall& call, int num_threads) {
  return ops::op_def(ops::Op::sample).workspace_bytes(call, num_threads);
}

void sample(ops::OpContext& context, const ops::SampleArgs& a) noexcept {
  const auto vocab_size = static_cast<size_t>(a.logits.shape[1]);
  auto* const memory = reinterpret_cast<Candidate*>(context.workspace.data());
  ops::for_each_row(context, a.logits.shape[0], [&](int64_t r, int thread_idx) {
    const std::span<const float> logits(a.logits.row<const float>(r), vocab_size);
    const SampleRow row = SampleRow::of(a, r);
    const auto [outcome, largest] = ops::find_largest(logits);
    const bool is_chosen = outcome == ops::SampleOutcome::chosen;
    a.outcomes.as<int32_t>()[r] = static_cast<int32_t>(outcome);
    int32_t token = is_chosen ? static_cast<int32_t>(largest) : 0;
    if (is_chosen && row.temperature > 0)
      token = choose(logits, logits[largest], row,
                     {memory + static_cast<size_t>(thread_idx) * vocab_size, vocab_size});
    a.tokens.as<int32_t>()[r] = token;
  });
}

}  // namespace veloz::cpu
