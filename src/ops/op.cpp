// SPDX-License-Identifier: Apache-2.0
#include "ops/op.h"

#include <array>

#include "ops/activation.h"
#include "ops/apply_bitmask.h"
#include "ops/attention.h"
#include "ops/beam_candidates.h"
#include "ops/elementwise.h"
#include "ops/feed_tokens.h"
#include "ops/gather.h"
#include "ops/linear.h"
#include "ops/logprobs.h"
#include "ops/mask_logits.h"
#include "ops/norm.h"
#include "ops/penalize.h"
#include "ops/quantize.h"
#include "ops/quantized_linear.h"
#include "ops/rope.h"
#include "ops/rope_append.h"
#include "ops/sample.h"

namespace veloz::ops {

std::span<const OpDef> op_defs() {
  // In the order of Op.
  static const std::array kDefs = {
      add_def(),           add_layer_norm_def(),
      add_rms_norm_def(),  act_def(),
      apply_bitmask_def(), beam_candidates_def(),
      embedding_def(),     feed_tokens_def(),
      gated_act_def(),     gather_rows_def(),
      kv_append_def(),     layer_norm_def(),
      linear_def(),        log_softmax_def(),
      mask_logits_def(),   paged_attention_def(),
      penalize_def(),      permute_columns_def(),
      quantize_def(),      quantized_linear_def(),
      rms_norm_def(),      rope_def(),
      rope_angles_def(),   rope_append_def(),
      sample_def(),        slice_def(),
      top_logprobs_def(),  weight_only_linear_def(),
  };
  return kDefs;
}

std::optional<PackedOperands> packed_operands(Op op, const Attrs& attrs) {
  const size_t num_zeros = attrs.contains("zeros") ? 1 : 0;
  switch (op) {
    case Op::embedding:
    case Op::linear:
      return PackedOperands{.weight = 1, .companions_end = 2};
    case Op::weight_only_linear:
      return PackedOperands{.weight = 1, .companions_end = 3 + num_zeros};
    case Op::quantized_linear:
      return PackedOperands{.weight = 2, .companions_end = 4 + num_zeros};
    default:
      return std::nullopt;
  }
}

const OpDef& op_def(Op op) { return op_defs()[static_cast<size_t>(op)]; }

std::optional<Op> try_parse_op(std::string_view name) {
  for (const OpDef& def : op_defs())
    if (def.name == name && def.stands_in_graphs) return def.op;
  return std::nullopt;
}

}  // namespace veloz::ops
