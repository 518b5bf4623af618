// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/tensor_view.h"
#include "ops/attrs.h"
#include "ops/type.h"

namespace veloz::ops {

struct OpContext;

/// Every op of a graph. What is true of an op on any device stands in `ops/<op>.{h,cpp}`.
enum class Op : uint8_t {
  add,
  add_layer_norm,
  add_rms_norm,
  act,
  apply_bitmask,
  beam_candidates,
  embedding,
  feed_tokens,
  gated_act,
  gather_rows,
  kv_append,
  layer_norm,
  linear,
  log_softmax,
  mask_logits,
  paged_attention,
  penalize,
  permute_columns,
  quantize,
  quantized_linear,
  rms_norm,
  rope,
  rope_angles,
  rope_append,
  sample,
  slice,
  top_logprobs,
  weight_only_linear,
};

/// Types and constants of one node, as shape rules see it.
struct OpSignature {
  std::span<const ValueType> inputs;
  const Attrs& attrs;
};

/// Operands of one execution. An output may share memory with an input only where the op's header
/// says so. A weight operand has its logical shape; its bytes are in the layout of the kernel that
/// runs.
struct OpCall {
  std::span<const TensorView> inputs;
  std::span<const TensorView> outputs;
  const Attrs& attrs;
};

/// Work of one execution, for the roofline and the planner.
struct Cost {
  double flops = 0;  // multiply and add count as two
  double bytes = 0;  // each operand element that must move, once
};

/// What holds for an op on every device.
struct OpDef {
  Op op;
  std::string_view name;
  /// Types of the outputs. Throws Error(corrupt_data) that says which operand is wrong and why.
  std::vector<ValueType> (*infer)(const OpSignature&);
  Cost (*cost)(const OpCall&);
  /// The plain implementation: the oracle of tests and of `veloz verify`. Weights in layout
  /// "plain". Absent only for `slice`, which is a view and never runs.
  void (*reference)(OpContext&, const OpCall&) noexcept;
  /// How far from the reference's element [row, column] of `output` a kernel may be. `call` holds
  /// the inputs, weights in layout "plain", and the reference's outputs. Null where outputs are
  /// exact, bit for bit.
  double (*tolerance)(const OpCall& call, size_t output, int64_t row, int64_t column) = nullptr;
  /// Scratch bytes of the reference, monotone in every extent; null where none is needed.
  size_t (*workspace_bytes)(const OpCall& call, int num_threads) = nullptr;
  /// Input 0 is a state and output 0 the same state after the op: both share one buffer.
  bool threads_state = false;
  /// False for the ops that run on logits between steps: no graph or plan may name them, as they
  /// trust the contents of their operands.
  bool stands_in_graphs = true;
};

/// Operands whose bytes are in a kernel's layout: the weight, and after it its scales and zeros,
/// which are in the companion of the weight's layout (WeightLayout::companion).
struct PackedOperands {
  size_t weight;
  size_t companions_end;  // one past the last companion; weight + 1 where there are none
};
/// Nothing for ops without a packed weight.
std::optional<PackedOperands> packed_operands(Op op, const Attrs& attrs);

/// All ops, indexed by Op.
std::span<const OpDef> op_defs();
const OpDef& op_def(Op op);
/// Of ops that stand in graphs only.
std::optional<Op> try_parse_op(std::string_view name);

}  // namespace veloz::ops
