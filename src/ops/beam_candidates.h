// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// beam_candidates(logprobs, beam_scores, group_starts) {k} -> scores, beams, tokens, is_valid
///
/// The k best continuations of each group of beams: beam_scores[r] + logprobs[r, token], added in
/// fp32, over all rows r of the group and all tokens, best first; among equals the lower row, then
/// the lower token. In Hugging Face's beam search penalties and masks change the log-probabilities
/// before: log_softmax, penalize, mask_logits, beam_candidates.
///
/// logprobs      [R, V] fp32
/// beam_scores   [R] fp32
/// group_starts  [G + 1] int32, ascending from 0 to R: rows of group g begin at group_starts[g]
/// scores        [G, k] fp32, -inf where there are fewer continuations
/// beams         [G, k] int32, row within the group, and
/// tokens        [G, k] int32; both -1 there
/// is_valid      [G] int32, 0 where a log-probability of the group is NaN: the rest means nothing
/// then
struct BeamCandidatesArgs {
  TensorView logprobs;
  TensorView beam_scores;
  TensorView group_starts;
  TensorView scores;
  TensorView beams;
  TensorView tokens;
  TensorView is_valid;

  static BeamCandidatesArgs from(const OpCall& call);
};

OpDef beam_candidates_def();

}  // namespace veloz::ops
