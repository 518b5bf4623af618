// SPDX-License-Identifier: Apache-2.0
#include "runtime/token_scores.h"

#include <array>

#include "base/numeric.h"
#include "ops/attrs.h"

namespace veloz::runtime {

TokenScores::TokenScores(StepRunner& runner, int64_t max_rows, int64_t max_top)
    : runner_(runner),
      logprobs_(runner, max_rows),
      ranks_(runner, max_rows),
      top_logprobs_(runner, max_rows * max_top),
      top_tokens_(runner, max_rows * max_top) {}

void TokenScores::run(const TensorView& logits, const TensorView& tokens, int64_t num_top) {
  const int64_t num_rows = logits.shape[0];
  num_top_ = narrow<size_t>(num_top);
  runner_.run_op(
      ops::Op::top_logprobs, std::array{logits, tokens},
      std::array{logprobs_.view({num_rows}), ranks_.view({num_rows}),
                 top_logprobs_.view({num_rows, num_top}), top_tokens_.view({num_rows, num_top})},
      {{"k", num_top}});
  logprobs_.download({num_rows});
  ranks_.download({num_rows});
  top_logprobs_.download({num_rows, num_top});
  top_tokens_.download({num_rows, num_top});
}

SampledToken TokenScores::of(size_t row, int32_t token, int64_t num_wanted) const {
  SampledToken scored{
      .token = token, .logprob = logprobs_.host[row], .rank = ranks_.host[row], .top = {}};
  const size_t first = row * num_top_;
  for (int32_t rank = 1; rank <= num_wanted; ++rank) {
    const size_t j = first + static_cast<size_t>(rank - 1);
    scored.top.push_back({top_tokens_.host[j], top_logprobs_.host[j], rank});
  }
  return scored;
}

}  // namespace veloz::runtime
