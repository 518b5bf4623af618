// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/op.h"

namespace veloz::ops {

/// gather_rows(x, rows) -> y: y[r] = x[rows[r]].   x [T, D] fp32 or bf16; rows [R] int32 in [0, T);
/// y [R, D].
struct GatherRowsArgs {
  TensorView x;
  TensorView rows;
  TensorView y;

  static GatherRowsArgs from(const OpCall& call);
};

/// embedding(tokens, table) -> y: y[t] = table[tokens[t]].   tokens [T] int32 in [0, V); table [V,
/// D] fp32 or bf16 in the kernel's layout (a tied table is stored once, packed for `linear`); y [T,
/// D].
struct EmbeddingArgs {
  TensorView tokens;
  TensorView table;
  TensorView y;

  static EmbeddingArgs from(const OpCall& call);
};

/// permute_columns(x, p) -> y: y[t,k] = x[t,p[k]].   x [T, K] fp32 or bf16, rows may be strided; p
/// [K] int32, the order in which a quantized weight has its columns; y [T, K], shares no memory
/// with x. An index outside [0, K) gives NaN.
struct PermuteColumnsArgs {
  TensorView x;
  TensorView p;
  TensorView y;

  static PermuteColumnsArgs from(const OpCall& call);
};

OpDef gather_rows_def();
OpDef permute_columns_def();
OpDef embedding_def();

}  // namespace veloz::ops
