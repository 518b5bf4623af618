// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/tensor_view.h"
#include "runtime/device_list.h"
#include "runtime/sampler.h"
#include "runtime/step_runner.h"

namespace veloz::runtime {

/// Log-probability and rank of one token per row of logits, and the row's likeliest (op
/// top_logprobs), in buffers allocated once.
class TokenScores {
 public:
  TokenScores(StepRunner& runner, int64_t max_rows, int64_t max_top);

  /// logits [R, V], tokens [R] int32, both in device memory; `num_top` likeliest per row. Enqueued:
  /// read after the stream's next synchronize.
  void run(const TensorView& logits, const TensorView& tokens, int64_t num_top);

  float logprob(size_t row) const { return logprobs_.host[row]; }
  /// `token` is the row's, with as many of its likeliest as are wanted, at most num_top.
  SampledToken of(size_t row, int32_t token, int64_t num_wanted) const;

 private:
  StepRunner& runner_;
  size_t num_top_ = 0;
  DeviceList<float> logprobs_;      // [R]
  DeviceList<int32_t> ranks_;       // [R]
  DeviceList<float> top_logprobs_;  // [R, num_top]
  DeviceList<int32_t> top_tokens_;  // [R, num_top]
};

}  // namespace veloz::runtime
