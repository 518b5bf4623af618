// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// feed_tokens(tokens, sampled, feeds) -> tokens, in place.
///
/// Puts what the step before sampled into the next step's batch: tokens[feeds[f, 0]] =
/// sampled[feeds[f, 1]]. So the step can be enqueued while nobody but the device knows the token.
///
/// tokens   [T] int32
/// sampled  [R] int32
/// feeds    [F, 2] int32: an index in [0, T), each at most once, and one in [0, R)
struct FeedTokensArgs {
  TensorView tokens;
  TensorView sampled;
  TensorView feeds;

  static FeedTokensArgs from(const OpCall& call);
};

OpDef feed_tokens_def();

}  // namespace veloz::ops
