// SPDX-License-Identifier: Apache-2.0
#include "ops/beam_candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "ops/rows.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("beam_candidates", signature, {"logprobs", "beam_scores", "group_starts"},
                       {"k"});
  const ValueType& logprobs = rule.expect_logits(0);
  rule.expect_type(1, {DType::fp32, {logprobs.dims[0]}}, "one per row of logprobs");
  const ValueType& starts = rule.expect_list(2, DType::int32);
  if (!starts.dims[0].is_constant() || starts.dims[0].value < 1)
    rule.fail_operand(2, "a constant number of starts, and the end");
  const Dim groups = starts.dims[0].value - 1;
  const Dim& rows = logprobs.dims[0];
  constexpr int64_t kMaxScores = std::numeric_limits<int32_t>::max();
  if (!rows.is_constant() || rows.value > kMaxScores / logprobs.dims[1].value)
    rule.fail_operand(0, "a constant number of rows, at most 2^31 elements");
  const Dim k = rule.int_attr("k", 1, int64_t{1} << 20);
  return {{DType::fp32, {groups, k}},
          {DType::int32, {groups, k}},
          {DType::int32, {groups, k}},
          {DType::int32, {groups}}};
}

Cost cost(const OpCall& call) {
  return {.flops = static_cast<double>(call.inputs[0].shape.num_elements()),
          .bytes = operand_bytes(call)};
}

/// Flat indices row * V + token stand in `tokens` until they are split.
void choose_candidates(const BeamCandidatesArgs& a, int64_t group) {
  const auto k = static_cast<size_t>(a.scores.shape[1]);
  const auto vocab_size = static_cast<int32_t>(a.logprobs.shape[1]);
  const int32_t begin = a.group_starts.as<const int32_t>()[group];
  const int32_t end = a.group_starts.as<const int32_t>()[group + 1];
  const std::span<float> scores(a.scores.row<float>(group), k);
  const std::span<int32_t> beams(a.beams.row<int32_t>(group), k);
  const std::span<int32_t> tokens(a.tokens.row<int32_t>(group), k);

  BestScores best(scores, tokens);
  bool is_nan = false;
  for (int32_t row = begin; row < end; ++row) {
    const float beam_score = a.beam_scores.as<const float>()[row];
    const float* const logprobs = a.logprobs.row<const float>(row);
    for (int32_t token = 0; token < vocab_size; ++token) {
      const float score = beam_score + logprobs[token];
      is_nan |= std::isnan(score);
      if (score > kNone) best.offer(score, (row - begin) * vocab_size + token);
    }
  }
  a.is_valid.as<int32_t>()[group] = is_nan ? 0 : 1;
  std::fill(scores.begin() + static_cast<ptrdiff_t>(best.count()), scores.end(), kNone);
  for (size_t i = 0; i < k; ++i) {
    const bool is_none = i >= best.count();
    beams[i] = is_none ? -1 : tokens[i] / vocab_size;
    tokens[i] = is_none ? -1 : tokens[i] % vocab_size;
  }
}

void reference(OpContext& context, const OpCall& call) noexcept {
  const BeamCandidatesArgs a = BeamCandidatesArgs::from(call);
  for_each_row(context, a.is_valid.shape[0],
               [&](int64_t group, int) { choose_candidates(a, group); });
}

}  // namespace

BeamCandidatesArgs BeamCandidatesArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 3 && call.outputs.size() == 4,
               "beam_candidates of {} operands", call.inputs.size());
  return {.logprobs = call.inputs[0],
          .beam_scores = call.inputs[1],
          .group_starts = call.inputs[2],
          .scores = call.outputs[0],
          .beams = call.outputs[1],
          .tokens = call.outputs[2],
          .is_valid = call.outputs[3]};
}

OpDef beam_candidates_def() {
  return {.op = Op::beam_candidates,
          .name = "beam_candidates",
          .infer = infer,
          .cost = cost,
          .reference = reference,
          .stands_in_graphs = false};
}

}  // namespace veloz::ops
