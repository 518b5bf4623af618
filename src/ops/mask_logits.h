// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// mask_logits(logits, offsets, tokens, biases, banned) -> logits, in place.
///
/// Adds a bias to single tokens of single rows, and bans tokens: for j in [offsets[r],
/// offsets[r+1]) logits[r, tokens[j]] += biases[j], or becomes -inf where the bias is -inf,
/// whatever it was. The ids in `banned` become -inf in every row. Logit bias, minimum lengths,
/// repeated n-grams and ids without a token are all this one op.
///
/// logits   [R, V] fp32
/// offsets  [R + 1] int32, ascending from 0
/// tokens   [H] int32 in [0, V); within a row a token has at most one finite bias; H may be 0
/// biases   [H] fp32, finite or -inf
/// banned   [P] int32 in [0, V), of all rows; P may be 0
struct MaskLogitsArgs {
  TensorView logits;
  TensorView offsets;
  TensorView tokens;
  TensorView biases;
  TensorView banned;

  static MaskLogitsArgs from(const OpCall& call);
};

OpDef mask_logits_def();

}  // namespace veloz::ops
