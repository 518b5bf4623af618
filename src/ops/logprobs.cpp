// SPDX-License-Identifier: Apache-2.0
#include "ops/logprobs.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ops/rows.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::span<const float> logits_row(const TensorView& logits, int64_t r) {
  return {logits.row<const float>(r), static_cast<size_t>(logits.shape[1])};
}

std::vector<ValueType> infer_log_softmax(const OpSignature& signature) {
  const ShapeRule rule("log_softmax", signature, {"logits"}, {});
  return {rule.expect_logits(0)};
}

std::vector<ValueType> infer_top_logprobs(const OpSignature& signature) {
  const ShapeRule rule("top_logprobs", signature, {"logits", "chosen"}, {"k"});
  const ValueType& logits = rule.expect_logits(0);
  const Dim rows = logits.dims[0];
  rule.expect_type(1, {DType::int32, {rows}}, "one per row of logits");
  const Dim k = rule.int_attr("k", 0, logits.dims[1].value);
  return {{DType::fp32, {rows}},
          {DType::int32, {rows}},
          {DType::fp32, {rows, k}},
          {DType::int32, {rows, k}}};
}

Cost cost(const OpCall& call) {
  return {.flops = 4 * static_cast<double>(call.inputs[0].shape.num_elements()),
          .bytes = operand_bytes(call)};
}

void log_softmax_reference(OpContext& context, const OpCall& call) noexcept {
  const LogSoftmaxArgs a = LogSoftmaxArgs::from(call);
  for_each_row(context, a.logits.shape[0], [&](int64_t r, int) {
    const std::span<const float> logits = logits_row(a.logits, r);
    const LogSoftmax normaliser = LogSoftmax::over(logits);
    float* const logprobs = a.logprobs.row<float>(r);
    for (size_t i = 0; i < logits.size(); ++i) logprobs[i] = normaliser.of(logits[i]);
  });
}

/// x - max is exact to half an ulp of itself, log_sum to a few of its own.
double log_softmax_tolerance(const OpCall& call, size_t, int64_t r, int64_t i) {
  const LogSoftmaxArgs a = LogSoftmaxArgs::from(call);
  const double columns = static_cast<double>(a.logits.shape[1]);
  return unit_roundoff(DType::fp32) *
         (4 * std::abs(static_cast<double>(a.logprobs.row<const float>(r)[i])) +
          8 * std::log(columns + 1) + 4 * std::sqrt(columns));
}

void top_logprobs_reference(OpContext& context, const OpCall& call) noexcept {
  const TopLogprobsArgs a = TopLogprobsArgs::from(call);
  const auto k = static_cast<size_t>(a.top_tokens.shape[1]);
  for_each_row(context, a.logits.shape[0], [&](int64_t r, int) {
    const std::span<const float> logits = logits_row(a.logits, r);
    const LogSoftmax normaliser = LogSoftmax::over(logits);
    const int32_t chosen = a.chosen.as<const int32_t>()[r];
    VELOZ_DCHECK(chosen >= 0 && chosen < a.logits.shape[1], "token {}", chosen);
    const float own = logits[static_cast<size_t>(chosen)];
    a.chosen_logprobs.as<float>()[r] = normaliser.of(own);
    a.chosen_ranks.as<int32_t>()[r] = static_cast<int32_t>(
        std::ranges::count_if(logits, [own](float logit) { return logit >= own; }));
    const std::span<float> top(a.top_logprobs.row<float>(r), k);
    BestScores best(top, {a.top_tokens.row<int32_t>(r), k});
    for (size_t i = 0; i < logits.size(); ++i) best.offer(logits[i], static_cast<int32_t>(i));
    for (float& score : top) score = normaliser.of(score);
  });
}

}  // namespace

LogSoftmaxArgs LogSoftmaxArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 1 && call.outputs.size() == 1, "log_softmax of {} operands",
               call.inputs.size());
  return {.logits = call.inputs[0], .logprobs = call.outputs[0]};
}

TopLogprobsArgs TopLogprobsArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 2 && call.outputs.size() == 4, "top_logprobs of {} operands",
               call.inputs.size());
  return {.logits = call.inputs[0],
          .chosen = call.inputs[1],
          .chosen_logprobs = call.outputs[0],
          .chosen_ranks = call.outputs[1],
          .top_logprobs = call.outputs[2],
          .top_tokens = call.outputs[3]};
}

OpDef log_softmax_def() {
  return {.op = Op::log_softmax,
          .name = "log_softmax",
          .infer = infer_log_softmax,
          .cost = cost,
          .reference = log_softmax_reference,
          .tolerance = log_softmax_tolerance,
          .stands_in_graphs = false};
}
OpDef top_logprobs_def() {
  return {.op = Op::top_logprobs,
          .name = "top_logprobs",
          .infer = infer_top_logprobs,
          .cost = cost,
          .reference = top_logprobs_reference,
          .stands_in_graphs = false};
}

}  // namespace veloz::ops
