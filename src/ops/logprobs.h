// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// log_softmax(logits) -> logprobs: (x - max) - log(sum exp(x - max)) of each row, the sum in fp64,
/// the differences in fp32. [R, V] fp32, rows may be strided; logprobs may be logits. A row with
/// NaN or +inf, or of -inf alone, becomes NaN.
struct LogSoftmaxArgs {
  TensorView logits;
  TensorView logprobs;

  static LogSoftmaxArgs from(const OpCall& call);
};

/// top_logprobs(logits, chosen) {k} -> chosen_logprobs, chosen_ranks, top_logprobs, top_tokens
/// What log_softmax gives for the chosen token of each row and for its k likeliest ones, best
/// first, the lower id among equals. The chosen token's rank is how many are as likely or likelier,
/// itself included: 1 for the likeliest.
/// logits           [R, V] fp32
/// chosen           [R] int32 in [0, V)
/// chosen_logprobs  [R] fp32, chosen_ranks [R] int32
/// top_logprobs     [R, k] fp32, top_tokens [R, k] int32; 0 <= k <= V
struct TopLogprobsArgs {
  TensorView logits;
  TensorView chosen;
  TensorView chosen_logprobs;
  TensorView chosen_ranks;
  TensorView top_logprobs;
  TensorView top_tokens;

  static TopLogprobsArgs from(const OpCall& call);
};

OpDef log_softmax_def();
OpDef top_logprobs_def();

}  // namespace veloz::ops
