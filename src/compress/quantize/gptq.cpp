// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/gptq.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/error.h"
#include "compress/quantize/cholesky.h"
#include "compress/quantize/packed_matrix.h"

namespace veloz::compress {
namespace {

constexpr int64_t kColumnBlock = 128;  // columns whose errors are handed on together

/// Column of w that is rounded as the i-th.
std::vector<int64_t> rounding_order(const Matrix& hessian, bool act_order) {
  std::vector<int64_t> order(static_cast<size_t>(hessian.rows));
  std::iota(order.begin(), order.end(), 0);
  if (act_order)
    std::ranges::stable_sort(
        order, [&](int64_t a, int64_t b) { return hessian.row(a)[a] > hessian.row(b)[b]; });
  return order;
}

/// Row i of the result is row_of(i), its columns in `order`.
template <typename RowOf>
Matrix permuted(const Matrix& m, const RowOf& row_of, const std::vector<int64_t>& order,
                ThreadPool& pool) {
  Matrix result(m.rows, m.columns);
  pool.for_range(m.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* const row = m.row(row_of(i));
      for (int64_t k = 0; k < m.columns; ++k) result.row(i)[k] = row[order[static_cast<size_t>(k)]];
    }
  });
  return result;
}

Matrix permute_columns(const Matrix& m, const std::vector<int64_t>& order, ThreadPool& pool) {
  return permuted(
      m, [](int64_t i) { return i; }, order, pool);
}

Matrix permute_both(const Matrix& m, const std::vector<int64_t>& order, ThreadPool& pool) {
  return permuted(
      m, [&](int64_t i) { return order[static_cast<size_t>(i)]; }, order, pool);
}

class Rounding {
 public:
  Rounding(Matrix w, const GptqFactor& factor, const WeightGrids& grids, const WeightFormat& format,
           const Machine& machine)
      : w_(std::move(w)),
        factor_(factor.factor),
        order_(factor.order),
        grids_(grids),
        format_(format),
        group_(w_.columns / grids.groups),
        machine_(machine) {}

  /// Columns in the order of rounding.
  Matrix run() {
    for (int64_t begin = 0; begin < w_.columns; begin += kColumnBlock) {
      const int64_t end = std::min(begin + kColumnBlock, w_.columns);
      Matrix errors(w_.rows, end - begin);
      machine_.pool.for_range(w_.rows, kRowGrain, [&](int64_t first, int64_t last) {
        for (int64_t n = first; n < last; ++n) round_block(n, begin, end, errors.row(n));
      });
      if (end < w_.columns) hand_on(begin, end, errors);
    }
    return std::move(w_);
  }

 private:
  void round_block(int64_t n, int64_t begin, int64_t end, float* errors) {
    float* const row = w_.row(n);
    for (int64_t i = begin; i < end; ++i) {
      const Grid& grid = grids_.row(n)[order_[static_cast<size_t>(i)] / group_];
      const float rounded = round_to_grid(row[i], grid, format_);
      const float* const factor = factor_.row(i);
      const float error = (row[i] - rounded) / factor[i];
      row[i] = rounded;
      errors[i - begin] = error;
      for (int64_t j = i + 1; j < end; ++j) row[j] -= error * factor[j];
    }
  }

  /// w[:, end..] -= errors V[begin..end, end..].
  void hand_on(int64_t begin, int64_t end, const Matrix& errors) {
    const int64_t rest = w_.columns - end;
    Matrix factor(rest, end - begin);  // transposed
    for (int64_t i = begin; i < end; ++i)
      for (int64_t k = 0; k < rest; ++k) factor.row(k)[i - begin] = factor_.row(i)[end + k];
    Matrix shift(w_.rows, rest);
    PackedMatrix(factor.view(), machine_).multiply(errors.view(), {}, shift.view());
    machine_.pool.for_range(w_.rows, kRowGrain, [&](int64_t first, int64_t last) {
      for (int64_t n = first; n < last; ++n)
        for (int64_t k = 0; k < rest; ++k) w_.row(n)[end + k] -= shift.row(n)[k];
    });
  }

  Matrix w_;
  const Matrix& factor_;
  const std::vector<int64_t>& order_;
  const WeightGrids& grids_;
  const WeightFormat& format_;
  const int64_t group_;
  const Machine& machine_;
};

}  // namespace

GptqFactor gptq_factor(const Matrix& hessian, const GptqOptions& options, const Machine& machine) {
  GptqFactor factor{rounding_order(hessian, options.act_order), {}};
  factor.factor = inverse_factor(permute_both(hessian, factor.order, machine.pool), options.damping,
                                 machine.pool);
  return factor;
}

Matrix gptq(const Matrix& w, const GptqFactor& factor, const WeightGrids& grids,
            const WeightFormat& format, const Machine& machine) {
  VELOZ_CHECK(factor.factor.rows == w.columns, "a Hessian of {} columns for a weight of {}",
              factor.factor.rows, w.columns);
  const Matrix permuted =
      Rounding(permute_columns(w, factor.order, machine.pool), factor, grids, format, machine)
          .run();
  Matrix rounded(w.rows, w.columns);
  machine.pool.for_range(w.rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t k = 0; k < w.columns; ++k)
        rounded.row(n)[factor.order[static_cast<size_t>(k)]] = permuted.row(n)[k];
  });
  return rounded;
}

}  // namespace veloz::compress
