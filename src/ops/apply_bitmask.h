// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// apply_bitmask(logits, rows, allowed) -> logits, in place.
///
/// Bans all but the allowed tokens of single rows: logits[rows[m], t] becomes -inf, whatever it
/// was, where bit t % 32 of allowed[m, t / 32] is clear. What a grammar allows is given so.
///
/// logits   [R, V] fp32
/// rows     [M] int32 in [0, R), each at most once
/// allowed  [M, ceil(V / 32)] int32, read as unsigned words
struct ApplyBitmaskArgs {
  TensorView logits;
  TensorView rows;
  TensorView allowed;

  static ApplyBitmaskArgs from(const OpCall& call);
};

OpDef apply_bitmask_def();

}  // namespace veloz::ops
