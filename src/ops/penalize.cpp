// SPDX-License-Identifier: Apache-2.0
#include "ops/penalize.h"

#include "base/error.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("penalize", signature, {"logits", "params", "offsets", "tokens", "counts"},
                       {});
  const ValueType& logits = rule.expect_logits(0);
  rule.expect_type(1, {DType::fp32, {logits.dims[0], 3}}, "three per row of logits");
  rule.expect_offsets(2, logits.dims[0]);
  const ValueType& tokens = rule.expect_list(3, DType::int32);
  rule.expect_type(4, tokens, "as tokens");
  return {logits};
}

Cost cost(const OpCall& call) {
  const double entries = static_cast<double>(call.inputs[3].shape[0]);
  return {.flops = 4 * entries, .bytes = 16 * entries};
}

void reference(OpContext&, const OpCall& call) noexcept {
  const PenalizeArgs a = PenalizeArgs::from(call);
  const int32_t* const offsets = a.offsets.as<const int32_t>();
  for (int64_t r = 0; r < a.logits.shape[0]; ++r) {
    const float repetition = a.params.row<const float>(r)[0];
    const float presence = a.params.row<const float>(r)[1];
    const float frequency = a.params.row<const float>(r)[2];
    for (int32_t j = offsets[r]; j < offsets[r + 1]; ++j) {
      const int32_t token = a.tokens.as<const int32_t>()[j];
      VELOZ_DCHECK(token >= 0 && token < a.logits.shape[1], "token {}", token);
      const auto count = static_cast<float>(a.counts.as<const int32_t>()[j]);
      float& x = a.logits.row<float>(r)[token];
      x = x < 0 ? x * repetition : x / repetition;
      x -= frequency * count;
      if (count > 0) x -= presence;
    }
  }
}

}  // namespace

PenalizeArgs PenalizeArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 5 && call.outputs.size() == 1, "penalize of {} operands",
               call.inputs.size());
  return {.logits = call.outputs[0],
          .params = call.inputs[1],
          .offsets = call.inputs[2],
          .tokens = call.inputs[3],
          .counts = call.inputs[4]};
}

OpDef penalize_def() {
  return {.op = Op::penalize,
          .name = "penalize",
          .infer = infer,
          .cost = cost,
          .reference = reference,
          .threads_state = true,
          .stands_in_graphs = false};
}

}  // namespace veloz::ops
