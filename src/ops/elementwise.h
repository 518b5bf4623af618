// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// add(a, b) -> y: y = a + b in fp32, rounded once. [T, D] fp32 or bf16; y may be a or b.
struct AddArgs {
  TensorView a;
  TensorView b;
  TensorView y;

  static AddArgs from(const OpCall& call);
};

/// slice(x) {begin, end} -> y: columns [begin, end) of x [T, C], fp32 or bf16. Only a view:
/// lowering gives y a slot inside x's, and nothing runs.
OpDef slice_def();
OpDef add_def();

}  // namespace veloz::ops
