// SPDX-License-Identifier: Apache-2.0
#include "ops/op.h"

#include <array>

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/gather.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/rope.h"

namespace veloz::ops {

std::span<const OpDef> op_defs() {
  // In the order of Op.
  static const std::array kDefs = {
      add_def(),        add_layer_norm_def(), add_rms_norm_def(),    act_def(),
      embedding_def(),  gated_act_def(),      gather_rows_def(),     kv_append_def(),
      layer_norm_def(), linear_def(),         paged_attention_def(), rms_norm_def(),
      rope_def(),       rope_angles_def(),    slice_def(),
  };
  return kDefs;
}

const OpDef& op_def(Op op) { return op_defs()[static_cast<size_t>(op)]; }

std::optional<Op> try_parse_op(std::string_view name) {
  for (const OpDef& def : op_defs())
    if (def.name == name) return def.op;
  return std::nullopt;
}

}  // namespace veloz::ops
