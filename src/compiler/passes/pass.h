// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/quantization.h"
#include "graph/graph.h"

namespace veloz::compiler {

/// What one pass did.
struct PassReport {
  int64_t num_rewrites = 0;
  std::vector<std::string> remarks;  // what was joined, what was left as it is, and why
};

/// Settings every pass sees.
struct PassContext {
  const checkpoint::QuantPlan* quantization = nullptr;  // null: nothing is quantized
};

/// A rewrite of the graph, in place. A second run changes nothing.
using Pass = PassReport (*)(graph::Graph& graph, const PassContext& context);

/// Drops what nobody reads and computes equal things once: nodes with the same op, operands and
/// attributes are merged, a slice of all columns is its operand. Valid: ops are pure; nodes that
/// thread a state are never merged. No rounding moves.
PassReport canonicalise(graph::Graph& graph, const PassContext& context);

/// Turns each `linear` whose weight is the tensor `M.weight` of a module M in the plan into what
/// runs on the plan's codes. Weight-only:
///   before  %y = linear(%x, @w, @b)   after  %y = weight_only_linear(%x, @w, @w.scale, @b)
/// and where the activations are quantized too (once for all readers of %x that want the same):
///   after  %x.codes, %x.scales = quantize(%x) {format="int8"}
///          %y = quantized_linear(%x.codes, %x.scales, @w, @w.scale, @b) {out="bf16"}
/// @w has the codes' dtype and shape then and, as its scales and zeros, segments under the names of
/// checkpoint/quantization.h. With a permutation of the columns (GPTQ's act-order) %x goes through
/// `permute_columns` first. A weight that an `embedding` reads too stays for it; the linear gets a
/// second one, whose module is "lm_head".
/// Valid where the plan is: it says what these weights mean. Rounding: that of the plan.
/// Left alone (each a remark): modules the plan does not name; a weight that is several tensors; a
/// scheme that no op runs on this shape.
PassReport quantize(graph::Graph& graph, const PassContext& context);

/// Joins the q, k and v projections of one attention into one linear on stacked weights, quantized
/// or not.
///   before  %q = linear(%x, @q)     after  %qkv = linear(%x, @qkv)   with @qkv = rows of @q, @k,
///   @v
///           %k = linear(%x, @k)            %q = slice(%qkv) {begin=0, end=...}
///           %v = linear(%x, @v)            ...
/// Valid: each output channel is its own sum over K, in the same order. No rounding moves.
/// Blocked (each a remark): different inputs; another scheme; a bias on some only; a weight with
/// another reader; a projection that is a graph output.
PassReport fuse_qkv(graph::Graph& graph, const PassContext& context);

/// Rotates q and k and writes k and v into the cache in one go, from the joined projection.
///   before  %q, %k, %v = slices of %qkv
///           %qr = rope(%q, %a) {num_heads=4, ...}
///           %kr = rope(%k, %a) {num_heads=2, ...}
///           %kv1 = kv_append(%kv, %kr, %v, %slots) {num_kv_heads=2, ...}
///   after   %kv1, %qr = rope_append(%kv, %qkv, %a, %slots) {num_heads=4, num_kv_heads=2, ...}
/// Valid: it is those three ops by definition. No rounding moves.
/// Blocked (each a remark): keys that are not rotated or have another reader; columns of several
/// matrices or in another order; queries rotated by other angles or in another style, or read
/// before the cache is written.
PassReport fuse_rope_append(graph::Graph& graph, const PassContext& context);

/// Joins the gate and up projections of a gated MLP, as fuse_qkv does.
PassReport fuse_gate_up(graph::Graph& graph, const PassContext& context);

/// Joins a residual addition with the norm that reads its sum.
///   before  %s = add(%x, %d)               after  %s, %n = add_rms_norm(%x, %d, @g) {eps=...}
///           %n = rms_norm(%s, @g) {eps=...}
/// Valid: the fused op norms the rounded sum; other readers of %s still find it. No rounding moves.
/// Blocked (each a remark): the norm's input is not a sum; a second norm of the same sum.
PassReport fuse_add_norm(graph::Graph& graph, const PassContext& context);

/// Lets a norm or an activation quantize its output itself.
///   before  %n = rms_norm(%x, @g) {eps=...}      after  %c, %s = rms_norm(%x, @g)
///           %c, %s = quantize(%n) {format=...}                   {eps=..., quantize=...}
/// Valid: the fused op rounds its output to its dtype before it quantizes it. No rounding moves.
/// Blocked (each a remark): the input is neither; it has another reader or is a graph output.
PassReport fuse_quantize(graph::Graph& graph, const PassContext& context);

}  // namespace veloz::compiler
