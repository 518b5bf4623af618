// SPDX-License-Identifier: Apache-2.0
#include "ops/feed_tokens.h"

#include "base/error.h"
#include "ops/shape_rule.h"

namespace veloz::ops {
namespace {

std::vector<ValueType> infer(const OpSignature& signature) {
  const ShapeRule rule("feed_tokens", signature, {"tokens", "sampled", "feeds"}, {});
  const ValueType& tokens = rule.expect_list(0, DType::int32);
  rule.expect_list(1, DType::int32);
  const ValueType& feeds = rule.type(2);
  const Dim num_feeds = feeds.dims.empty() ? Dim(0) : feeds.dims[0];
  rule.expect_type(2, {DType::int32, {num_feeds, 2}}, "an index of tokens and one of sampled each");
  return {tokens};
}

Cost cost(const OpCall& call) {
  constexpr double kNumbers = 4;  // read and written for each
  return {.bytes = kNumbers * sizeof(int32_t) * static_cast<double>(call.inputs[2].shape[0])};
}

void reference(OpContext&, const OpCall& call) noexcept {
  const FeedTokensArgs a = FeedTokensArgs::from(call);
  for (int64_t f = 0; f < a.feeds.shape[0]; ++f) {
    const int32_t* const feed = a.feeds.row<const int32_t>(f);
    VELOZ_DCHECK(feed[0] >= 0 && feed[0] < a.tokens.shape[0], "token {}", feed[0]);
    VELOZ_DCHECK(feed[1] >= 0 && feed[1] < a.sampled.shape[0], "sampled token {}", feed[1]);
    a.tokens.as<int32_t>()[feed[0]] = a.sampled.as<const int32_t>()[feed[1]];
  }
}

}  // namespace

FeedTokensArgs FeedTokensArgs::from(const OpCall& call) {
  VELOZ_DCHECK(call.inputs.size() == 3 && call.outputs.size() == 1, "feed_tokens of {} operands",
               call.inputs.size());
  return {.tokens = call.outputs[0], .sampled = call.inputs[1], .feeds = call.inputs[2]};
}

OpDef feed_tokens_def() {
  return {.op = Op::feed_tokens,
          .name = "feed_tokens",
          .infer = infer,
          .cost = cost,
          .reference = reference,
          .threads_state = true,
          .stands_in_graphs = false};
}

}  // namespace veloz::ops
