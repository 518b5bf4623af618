// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ops/op.h"

namespace veloz::ops {

class ShapeRule;

/// Reads of the cache never look past these, whatever is in the step.
inline constexpr int64_t kAttentionLeaf = 256;  // positions of one leaf of the reduction tree
inline constexpr int64_t kAttentionFanIn = 8;   // leaves, then groups, folded together in order

/// kv_append(cache, k, v, slots) {num_kv_heads, head_dim, k_scale, v_scale} -> cache
///
/// Writes row t of k and v into slot slots[t] of the cache, in the cache's dtype.
/// cache  [N, 2, num_kv_heads, block_size, head_dim] fp32, bf16 or fp8_e4m3, or
///        [N, 2, num_kv_heads, block_size, head_dim + 4] int8 (ops/kv_layout.h)
/// k, v   [T, num_kv_heads * head_dim] fp32 or bf16, rows may be strided
/// slots  [T] int64 in [0, N * block_size), distinct
///
/// fp32 and bf16 are rounded to nearest even. fp8_e4m3 holds codes of x / k_scale and x / v_scale
/// (attributes above 0, 1 where absent), saturated and rounded as `quantize` does with a fixed
/// scale; NaN stays NaN. int8 holds what `quantize` makes of each head of each row: codes and, as
/// the row's last four bytes, their scale.
struct KvAppendArgs {
  TensorView cache;
  TensorView k;
  TensorView v;
  TensorView slots;
  float k_scale = 1;
  float v_scale = 1;

  static KvAppendArgs from(const OpCall& call);
};

/// The attribute k_scale or v_scale, 1 where it is absent.
float kv_scale(const OpCall& call, std::string_view name);
/// The attribute head_dim, even.
int64_t even_head_dim(const ShapeRule& rule);
/// The cache operand against the attributes; its block count may be symbolic.
const ValueType& expect_cache(const ShapeRule& rule, size_t operand, int64_t num_kv_heads,
                              int64_t head_dim, const Attrs& attrs);
/// The plain implementation of `kv_append`.
void kv_append_reference(const KvAppendArgs& args);
/// What the keys and values of so many tokens take in a cache.
double kv_token_bytes(const TensorView& cache, int64_t num_tokens);

/// Causal attention of this step's tokens over their sequences' cached positions, those of this
/// step (already appended) included. Grouped-query: q head h reads kv head h / (num_heads /
/// num_kv_heads).
///
/// paged_attention(q, cache, q_starts, q_lens, kv_lens, block_tables) {num_heads, num_kv_heads,
/// head_dim, scale, k_scale, v_scale}
///   -> y
/// q, y          [T, num_heads * head_dim] fp32 or bf16, q's rows may be strided
/// cache         as for kv_append, with the same scales: what attention reads is what it holds,
///               for this step's tokens too
/// q_starts      [S] int32, first row of sequence s in q
/// q_lens        [S] int32, its rows >= 1; row i of a sequence sits at position kv_len - q_len + i
/// and sees the
///               positions up to its own
/// kv_lens       [S] int32, positions in the cache, this step's included
/// block_tables  [S, B] int32, block of positions [b * block_size, (b+1) * block_size)
///
/// A back end's fast kernels fold over KV positions in one tree whatever the step looks like, so a
/// token's result does not depend on the batch or on how its prompt was cut into chunks. On the
/// CPU: leaves of kAttentionLeaf positions, softmax rescaled per leaf, leaves folded in order in
/// groups of kAttentionFanIn, groups folded in order. On CUDA: cuda/attention_plan.h.
struct PagedAttentionArgs {
  TensorView q;
  TensorView cache;
  TensorView q_starts;
  TensorView q_lens;
  TensorView kv_lens;
  TensorView block_tables;
  TensorView y;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0;
  float k_scale = 1;
  float v_scale = 1;

  static PagedAttentionArgs from(const OpCall& call);
};

/// Work of one paged_attention whose sequences have these rows and positions. The op's own cost
/// sees shapes alone and takes every sequence for as long as its block table can hold.
Cost paged_attention_cost(const OpCall& call, std::span<const int32_t> q_lens,
                          std::span<const int32_t> kv_lens);

OpDef kv_append_def();
OpDef paged_attention_def();

}  // namespace veloz::ops
