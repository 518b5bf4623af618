// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/cholesky.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/error.h"

namespace veloz::compress {
namespace {

constexpr int64_t kFactorBlock =
    64;  // 64 x 64 doubles: the factor of a block stays in the first cache
constexpr int64_t kTileRows = 4;
constexpr int64_t kTileColumns = 8;  // 4 x 8 doubles: the sixteen SSE registers of any x86-64

/// A window on a row-major matrix of doubles.
struct Window {
  double* data;
  int64_t stride;
  double* row(int64_t i) const { return data + i * stride; }
};

/// c[0..rows, 0..columns] -= a[.., 0..depth] b[0..depth, ..], each element one chain over depth.
void subtract_tile(const Window& c, const Window& a, const Window& b, int64_t rows, int64_t columns,
                   int64_t depth) {
  double sums[kTileRows][kTileColumns] = {};
  if (rows == kTileRows && columns == kTileColumns) {
    for (int64_t p = 0; p < depth; ++p) {
      const double* const b_row = b.row(p);
      for (int64_t i = 0; i < kTileRows; ++i)
        for (int64_t j = 0; j < kTileColumns; ++j) sums[i][j] += a.row(i)[p] * b_row[j];
    }
  } else {
    for (int64_t p = 0; p < depth; ++p)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) sums[i][j] += a.row(i)[p] * b.row(p)[j];
  }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) c.row(i)[j] -= sums[i][j];
}

void subtract_product(const Window& c, const Window& a, const Window& b, int64_t rows,
                      int64_t columns, int64_t depth) {
  for (int64_t j = 0; j < columns; j += kTileColumns)
    for (int64_t i = 0; i < rows; i += kTileRows)
      subtract_tile({c.row(i) + j, c.stride}, {a.row(i), a.stride}, {b.data + j, b.stride},
                    std::min(kTileRows, rows - i), std::min(kTileColumns, columns - j), depth);
}

/// Lower triangular factor of a small positive definite matrix, in place; false where it is none.
bool factor_small(const Window& a, int64_t size) {
  for (int64_t j = 0; j < size; ++j) {
    double pivot = a.row(j)[j];
    for (int64_t p = 0; p < j; ++p) pivot -= a.row(j)[p] * a.row(j)[p];
    if (!(pivot > 0)) return false;
    a.row(j)[j] = std::sqrt(pivot);
    for (int64_t i = j + 1; i < size; ++i) {
      double sum = a.row(i)[j];
      for (int64_t p = 0; p < j; ++p) sum -= a.row(i)[p] * a.row(j)[p];
      a.row(i)[j] = sum / a.row(j)[j];
    }
  }
  return true;
}

/// x L^T = b for one row, in place.
void solve_row(double* b, const Window& l, int64_t size) {
  for (int64_t j = 0; j < size; ++j) {
    double sum = b[j];
    for (int64_t p = 0; p < j; ++p) sum -= b[p] * l.row(j)[p];
    b[j] = sum / l.row(j)[j];
  }
}

/// Lower triangular L with L L^T = a, in place (the upper half is left as it is); false where a is
/// not positive definite.
bool factor(const Window& a, int64_t size, ThreadPool& pool) {
  std::vector<double> transposed;
  for (int64_t begin = 0; begin < size; begin += kFactorBlock) {
    const int64_t width = std::min(kFactorBlock, size - begin);
    const int64_t end = begin + width;
    const Window diagonal{a.row(begin) + begin, a.stride};
    if (!factor_small(diagonal, width)) return false;
    const int64_t rest = size - end;
    transposed.resize(static_cast<size_t>(width * rest));
    const Window panel{a.row(end) + begin, a.stride};
    const Window panel_transposed{transposed.data(), rest};
    pool.for_range(rest, kTileRows, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        solve_row(panel.row(i), diagonal, width);
        for (int64_t p = 0; p < width; ++p) panel_transposed.row(p)[i] = panel.row(i)[p];
      }
    });
    // Rows in turns: the lower half has more of its work at its end.
    const int64_t num_tiles = (rest + kTileRows - 1) / kTileRows;
    const int num_threads = pool.num_threads();
    pool.run([&](int thread_idx) {
      for (int64_t tile = thread_idx; tile < num_tiles; tile += num_threads) {
        const int64_t i = tile * kTileRows;
        const int64_t rows = std::min(kTileRows, rest - i);
        subtract_product({a.row(end + i) + end, a.stride}, {panel.row(i), a.stride},
                         panel_transposed, rows, i + rows, width);
      }
    });
  }
  return true;
}

