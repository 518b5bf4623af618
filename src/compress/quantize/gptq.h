// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "compress/machine.h"
#include "compress/quantize/matrix.h"
#include "compress/quantize/weight_grid.h"

namespace veloz::compress {

struct GptqOptions {
  /// Share of the Hessian's mean diagonal that is added to it.
  double damping = 0.01;
  /// Columns with the largest inputs are rounded first, while there are most others to make up for
  /// them. Groups stay those of the columns as they stand, so nothing is permuted in the result.
  bool act_order = true;
};

/// What one Hessian H = X^T X [K, K] says about rounding any weight that reads X: the order of
/// columns, and how the error of each is spread over those behind it (cholesky.h).
struct GptqFactor {
  std::vector<int64_t> order;  // column that is rounded as the i-th
  Matrix factor;               // [K, K], in that order
};
GptqFactor gptq_factor(const Matrix& hessian, const GptqOptions& options, const Machine& machine);

/// Rounds w [N, K] column by column and lets the columns behind make up for each error
/// (arXiv:2210.17323). Every value of the result lies on its grid.
Matrix gptq(const Matrix& w, const GptqFactor& factor, const WeightGrids& grids,
            const WeightFormat& format, const Machine& machine);

}  // namespace veloz::compress
