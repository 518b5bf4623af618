// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/attention.h"
#include "ops/op.h"
#include "ops/rope.h"

namespace veloz::ops {

/// rope_append(cache, qkv, angles, slots) {num_heads, num_kv_heads, head_dim,
///   style="neox"|"interleaved", k_scale, v_scale} -> cache, q
///
/// What stands between the joined projection of q, k and v and their attention, in one pass over
/// the tokens: `rope` of q, `rope` of k, `kv_append` of that k and of v, bit for bit.
/// cache, angles, slots  as for kv_append and rope
/// qkv  [T, (num_heads + 2 * num_kv_heads) * head_dim] fp32 or bf16: columns of q, of k, of v; rows
///      may be strided
/// q    [T, num_heads * head_dim], rotated
struct RopeAppendArgs {
  RopeArgs q;
  RopeArgs k;           // y is whatever a kernel keeps the rotated k in
  KvAppendArgs append;  // and so is k

  static RopeAppendArgs from(const OpCall& call);
};

OpDef rope_append_def();

}  // namespace veloz::ops
