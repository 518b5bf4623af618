// SPDX-License-Identifier: Apache-2.0
#include "ops/apply_bitmask.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/numeric.h"
#include "ops/rows.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

constexpr float kBan = -std::numeric_limits<float>::infinity();
constexpr int64_t kTokensPerWord = 32;

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("apply_bitmask", signature, {"logits", "rows", "allowed"}, {});
  const ValueType& logits = rule.expect_logits(0);
  const ValueType& rows = rule.expect_list(1, DType::int32);
  const int64_t num_words = ceil_div(logits.dims[1].value, kTokensPerWord);
  rule.expect_type(2, {DType::int32, {rows.dims[0], num_words}}, "a bit per token, for each row");
  return {logits};
}

Cost cost(const OpCall& call) {
  const auto num_rows = static_cast<double>(call.inputs[1].shape[0]);
  const auto vocab_size = static_cast<double>(call.inputs[0].shape[1]);
  return {.bytes = num_rows * vocab_size * (sizeof(float) + 1.0 / 8)};
}

void mask_row(std::span<float> logits, const uint32_t* allowed) {
  for (size_t begin = 0; begin < logits.size(); begin += kTokensPerWord) {
    const uint32_t word = allowed[begin / kTokensPerWord];
    const size_t count = std::min<size_t>(kTokensPerWord, logits.size() - begin);
    if (word == 0) {  // most are: a grammar allows few tokens, or almost all
      std::fill_n(logits.begin() + static_cast<ptrdiff_t>(begin), count, kBan);
    } else if (word != ~uint32_t{0}) {
      for (size_t i = 0; i < count; ++i)
        if ((word >> i & 1) == 0) logits[begin + i] = kBan;
    }
  }
}

void reference(OpContext& context, const OpCall& call) noexcept {
  const ApplyBitmaskArgs a = ApplyBitmaskArgs::from(call);
  const auto vocab_size = static_cast<size_t>(a.logits.shape[1]);
  for_each_row(context, a.rows.shape[0], [&](int64_t m, int) {
    const int32_t r = a.rows.as<const int32_t>()[m];
    VELOZ_DCHECK(r >= 0 && r < a.logits.shape[0], "row {}", r);
    mask_row({a.logits.row<float>(r), vocab_size}, a.allowed.row<const uint32_t>(m));
  });
}

}  // namespace

ApplyBitmaskArgs ApplyBitmaskArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 3 && call.outputs.size() == 1, "apply_bitmask of {} operands",
               call.inputs.size());
  return {.logits = call.outputs[0], .rows = call.inputs[1], .allowed = call.inputs[2]};
}

OpDef apply_bitmask_def() {
  return {.op = Op::apply_bitmask,
          .name = "apply_bitmask",
          .infer = infer,
          .cost = cost,
          .reference = reference,
          .threads_state = true,
          .stands_in_graphs = false};
}

}  // namespace veloz::ops
