// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <limits>

#include "cuda/cuda_runs.h"

/// Logits for the tests of the ops that work on them.
namespace veloz::cuda {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Logits like a model's: a bell, here and there equal, banned, or a zero of either sign.
inline test::OwnedTensor random_logits(int64_t num_rows, int64_t num_columns, uint64_t seed,
                                       int64_t gap = 0) {
  test::OwnedTensor logits(DType::fp32, {num_rows, num_columns}, num_columns + gap);
  const test::OwnedTensor noise =
      test::random_tensor(DType::fp32, {4, std::max<int64_t>(1, num_rows * num_columns)}, seed);
  const auto draw = [&](int64_t i, int64_t at) { return noise.view().row<const float>(i)[at]; };
  for (int64_t r = 0; r < num_rows; ++r)
    for (int64_t i = 0; i < num_columns; ++i) {
      const int64_t at = r * num_columns + i;
      float logit = 4 * (draw(0, at) + draw(1, at) + draw(2, at));
      if (draw(3, at) > 0.9f) logit = std::round(logit);
      if (draw(3, at) < -0.95f) logit = -kInfinity;
      logits.view().row<float>(r)[i] = logit;
    }
  return logits;
}

}  // namespace veloz::cuda
