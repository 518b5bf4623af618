// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "ops/op.h"

namespace veloz::ops {

/// Of a row: a token was chosen, or why not. A NaN outweighs an infinity.
enum class SampleOutcome : int32_t { chosen, nan_logits, infinite_logits, all_banned };

/// sample(logits, params, top_k, rng) -> tokens, outcomes: one token per row, which depends on that
/// row alone.
///
/// Temperature 0 takes the largest logit, the lowest id among equals. Otherwise weights are
/// exp((logit - max) / temperature), and filters apply in this order (vLLM's):
///   min_p  drops weights below min_p times the largest
///   top_k  keeps the k largest of the rest; 0: all
///   top_p  keeps the fewest largest whose share of the rest's sum reaches top_p
/// A tie at a filter's edge goes to the lower id. Then an exponential race chooses: the token with
/// the least -ln(u) / weight wins, u the token's own uniform number (`race_uniform`). That is
/// sampling in proportion to the weights, and needs no sorted or summed probabilities, so devices
/// agree.
///
/// logits    [R, V] fp32; -inf: cannot be chosen
/// params    [R, 3] fp32: temperature >= 0, top_p in (0, 1], min_p in [0, 1)
/// top_k     [R] int32 >= 0
/// rng       [R, 5] int32, bits of five words: seed low, seed high, choice, position, draw
/// tokens    [R] int32
/// outcomes  [R] int32, of SampleOutcome: where no token could be chosen the row's is 0
struct SampleArgs {
  TensorView logits;
  TensorView params;
  TensorView top_k;
  TensorView rng;
  TensorView tokens;
  TensorView outcomes;

  static SampleArgs from(const OpCall& call);
};

// One row, piece by piece: what kernels that choose faster share with the reference.

/// A token that may still be chosen.
struct Candidate {
  double weight;
  float logit;
  int32_t token;
};

/// The parameters of one row.
struct SampleRow {
  double temperature;
  double top_p;
  double min_p;
  size_t top_k;
  std::array<uint32_t, 5> rng;

  static SampleRow of(const SampleArgs& args, int64_t row);
  /// Of a token, `max` being the row's largest logit; temperature > 0.
  double weight(float logit, float max) const;
  /// Whether a token of this weight passes min_p.
  bool admits(double weight) const { return weight > 0 && weight >= min_p; }
};

/// The first of the largest logits of a row; `index` means nothing where none can be chosen.
struct LargestLogit {
  SampleOutcome outcome = SampleOutcome::chosen;
  size_t index = 0;
};
LargestLogit find_largest(std::span<const float> logits);
/// For temperature > 0; `memory` holds as many candidates as there are logits.
int32_t sample_row(std::span<const float> logits, float max, const SampleRow& row,
                   std::span<Candidate> memory);
/// What follows top_k: top_p, then the race. Candidates come in ascending order of token and are
/// put in another.
int32_t choose_candidate(std::span<Candidate> candidates, const SampleRow& row);

/// The uniform number in (0, 1) of a token in the race of a row: 32 bits of Philox with the seed as
/// key and (choice, position, draw, token / 4) as counter, word token % 4.
double race_uniform(const std::array<uint32_t, 5>& rng, int32_t token);
/// Those of the four tokens from `first`, a multiple of four, on.
std::array<double, 4> race_uniforms(const std::array<uint32_t, 5>& rng, int32_t first);

OpDef sample_def();

}  // namespace veloz::ops