/// Inverse of a small lower triangular matrix; `inverse` is zeroed.
void invert_small(const Window& l, const Window& inverse, int64_t size) {
  for (int64_t j = 0; j < size; ++j) {
    inverse.row(j)[j] = 1 / l.row(j)[j];
    for (int64_t i = j + 1; i < size; ++i) {
      double sum = 0;
      for (int64_t p = j; p < i; ++p) sum -= l.row(i)[p] * inverse.row(p)[j];
      inverse.row(i)[j] = sum / l.row(i)[i];
    }
  }
}

/// L^-1 in place of L, block of rows by block of rows: X_i = -L_ii^-1 sum_k L_ik X_k.
void invert(const Window& l, int64_t size, ThreadPool& pool) {
  std::vector<double> rows_of_l(static_cast<size_t>(kFactorBlock * size));
  for (int64_t begin = 0; begin < size; begin += kFactorBlock) {
    const int64_t width = std::min(kFactorBlock, size - begin);
    double small[kFactorBlock * kFactorBlock] = {};
    const Window inverse{small, kFactorBlock};
    invert_small({l.row(begin) + begin, l.stride}, inverse, width);
    const Window copy{rows_of_l.data(), begin};
    for (int64_t i = 0; i < width; ++i) std::copy_n(l.row(begin + i), begin, copy.row(i));
    pool.for_range(begin, kFactorBlock, [&](int64_t first, int64_t last) {
      const int64_t columns = last - first;
      std::vector<double> sums(static_cast<size_t>(width * columns));  // -sum_k L_ik X_k
      const Window sum{sums.data(), columns};
      // Rows of X above column `first` of the lower triangle are zero there.
      subtract_product(sum, {copy.data + first, begin}, {l.row(first) + first, l.stride}, width,
                       columns, begin - first);
      for (int64_t i = 0; i < width; ++i) std::fill_n(l.row(begin + i) + first, columns, 0.0);
      for (int64_t i = 0; i < width; ++i)
        for (int64_t p = 0; p <= i; ++p)
          for (int64_t j = 0; j < columns; ++j)
            l.row(begin + i)[first + j] += inverse.row(i)[p] * sum.row(p)[j];
    });
    for (int64_t i = 0; i < width; ++i)
      std::copy_n(inverse.row(i), width, l.row(begin + i) + begin);  // zeros above, too
  }
}

double mean_diagonal(const Matrix& h) {
  double sum = 0;
  for (int64_t i = 0; i < h.rows; ++i) sum += static_cast<double>(h.row(i)[i]);
  return sum / static_cast<double>(h.rows);
}

}  // namespace

Matrix inverse_factor(Matrix h, double damping, ThreadPool& pool) {
  const int64_t size = h.rows;
  for (int64_t i = 0; i < size; ++i)
    if (h.row(i)[i] == 0) h.row(i)[i] = 1;
  const double mean = mean_diagonal(h);
  std::vector<double> memory(static_cast<size_t>(size * size));
  const Window reversed{memory.data(), size};
  // From the last coordinate to the first, R R^T is an ordinary factorization.
  const auto fill = [&](double added) {
    for (int64_t i = 0; i < size; ++i)
      for (int64_t j = 0; j <= i; ++j)
        reversed.row(i)[j] = static_cast<double>(h.row(size - 1 - i)[size - 1 - j]);
    for (int64_t i = 0; i < size; ++i) reversed.row(i)[i] += added;
  };
  constexpr int kMaxTries = 6;
  bool is_factored = false;
  for (int i = 0; i < kMaxTries && !is_factored; ++i, damping *= 10) {
    fill(damping * mean);
    is_factored = factor(reversed, size, pool);
  }
  VELOZ_CHECK(is_factored, "a Hessian of {} columns has no factor, its diagonal is {} on average",
              size, mean);
  invert(reversed, size, pool);
  Matrix v = std::move(h);
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = 0; j < size; ++j)
      v.row(i)[j] = j < i ? 0.0f : static_cast<float>(reversed.row(size - 1 - i)[size - 1 - j]);
  return v;
}

}  // namespace veloz::compress
