// SPDX-License-Identifier: Apache-2.0
#include "ops/mask_logits.h"

#include <limits>

#include "base/error.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

constexpr float kBan = -std::numeric_limits<float>::infinity();

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("mask_logits", signature,
                       {"logits", "offsets", "tokens", "biases", "banned"}, {});
  const ValueType& logits = rule.expect_logits(0);
  rule.expect_offsets(1, logits.dims[0]);
  const ValueType& tokens = rule.expect_list(2, DType::int32);
  rule.expect_type(3, {DType::fp32, tokens.dims}, "one per token");
  rule.expect_list(4, DType::int32);
  return {logits};
}

Cost cost(const OpCall& call) {
  const double entries = static_cast<double>(call.inputs[2].shape[0]);
  const double banned = static_cast<double>(call.inputs[4].shape[0] * call.inputs[0].shape[0]);
  return {.flops = entries, .bytes = 16 * entries + 8 * banned};
}

void reference(OpContext&, const OpCall& call) noexcept {
  const MaskLogitsArgs a = MaskLogitsArgs::from(call);
  const int32_t* const offsets = a.offsets.as<const int32_t>();
  for (int64_t r = 0; r < a.logits.shape[0]; ++r) {
    float* const row = a.logits.row<float>(r);
    for (int32_t j = offsets[r]; j < offsets[r + 1]; ++j) {
      const int32_t token = a.tokens.as<const int32_t>()[j];
      VELOZ_DCHECK(token >= 0 && token < a.logits.shape[1], "token {}", token);
      const float bias = a.biases.as<const float>()[j];
      row[token] = bias == kBan ? kBan : row[token] + bias;
    }
    for (int64_t j = 0; j < a.banned.shape[0]; ++j) {
      const int32_t token = a.banned.as<const int32_t>()[j];
      VELOZ_DCHECK(token >= 0 && token < a.logits.shape[1], "token {}", token);
      row[token] = kBan;
    }
  }
}

}  // namespace

MaskLogitsArgs MaskLogitsArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 5 && call.outputs.size() == 1, "mask_logits of {} operands",
               call.inputs.size());
  return {.logits = call.outputs[0],
          .offsets = call.inputs[1],
          .tokens = call.inputs[2],
          .biases = call.inputs[3],
          .banned = call.inputs[4]};
}

OpDef mask_logits_def() {
  return {.op = Op::mask_logits,
          .name = "mask_logits",
          .infer = infer,
          .cost = cost,
          .reference = reference,
          .threads_state = true,
          .stands_in_graphs = false};
}

}  // namespace veloz::ops
