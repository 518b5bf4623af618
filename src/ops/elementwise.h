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

}  // namespace veloz::ops
