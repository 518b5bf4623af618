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

/// Joins the q, k and v projections of one attention into one `linear` on stacked weights.
///   before  %q = linear(%x, @q)     after  %qkv = linear(%x, @qkv)   with @qkv = rows of @q, @k,
///   @v
///           %k = linear(%x, @k)            %q = slice(%qkv) {begin=0, end=...}
///           %v = linear(%x, @v)            ...
/// Valid: each output channel is its own sum over K, in the same order. No rounding moves.
/// Blocked (each a remark): different inputs; a bias on some only; a weight with another reader; a
/// projection that is a graph output.
PassReport fuse_qkv(graph::Graph& graph, const PassContext& context);

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
