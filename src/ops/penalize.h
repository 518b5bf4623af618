// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// penalize(logits, params, offsets, tokens, counts) -> logits, in place.
///
/// Makes tokens that a sequence has seen less (or more) likely. Of row r, for j in [offsets[r],
/// offsets[r+1]), with x = logits[r, tokens[j]] and the row's three params:
///   x = x < 0 ? x * repetition : x / repetition     (arXiv:1909.05858, as Hugging Face does it)
///   x = x - frequency * counts[j] - (counts[j] > 0 ? presence : 0)      (as OpenAI defines them)
///
/// logits   [R, V] fp32; in beam search these are log-probabilities
/// params   [R, 3] fp32: repetition > 0, presence, frequency; 1, 0, 0 changes nothing
/// offsets  [R + 1] int32, ascending from 0
/// tokens   [H] int32, each row's distinct tokens of prompt and output, in [0, V); H may be 0
/// counts   [H] int32, how often the token stands in the output; 0: in the prompt only
struct PenalizeArgs {
  TensorView logits;
  TensorView params;
  TensorView offsets;
  TensorView tokens;
  TensorView counts;

  static PenalizeArgs from(const OpCall& call);
};

OpDef penalize_def();

}  // namespace veloz::ops
